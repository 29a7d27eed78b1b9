//! `walnut cache`.

use crate::error::{CommandResult, of_output, of_system};
use crate::flags::{CacheArgs, CacheVerb};
use crate::printer::Printer;
use walnut_engine::{Cache, CacheUsage};

pub fn run(args: &CacheArgs, printer: Printer) -> CommandResult {
    let cache = Cache::open()?;
    match args.verb {
        None | Some(CacheVerb::Show) => {
            let usage = cache.usage().map_err(|e| of_system("the cache cannot be read", &e))?;
            let (dir, bound) = (cache.dir().display(), cache.bound());
            printer.data(&format!("{dir}\n{} of at most {bound}\n", amount(usage))).map_err(|e| of_output(&e))?;
        }
        Some(CacheVerb::Clear) => {
            let usage = cache.clear().map_err(|e| of_system("the cache cannot be cleared", &e))?;
            printer.info(&format!("removed {}", amount(usage)));
        }
    }
    Ok(0)
}

fn amount(usage: CacheUsage) -> String {
    let things = if usage.components == 1 { "component" } else { "components" };
    let (shift, unit) = if usage.bytes < 1 << 30 { (20, "MiB") } else { (30, "GiB") };
    format!("{} {things}, {:.1}{unit}", usage.components, usage.bytes as f64 / f64::from(1 << shift))
}
