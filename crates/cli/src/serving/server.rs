//! Start-up: signals first, then the admin page, the apps, the server.

use crate::audit::ServerAudit;
use crate::error::{CommandError, of_system};
use crate::exit::ExitReason;
use crate::logging::start_logging;
use crate::printer::Printer;
use crate::serving::context::ServeContext;
use crate::serving::reload::{ReloadLoop, load_first};
use crate::serving::sighup::SighupListener;
use crate::serving::stop_signal::stop_signal;
use crate::settings::{ServeSettings, TlsFiles};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use walnut_host::{AccessLog, Admin, CertificateReload, Deployment, Drained, Logs, Node, Server, Telemetry, Tls};

/// End of a server that was told to stop.
pub enum ServeEnd {
    Served(Drained),
    /// Stopped during start-up, with the exit code of the signal.
    Unserved(i32),
}

/// Serves until a signal stops it.
pub async fn serve(
    settings: ServeSettings,
    printer: Printer,
    log: Option<AccessLog>,
    audit: Option<ServerAudit>,
) -> Result<ServeEnd, CommandError> {
    start_logging()?;
    // Signals come first: the first process of a container ignores every signal that it does not
    // catch.
    let uncaught = |e: io::Error| of_system("signals cannot be caught", &e);
    let mut stop = Box::pin(stop_signal().map_err(uncaught)?);
    let mut sighup = SighupListener::catch().map_err(uncaught)?;
    let logs = Logs { access: log, output: printer.queues(), audit: audit.as_ref().map(ServerAudit::lines) };
    let node = Node::new(settings.node_sandboxes, logs, telemetry(printer)?);
    let context = ServeContext::new(settings, node.clone(), printer, audit);
    context.check_grants()?;
    if let Some(address) = context.settings.admin {
        start_admin(address, node.clone(), printer).await?;
    }
    // The admin page answers while the apps are compiled.
    let (deployment, apps) = tokio::select! {
        loaded = load_first(&context, &mut sighup) => loaded?,
        code = &mut stop => return Ok(ServeEnd::Unserved(code)),
    };
    node.replace(apps);
    let server = bind(&context).await?;
    announce(&context, &deployment, server.address())?;
    node.set_serving();
    let reload_loop = ReloadLoop { context, deployed: Arc::new(deployment), sighup };
    let stop = async move {
        tokio::select! {
            _ = stop => {}
            () = reload_loop.run() => {}
        }
    };
    let drained = walnut_host::run_triggers(vec![Box::new(server)], node.clone(), stop)
        .await
        .map_err(|e| of_system("the server could not start", &e));
    // Waits for the collector, within its time-outs.
    let _ = tokio::task::spawn_blocking(move || node.telemetry().map(|telemetry| telemetry.stop())).await;
    drained.map(ServeEnd::Served)
}

async fn bind(context: &ServeContext) -> Result<Server, CommandError> {
    let ServeContext { settings, printer, .. } = context;
    let mut config = settings.server.clone();
    config.tls = settings.tls.as_ref().map(|files| load_tls(files, *printer)).transpose()?;
    let address = config.address;
    Server::bind(config).await.map_err(|e| cannot_listen("addr", address, &e))
}

/// Loads the certificate. The server checks its files for changes and reports what became of them.
fn load_tls(files: &TlsFiles, printer: Printer) -> Result<Tls, CommandError> {
    let report = move |reload: &CertificateReload| match reload {
        CertificateReload::Done => printer.info("the new certificate is in use"),
        CertificateReload::Kept(error) => printer.warning(&format!("{error}; the previous certificate stays in use")),
    };
    Ok(Tls::load(&files.certificate, &files.key, report)?)
}

fn announce(
    context: &ServeContext,
    deployment: &Deployment,
    address: io::Result<SocketAddr>,
) -> Result<(), CommandError> {
    let address = address.map_err(|e| of_system("the address of the server is unknown", &e))?;
    let (printer, scheme) = (context.printer, context.settings.scheme());
    for app in &deployment.summaries {
        printer.info(&format!("serving {} on {scheme}://{address}", app.place));
        app.lines.iter().for_each(|line| printer.info(&format!("  {line}")));
    }
    Ok(())
}

/// Starts the export of telemetry, if the environment asks for it.
fn telemetry(printer: Printer) -> Result<Option<Arc<Telemetry>>, CommandError> {
    let warn = move |message: &str| printer.warning(message);
    let telemetry = Telemetry::from_env(warn).map_err(|e| CommandError::new(ExitReason::Usage, e.to_string()))?;
    Ok(telemetry.map(Arc::new))
}

/// Starts the admin page of `node` at `address`. It runs to the end of the process.
async fn start_admin(address: SocketAddr, node: Arc<Node>, printer: Printer) -> Result<(), CommandError> {
    let admin = Admin::bind(address).await.map_err(|e| cannot_listen("admin", address, &e))?;
    let address = admin.address();
    if !address.ip().is_loopback() {
        printer.warning(&format!(
            "--admin {address}: everybody who can reach this address sees the apps, their grants and their denials"
        ));
    }
    printer.info(&format!("admin page: http://{address}/"));
    tokio::spawn(admin.serve(node));
    Ok(())
}

fn cannot_listen(flag: &str, address: SocketAddr, error: &io::Error) -> CommandError {
    let failed = of_system(format!("cannot listen on {address}"), error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failed
            .hint(format!("another program listens there already; stop it, or choose another port with `--{flag} 127.0.0.1:0`")),
        io::ErrorKind::PermissionDenied => {
            failed.hint(format!("ports below 1024 need privileges; choose a higher one with `--{flag}`"))
        }
        io::ErrorKind::AddrNotAvailable => {
            failed.hint("this machine has no such address; `127.0.0.1` is the machine itself, `0.0.0.0` stands for all its addresses")
        }
        _ => failed,
    }
}
