//! Arguments of `walnut run`.

use crate::flags::grants::GrantFlags;
use crate::flags::limits::LimitFlags;
use crate::flags::tier::TierFlag;
use clap::Args;

/// Run a program: a WASI 0.1 module, or a component of WASI 0.2 or 0.3
#[derive(Args, Debug)]
#[command(
    after_help = "Standard input, output and error, the arguments and the exit code pass through. Everything else must be granted."
)]
pub struct RunArgs {
    /// A .wasm or .wat file, or `-` for standard input; arguments after it go to the program, the
    /// guest
    #[arg(value_name = "TARGET [ARGS]", required = true, trailing_var_arg = true)]
    pub target: Vec<String>,
    #[command(flatten)]
    pub grants: GrantFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub tier: TierFlag,
}
