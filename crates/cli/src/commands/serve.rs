//! `walnut serve`.

use crate::audit::ServerAudit;
use crate::error::{CommandError, CommandResult, of_system};
use crate::flags::ServeArgs;
use crate::printer::Printer;
use crate::serving::{ServeEnd, serve};
use crate::settings::ServeSettings;
use std::time::{Duration, Instant};
use walnut_engine::raise_descriptor_limit;
use walnut_host::{AccessFormat, AccessLog, Drained};

/// Time at the end for writing log lines that are still queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

pub fn run(args: ServeArgs, printer: Printer) -> CommandResult {
    let mut settings = ServeSettings::resolve(args)?;
    fit_connections(&mut settings, printer);
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

/// Descriptors that a server needs beside those of its clients: standard streams, listeners, the
/// cache, logs, threads.
const OWN_DESCRIPTORS: usize = 64;

/// Lowers the bound on client connections to the open files that the system allows.
fn fit_connections(settings: &mut ServeSettings, printer: Printer) {
    let room = raise_descriptor_limit().saturating_sub(OWN_DESCRIPTORS).max(1);
    let wanted = settings.server.max_connections;
    if wanted > room {
        printer.warning(&format!(
            "the system allows this process too few open files for {wanted} connections: there will be {room} at most; \
             raise the limit, as with `ulimit -n {}`",
            (wanted + OWN_DESCRIPTORS) * 2
        ));
        settings.server.max_connections = room;
    }
}

fn start_log(format: AccessFormat) -> Result<AccessLog, CommandError> {
    AccessLog::start(format, std::io::stdout()).map_err(|e| of_system("the access log could not start", &e))
}
