use super::{Outcome, Start, block_on, end_when_stuck};
use crate::error::CommandError;
use crate::grants::GrantFlags;
use crate::limits::LimitFlags;
use crate::optimiser::TierFlag;
use crate::printer::Printer;
use clap::Args;

/// Call one exported function and print its result, both in WAVE
#[derive(Args, Debug)]
#[command(
    after_help = "WAVE writes values the way WIT names them: 42, \"text\", 'c', [1, 2], {x: 1, y: 2}, some(3), ok(\"yes\"), (1, 2), {flag-a, flag-b}.\n`walnut inspect --wit TARGET` lists the functions."
)]
pub struct CallArgs {
    /// A .wasm or .wat file, or `-` for standard input
    target: String,
    /// The call: `add(1, 2)`, `shapes.area({width: 2, height: 3})`
    call: String,
    #[command(flatten)]
    grants: GrantFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    tier: TierFlag,
}

pub fn run(args: &CallArgs, printer: Printer) -> Outcome {
    let ready =
        Start { target: &args.target, arguments: &[], grants: &args.grants, limits: &args.limits, tier: args.tier }
            .ready(printer)?;
    end_when_stuck(&ready, &args.target, printer);
    match block_on(ready.call(&args.call))? {
        Ok(Ok(result)) => {
            if !result.is_empty() {
                printer.data(&format!("{result}\n"));
            }
            Ok(0)
        }
        Ok(Err(failure)) => Err(CommandError::of_failure(&args.target, &failure)),
        Err(e) => Err(e.into()),
    }
}
