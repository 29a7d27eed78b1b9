//! Names that a sandbox has resolved.

use crate::gate::gate::Permit;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Names by the addresses that they resolved to in one sandbox, so that the grant for a name covers
/// its addresses.
#[derive(Clone, Default)]
pub(crate) struct LearnedNames(Arc<Mutex<HashMap<IpAddr, Vec<String>>>>);

impl LearnedNames {
    /// Number of addresses that a sandbox may learn. A guest must not fill the host's memory by
    /// lookups.
    const MAX_ADDRESSES: usize = 4096;

    /// Extends the grants for `name` to `ip`. Always returns true, for a caller that asks whether
    /// the guest may learn it.
    pub fn learn(&self, _: Permit, ip: IpAddr, name: &str) -> bool {
        let mut map = self.0.lock();
        if map.len() < Self::MAX_ADDRESSES {
            let names = map.entry(ip.to_canonical()).or_default();
            if names.len() < 16 && !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        }
        true
    }

    pub fn names(&self, ip: IpAddr) -> Vec<String> {
        let map = self.0.lock();
        map.get(&ip.to_canonical()).cloned().unwrap_or_default()
    }
}
