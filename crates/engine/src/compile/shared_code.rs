//! Code that components with the same bytes share, on each tier.

use crate::compile::code::LinkedCode;
use crate::compile::tier::Tier;
use crate::component::artifact::{Artifact, Digest};
use crate::failure::error::LoadError;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use wasmtime::component::Component;

/// A tier, with its code in use.
pub(crate) struct SharedTier {
    pub tier: Arc<Tier>,
    in_use: Mutex<HashMap<Digest, Weak<LinkedCode>>>,
}

impl SharedTier {
    pub fn new(tier: Arc<Tier>) -> Self {
        SharedTier { tier, in_use: Mutex::default() }
    }

    pub fn in_use(&self, digest: &Digest) -> Option<Arc<LinkedCode>> {
        self.lock().get(digest)?.upgrade()
    }

    /// Links `component`. If another thread was faster, returns the code of that thread.
    pub fn share(&self, component: &Component, artifact: &Artifact) -> Result<Arc<LinkedCode>, LoadError> {
        let made = Arc::new(LinkedCode::new(&self.tier, component, artifact)?);
        let mut in_use = self.lock();
        if let Some(theirs) = in_use.get(&artifact.code).and_then(Weak::upgrade) {
            return Ok(theirs);
        }
        in_use.retain(|_, code| code.strong_count() > 0);
        in_use.insert(artifact.code, Arc::downgrade(&made));
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Weak<LinkedCode>>> {
        self.in_use.lock()
    }

    /// Counts the digests in the map, also those of dropped code.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.lock().len()
    }
}
