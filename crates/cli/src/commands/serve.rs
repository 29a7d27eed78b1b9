use super::Outcome;
use crate::apps::{Setting, check_flags};
use crate::audit::ServerAudit;
use crate::clients::ClientFlags;
use crate::error::{CommandError, of_system};
use crate::exit::Code;
use crate::grants::GrantFlags;
use crate::limits::{LimitFlags, number};
use crate::optimiser::{Optimiser, TierFlag};
use crate::printer::Printer;
use crate::reload::{Hangups, Reload, Version};
use crate::sources::Sources;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use walnut_engine::parse_duration;
use walnut_host::{
    AccessFormat, AccessLog, Admin, AdmissionLimits, Drained, Logs, Node, Server, ServerConfig, Telemetry,
};

/// Serve HTTP requests: a component of WASI 0.2 (a fresh sandbox for each) or 0.3, or whole apps
#[derive(Args, Debug)]
#[command(
    after_help = "An app is a walnut.toml, or a folder with one; it says which component answers what and what each may do.\nSIGHUP has everything that TARGET names read again; if anything is wrong with it, the version from before is still served.\nSIGINT and SIGTERM stop it: requests under way are answered, new ones are not taken. A second signal ends it at once."
)]
pub struct ServeArgs {
    /// A .wasm or .wat file or `-` for standard input, a walnut.toml, or a folder with one
    #[arg(value_name = "TARGET", default_value = ".")]
    pub targets: Vec<String>,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    addr: SocketAddr,
    /// Sandboxes at once; a request beyond that waits
    #[arg(long, value_name = "N", default_value = "100", value_parser = number::<u32>(1, 5_000))]
    sandboxes: u32,
    /// Sandboxes at once of all components together; a request beyond that waits too
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(1, 5_000))]
    pub node_sandboxes: u32,
    /// Requests that one sandbox of WASI 0.2 takes, one after another; they share what it remembers
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<u32>(1, 1_000_000))]
    pub reuse: u32,
    /// Requests that may wait for a sandbox; one beyond that gets 503 at once
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number::<u32>(0, 100_000))]
    queue: u32,
    /// How long a request may wait for a sandbox
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    patience: Duration,
    /// Threads that serve; one for each processor unless said
    #[arg(long, value_name = "N", value_parser = number::<u16>(1, 1024))]
    workers: Option<u16>,
    /// How long requests under way may go on after a stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    drain: Duration,
    /// Serve files that change anew, as SIGHUP does
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    clients: ClientFlags,
    #[command(flatten)]
    pub grants: GrantFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub tier: TierFlag,
    /// Where to tell what happens: a page to look at, /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_address, help_heading = "What you see")]
    admin: Option<SocketAddr>,
    /// Write a line to standard output for each request; with `json`, lines that guests write are objects too
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "human", help_heading = "What you see")]
    access_log: AccessLogFlag,
}

// Not documented one by one, or the help of every flag would take three lines.
/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccessLogFlag {
    Off,
    Human,
    Json,
}

impl AccessLogFlag {
    fn start(self) -> Result<Option<AccessLog>, CommandError> {
        let format = match self {
            AccessLogFlag::Off => return Ok(None),
            AccessLogFlag::Human => AccessFormat::Human,
            AccessLogFlag::Json => AccessFormat::Json,
        };
        let log = AccessLog::start(format, std::io::stdout());
        log.map(Some).map_err(|e| of_system("the access log could not start", &e))
    }
}

impl ServeArgs {
    /// Whether programs read what is said of requests.
    pub fn logs_json(&self) -> bool {
        matches!(self.access_log, AccessLogFlag::Json)
    }

    /// How a component takes requests where no manifest says it.
    pub fn admission(&self) -> AdmissionLimits {
        AdmissionLimits { sandboxes: self.sandboxes, queue: self.queue, queue_timeout: self.patience }
    }
}

/// Reads where to listen; `localhost` is 127.0.0.1.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
    numeric.parse().map_err(|_| {
        let port = text.trim_start_matches(':');
        let port = if port.parse::<u16>().is_ok() { port } else { "8080" };
        format!("write an address of this machine and a port: `127.0.0.1:{port}`, or `0.0.0.0:{port}` for all of them")
    })
}

/// How long the end waits until what was said is written.
const LAST: Duration = Duration::from_secs(2);

pub fn run(args: ServeArgs, printer: Printer) -> Outcome {
    let printer = printer.queued().map_err(|e| of_system("the threads that write output could not start", &e))?;
    let log = args.access_log.start()?;
    let audit = args.grants.server_audit(printer)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| of_system("the runtime could not start", &e))?;
    let ended = runtime.block_on(serve(args, printer, log.clone(), audit.clone()));
    // What is still compiling is for nobody now.
    runtime.shutdown_background();
    match ended {
        Ok(Ended::Served(Drained::Cut)) => {
            printer.warning("stopped before every request was answered; `--drain` gives them more time");
        }
        Ok(Ended::Unserved(_)) => printer.warning("stopped before anything was served"),
        Ok(Ended::Served(_)) | Err(_) => {}
    }
    let until = Instant::now() + LAST;
    if let Some(log) = log {
        log.flush(until);
    }
    if let Some(audit) = audit {
        audit.flush(until);
    }
    printer.flush(until);
    ended.map(|ended| match ended {
        Ended::Served(_) => 0,
        Ended::Unserved(code) => code,
    })
}

