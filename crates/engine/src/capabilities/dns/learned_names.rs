//! Names that a sandbox has resolved.

use crate::gate::gate::Permit;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Which names gave which addresses in one sandbox, so that a name's grant reaches the addresses it resolved to.
#[derive(Clone, Default)]
pub(crate) struct LearnedNames(Arc<Mutex<HashMap<IpAddr, Vec<String>>>>);

impl LearnedNames {
    /// The most that one sandbox may learn; a guest must not fill the host's memory by looking up names.
    const MAX_ADDRESSES: usize = 4096;

    /// The name's grants reach `ip` from now on. Always true, for whoever asks whether it was permitted.
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
