use super::Outcome;
use crate::error::of_system;
use crate::printer::Printer;
use clap::{Args, Subcommand};
use walnut_engine::{Cache, CacheUsage};

/// Show or clear the cache of compiled code
#[derive(Args, Debug)]
pub struct CacheArgs {
    #[command(subcommand)]
    verb: Option<CacheVerb>,
}

#[derive(Subcommand, Debug)]
enum CacheVerb {
    /// Print where the cache is, how much it holds and how much it may (what happens without a word, too)
    Show,
    /// Remove all compiled code; it is compiled again when it is needed
    Clear,
}

pub fn run(args: &CacheArgs, printer: Printer) -> Outcome {
    let cache = Cache::open()?;
    match args.verb {
        None | Some(CacheVerb::Show) => {
            let usage = cache.usage().map_err(|e| of_system("the cache cannot be read", &e))?;
            let (dir, bound) = (cache.dir().display(), cache.bound());
            printer.data(&format!("{dir}\n{} of at most {bound}\n", amount(usage)));
        }
        Some(CacheVerb::Clear) => {
            let usage = cache.clear().map_err(|e| of_system("the cache cannot be cleared", &e))?;
            printer.say(&format!("removed {}", amount(usage)));
        }
    }
    Ok(0)
}

fn amount(usage: CacheUsage) -> String {
    let things = if usage.components == 1 { "component" } else { "components" };
    let (shift, unit) = if usage.bytes < 1 << 30 { (20, "MiB") } else { (30, "GiB") };
    format!("{} {things}, {:.1}{unit}", usage.components, usage.bytes as f64 / f64::from(1 << shift))
}
