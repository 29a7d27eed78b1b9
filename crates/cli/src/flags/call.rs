//! Arguments of `walnut call`.

use crate::flags::grants::GrantFlags;
use crate::flags::limits::LimitFlags;
use crate::flags::tier::TierFlag;
use clap::Args;

/// Call an exported function and print its result, both written in WAVE
#[derive(Args, Debug)]
#[command(
    after_help = "WAVE is a notation for values: 42, \"text\", 'c', [1, 2], {x: 1, y: 2}, some(3), ok(\"yes\"), (1, 2), {flag-a, flag-b}.\n`walnut inspect --wit TARGET` lists the functions."
)]
pub struct CallArgs {
    /// A .wasm or .wat file, or `-` for standard input
    pub target: String,
    /// The call: `add(1, 2)`, `shapes.area({width: 2, height: 3})`
    pub call: String,
    #[command(flatten)]
    pub grants: GrantFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub tier: TierFlag,
}
