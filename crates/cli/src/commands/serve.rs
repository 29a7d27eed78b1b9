//! `walnut serve`.

use crate::audit::ServerAudit;
use crate::error::{CommandError, CommandResult, of_system};
use crate::flags::ServeArgs;
use crate::printer::Printer;
use crate::serving::{ServeEnd, serve};
use crate::settings::ServeSettings;
use std::time::{Duration, Instant};
use walnut_host::{AccessFormat, AccessLog, Drained};

/// Time at the end for writing log lines that are still queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

pub fn run(args: ServeArgs, printer: Printer) -> CommandResult {
    let settings = ServeSettings::resolve(args)?;
    let printer = printer.queued().map_err(|e| of_system("the threads that write output could not start", &e))?;
    let log = settings.access_log.map(start_log).transpose()?;
    let audit = settings.grants.audit.as_deref().map(|path| ServerAudit::start(path, printer)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| of_system("the runtime could not start", &e))?;
    let ended = runtime.block_on(serve(settings, printer, log.clone(), audit.clone()));
    // Nobody needs the code that is still being compiled.
    runtime.shutdown_background();
    match ended {
        Ok(ServeEnd::Served(Drained::Cut)) => {
            printer.warning("stopped before every request was answered; `--drain` gives them more time");
        }
        Ok(ServeEnd::Unserved(_)) => printer.warning("stopped before anything was served"),
        Ok(ServeEnd::Served(_)) | Err(_) => {}
    }
    let until = Instant::now() + FLUSH_TIMEOUT;
    if let Some(log) = log {
        log.flush(until);
    }
    if let Some(audit) = audit {
        audit.flush(until);
    }
    printer.flush(until);
    ended.map(|ended| match ended {
        ServeEnd::Served(_) => 0,
        ServeEnd::Unserved(code) => code,
    })
}

fn start_log(format: AccessFormat) -> Result<AccessLog, CommandError> {
    AccessLog::start(format, std::io::stdout()).map_err(|e| of_system("the access log could not start", &e))
}
