use super::{Outcome, Start, block_on};
use crate::error::CommandError;
use crate::exit::Code;
use crate::grants::GrantFlags;
use crate::limits::LimitFlags;
use crate::printer::Printer;
use clap::Args;
use std::time::Duration;
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
}

pub fn run(args: RunArgs, printer: Printer) -> Outcome {
    let (target, arguments) = args.target.split_first().map_or(("", &[][..]), |(t, rest)| (t.as_str(), rest));
    let ready = Start { target, arguments, grants: &args.grants, limits: &args.limits }.ready(printer)?;
    ready.check_command()?;
    end_after(args.limits.limits().deadline, target.to_owned(), printer);
    match block_on(ready.run())? {
        Exit::Code(code) => Ok(code),
        Exit::Failed(failure) => Err(CommandError::of_failure(target, &failure)),
    }
}

/// Ends the process when the deadline has passed and the guest's thread is held by something outside: a pipe that nobody
/// reads, a file system that does not answer. A guest that holds it itself is ended, and explained, by the engine.
#[expect(clippy::exit, reason = "the thread that would return the code is the one that is held")]
fn end_after(deadline: Duration, target: String, printer: Printer) {
    const GRACE: Duration = Duration::from_millis(500);
    std::thread::spawn(move || {
        std::thread::sleep(deadline + GRACE);
        printer.error(&format!("{target} used up its time while it waited for the system"));
        std::process::exit(Code::Time as i32);
    });
}
