//! The cache of compiled code.

use crate::printer::Printer;
use walnut_engine::Cache;

/// Opens the cache. Without one, everything is compiled anew, and a warning says why.
pub fn open_cache(printer: Printer) -> Option<Cache> {
    Cache::open().map_err(|e| printer.warning(&format!("{e}; compiled code is not kept"))).ok()
}
