//! SIGINT and SIGTERM: the first one stops the server, the second one ends the process.

use std::io;

/// Catches the signals from now on. The future ends with the first one and returns the exit code of
/// a process that it kills: 130 or 143. The second one ends the process at once.
#[cfg(unix)]
pub fn stop_signal() -> io::Result<impl Future<Output = i32>> {
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

/// Waits for Ctrl-C; the second one ends the process at once.
#[cfg(not(unix))]
pub fn stop_signal() -> io::Result<impl Future<Output = i32>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        tokio::spawn(async {
            let _ = tokio::signal::ctrl_c().await;
            end_at_once(130);
        });
        130
    })
}

#[expect(clippy::exit, reason = "a second signal asks for the end at once")]
fn end_at_once(code: i32) {
    std::process::exit(code);
}
