//! The flag that chooses between baseline and optimised code.

use clap::{Args, ValueEnum};
use walnut_engine::Tiers;

/// Choice of compiled code.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Compilation")]
pub struct TierFlag {
    /// Compiled code to run: `both` starts at once with baseline code, and compiles optimised code
    /// meanwhile, which it caches; `optimised` waits for that code
    #[arg(long, value_name = "TIER", value_enum, default_value = "both")]
    tier: TierName,
}

// The values have no doc comments: with them, the help of every flag would take three lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TierName {
    Both,
    Baseline,
    Optimised,
}

impl TierFlag {
    /// Returns the engine's setting.
    pub fn tiers(self) -> Tiers {
        match self.tier {
            TierName::Both => Tiers::Both,
            TierName::Baseline => Tiers::Baseline,
            TierName::Optimised => Tiers::Optimised,
        }
    }
}
