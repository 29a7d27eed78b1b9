//! `walnut call`.

use crate::commands::guest::prepare;
use crate::error::{CommandError, CommandResult, of_output};
use crate::flags::CallArgs;
use crate::printer::Printer;
use crate::settings::GuestSettings;

pub fn run(args: CallArgs, printer: Printer) -> CommandResult {
    let call = args.call.clone();
    let settings = GuestSettings::of_call(args)?;
    let ready = prepare(&settings, printer)?;
    match ready.call(&call) {
        Ok(Ok(result)) => {
            if !result.is_empty() {
                printer.data(&format!("{result}\n")).map_err(|e| of_output(&e))?;
            }
            Ok(0)
        }
        Ok(Err(failure)) => Err(CommandError::of_failure(&settings.target, &failure)),
        Err(e) => Err(e.into()),
    }
}
