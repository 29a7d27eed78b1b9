//! Arguments of `walnut inspect`.

use clap::Args;

/// Describe a target and the capabilities that it would ask for, without running it
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// A .wasm or .wat file, or `-` for standard input
    pub target: String,
    /// Print its world (imports and exports) as WIT
    #[arg(long, conflicts_with = "json")]
    pub wit: bool,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}
