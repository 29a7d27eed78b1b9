use super::{Outcome, cache};
use crate::error::{CommandError, of_system};
use crate::grants::GrantFlags;
use crate::limits::LimitFlags;
use crate::printer::Printer;
use crate::progress::Terminal;
use clap::Args;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use walnut_engine::{Artifact, Engine, EngineConfig, Failure, Service, Setup, Stdio, parse_duration};
use walnut_host::{Drained, Server, ServerConfig};

/// Serve HTTP requests with a component of WASI 0.2 (a fresh sandbox for each) or 0.3
#[derive(Args, Debug)]
#[command(
    after_help = "SIGINT and SIGTERM stop it: requests under way are answered, new ones are not taken. A second signal ends it at once."
)]
pub struct ServeArgs {
    /// A .wasm or .wat file, or `-` for standard input
    target: String,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    addr: SocketAddr,
    /// Sandboxes at once; a request beyond that waits
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    sandboxes: u32,
    /// How long requests under way may go on after a stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    drain: Duration,
    #[command(flatten)]
    grants: GrantFlags,
    #[command(flatten)]
    limits: LimitFlags,
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

pub fn run(args: ServeArgs, printer: Printer) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| of_system("the runtime could not start", &e))?;
    let drained = runtime.block_on(serve(&args, printer));
    runtime.shutdown_background();
    match drained? {
        Drained::Cleanly => Ok(0),
        Drained::Cut => {
            printer.warning("stopped before every request was answered; `--drain` gives them more time");
            Ok(0)
        }
    }
}

async fn serve(args: &ServeArgs, printer: Printer) -> Result<Drained, CommandError> {
    let service = prepare(args, printer)?;
    let mut config = ServerConfig::new(args.addr);
    config.sandboxes = args.sandboxes as usize;
    config.drain = args.drain;
    config.request_body = args.limits.limits().request_body;
    let stop = stop_signal().map_err(|e| of_system("signals cannot be caught", &e))?;
    let server = Server::bind(config).await.map_err(|e| in_use(args.addr, &e))?;
    let address = server.address().map_err(|e| of_system("the address cannot be told", &e))?;
    announce(args, address, printer)?;
    let name = args.target.clone();
    Ok(server.serve(service, move |failure| report(&name, failure, printer), stop).await)
}

fn prepare(args: &ServeArgs, printer: Printer) -> Result<Service, CommandError> {
    walnut_engine::record_host_calls();
    let limits = args.limits.limits();
    let artifact = Artifact::load(&args.target)?;
    let gate = args.grants.gate(artifact.short_name(), &[], printer)?;
    let engine = Engine::new(&EngineConfig::service(limits.clone(), args.sandboxes), cache(printer))?;
    let prepared = engine.prepare(&artifact, Some(&Terminal))?;
    let env = args.grants.env_values(gate.policy(), printer);
    let name = artifact.short_name().to_owned();
    let say = {
        let name = name.clone();
        move |is_stderr: bool, line: &str| printer.guest_line(&name, is_stderr, line)
    };
    let mut setup = Setup::new(gate, limits, Stdio::Lines(Arc::new(say)), false)?;
    setup.args = vec![name];
    setup.env = env;
    let target = args.target.clone();
    Ok(Service::new(prepared.ready(setup)?, move |failure| report(&target, failure, printer))?)
}

fn announce(args: &ServeArgs, address: SocketAddr, printer: Printer) -> Result<(), CommandError> {
    let policy = args.grants.policy()?;
    printer.say(&format!("serving {} on http://{address}", args.target));
    match policy.summary().as_slice() {
        _ if policy.allows_all() => printer.say("  it may do everything"),
        [] => printer.say("  sealed: it may do nothing but answer"),
        grants => grants.iter().for_each(|grant| printer.say(&format!("  {grant}"))),
    }
    Ok(())
}

fn report(target: &str, failure: &Failure, printer: Printer) {
    CommandError::of_failure(target, failure).print(&printer);
}

fn in_use(address: SocketAddr, error: &std::io::Error) -> CommandError {
    let failed = of_system(format!("cannot listen on {address}"), error);
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            failed.hint("something listens there already; stop it, or take another with `--addr 127.0.0.1:0`")
        }
        std::io::ErrorKind::PermissionDenied => {
            failed.hint("ports below 1024 need privileges; take a higher one with `--addr`")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            failed.hint("this machine has no such address; `127.0.0.1` is itself, `0.0.0.0` every address that it has")
        }
        _ => failed,
    }
}

/// Ends with the first signal. The second ends the process.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        let mut next = async || tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
        next().await;
        tokio::spawn(async move {
            let mut next = async || tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
            let code = next().await;
            end_at_once(code);
        });
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        tokio::spawn(async {
            let _ = tokio::signal::ctrl_c().await;
            end_at_once(130);
        });
    })
}

#[expect(clippy::exit, reason = "a person who asks twice wants it to end now")]
fn end_at_once(code: i32) {
    std::process::exit(code);
}
