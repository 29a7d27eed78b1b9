use super::{Outcome, Start, block_on, end_when_stuck};
use crate::error::CommandError;
use crate::grants::GrantFlags;
use crate::limits::LimitFlags;
use crate::optimiser::TierFlag;
use crate::printer::Printer;
use clap::Args;
use walnut_engine::Exit;

/// Run a command: a WASI 0.1 module, or a component of WASI 0.2 or 0.3
#[derive(Args, Debug)]
#[command(
    after_help = "Standard input, output and error, the arguments and the exit code pass through. Everything else must be granted."
)]
pub struct RunArgs {
    /// A .wasm or .wat file, or `-` for standard input; what follows it goes to the guest
    #[arg(value_name = "TARGET [ARGS]", required = true, trailing_var_arg = true)]
    target: Vec<String>,
    #[command(flatten)]
    grants: GrantFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    tier: TierFlag,
}

pub fn run(args: RunArgs, printer: Printer) -> Outcome {
    let (target, arguments) = args.target.split_first().map_or(("", &[][..]), |(t, rest)| (t.as_str(), rest));
    let ready =
        Start { target, arguments, grants: &args.grants, limits: &args.limits, tier: args.tier }.ready(printer)?;
    ready.check_command()?;
    end_when_stuck(&ready, target, printer);
    let exit = block_on(ready.run())?;
    ready.leave_to_system();
    match exit {
        Exit::Code(code) => Ok(code),
        Exit::Failed(failure) => Err(CommandError::of_failure(target, &failure)),
    }
}