/// How a server ended that was told to.
enum Ended {
    Served(Drained),
    /// While it started. The code is that of the signal.
    Unserved(i32),
}

async fn serve(
    args: ServeArgs,
    printer: Printer,
    log: Option<AccessLog>,
    audit: Option<ServerAudit>,
) -> Result<Ended, CommandError> {
    walnut_engine::record_host_calls();
    // First of all, since the first process of a container is ended by no signal that it does not catch.
    let uncaught = |e: std::io::Error| of_system("signals cannot be caught", &e);
    let mut stop = Box::pin(stop_signal().map_err(uncaught)?);
    let mut hangups = Hangups::catch().map_err(uncaught)?;
    let logs = Logs { access: log, output: printer.queues(), audit: audit.as_ref().map(ServerAudit::lines) };
    let node = Node::new(args.node_sandboxes, logs, telemetry(printer)?);
    let (sources, optimiser) = (Arc::<Sources>::default(), Optimiser::start(printer));
    let setting = Arc::new(Setting { args, node: node.clone(), printer, sources, optimiser, audit });
    let args = &setting.args;
    check_flags(args)?;
    if let Some(address) = args.admin {
        tell(address, node.clone(), printer).await?;
    }
    // Meanwhile the admin address answers.
    let (version, apps) = tokio::select! {
        prepared = Version::first(&setting, &mut hangups) => prepared?,
        code = &mut stop => return Ok(Ended::Unserved(code)),
    };
    node.replace(apps);
    let mut config = ServerConfig::new(args.addr);
    config.drain = args.drain;
    config.workers = args.workers.map_or(config.workers, usize::from);
    args.clients.apply(&mut config, printer)?;
    let server = Server::bind(config).await.map_err(|e| in_use("addr", args.addr, &e))?;
    let address = server.address().map_err(|e| of_system("the address cannot be told", &e))?;
    for app in version.faces() {
        printer.say(&format!("serving {} on {}://{address}", app.place, args.clients.scheme()));
        app.summary.iter().for_each(|line| printer.say(&format!("  {line}")));
    }
    node.set_serving();
    let reload = Reload { setting: setting.clone(), served: Arc::new(version), hangups };
    let stop = async move {
        tokio::select! {
            _ = stop => {}
            () = reload.run() => {}
        }
    };
    let drained = walnut_host::run_triggers(vec![Box::new(server)], node.clone(), stop)
        .await
        .map_err(|e| of_system("the server could not start", &e));
    // Waits for the collector, but not for ever.
    let _ = tokio::task::spawn_blocking(move || node.telemetry().map(|telemetry| telemetry.stop())).await;
    drained.map(Ended::Served)
}

/// As the environment asks for it.
fn telemetry(printer: Printer) -> Result<Option<Arc<Telemetry>>, CommandError> {
    let warn = move |what: &str| printer.warning(what);
    let wanted = Telemetry::from_env(warn).map_err(|e| CommandError::new(Code::Usage, e.to_string()))?;
    Ok(wanted.map(Arc::new))
}

/// Tells of `node` at `address`, from now to the end of the process.
async fn tell(address: SocketAddr, node: Arc<Node>, printer: Printer) -> Result<(), CommandError> {
    let admin = Admin::bind(address).await.map_err(|e| in_use("admin", address, &e))?;
    let address = admin.address();
    if !address.ip().is_loopback() {
        printer.warning(&format!(
            "--admin {address}: whoever reaches it sees what is served, what each may do and what it was refused"
        ));
    }
    printer.say(&format!("admin page: http://{address}/"));
    tokio::spawn(admin.serve(node));
    Ok(())
}

fn in_use(flag: &str, address: SocketAddr, error: &std::io::Error) -> CommandError {
    let failed = of_system(format!("cannot listen on {address}"), error);
    match error.kind() {
        std::io::ErrorKind::AddrInUse => failed
            .hint(format!("something listens there already; stop it, or take another with `--{flag} 127.0.0.1:0`")),
        std::io::ErrorKind::PermissionDenied => {
            failed.hint(format!("ports below 1024 need privileges; take a higher one with `--{flag}`"))
        }
        std::io::ErrorKind::AddrNotAvailable => {
            failed.hint("this machine has no such address; `127.0.0.1` is itself, `0.0.0.0` every address that it has")
        }
        _ => failed,
    }
}

/// Ends with the first signal, as the code of a process that it ends. The second ends the process.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = i32>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        let mut next = async || tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
        let first = next().await;
        tokio::spawn(async move {
            let mut next = async || tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
            let code = next().await;
            end_at_once(code);
        });
        first
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = i32>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        tokio::spawn(async {
            let _ = tokio::signal::ctrl_c().await;
            end_at_once(130);
        });
        130
    })
}

#[expect(clippy::exit, reason = "a person who asks twice wants it to end now")]
fn end_at_once(code: i32) {
    std::process::exit(code);
}
