use clap::{Args, Subcommand};

/// Show or clear the cache of compiled code
#[derive(Args, Debug)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub verb: Option<CacheVerb>,
}

#[derive(Subcommand, Debug)]
pub enum CacheVerb {
    /// Print where the cache is, how much it holds and how much it may (what happens without a
    /// word, too)
    Show,
    /// Remove all compiled code; it is compiled again when it is needed
    Clear,
}
