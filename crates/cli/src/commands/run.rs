//! `walnut run`.

use crate::commands::guest::prepare;
use crate::error::{CommandError, CommandResult};
use crate::flags::RunArgs;
use crate::printer::Printer;
use crate::settings::GuestSettings;
use walnut_engine::Exit;

pub fn run(args: RunArgs, printer: Printer) -> CommandResult {
    let settings = GuestSettings::of_run(args)?;
    let ready = prepare(&settings, printer)?;
    ready.check_command()?;
    let exit = ready.run();
    ready.leave_to_system();
    match exit {
        Exit::Code(code) => Ok(code),
        Exit::Failed(failure) => Err(CommandError::of_failure(&settings.target, &failure)),
    }
}
