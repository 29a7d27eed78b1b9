//! Arguments of `walnut cache`.

use clap::{Args, Subcommand};

/// Show or clear the cache of compiled code
#[derive(Args, Debug)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub verb: Option<CacheVerb>,
}

/// Action on the cache.
#[derive(Subcommand, Debug)]
pub enum CacheVerb {
    /// Print the folder of the cache, how much it holds and how much it may hold (the default)
    Show,
    /// Remove all compiled code; it is compiled again when needed
    Clear,
}
