//! SIGHUP: a request to reload, or the end of the terminal.

use std::io::{self, IsTerminal};

/// Listens for SIGHUP.
pub struct SighupListener {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
    /// Whether standard input, output and error were terminals at the start.
    terminals: [bool; 3],
}

impl SighupListener {
    /// Catches SIGHUP from now on, so that it does not end the process.
    pub fn catch() -> io::Result<Self> {
        Ok(SighupListener {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
            terminals: terminals(),
        })
    }

    /// Returns whether the terminal was closed: a stream that was a terminal at the start is none
    /// now.
    pub fn is_terminal_closed(&self) -> bool {
        self.terminals.iter().zip(terminals()).any(|(before, now)| *before && !now)
    }

    /// Waits for the next SIGHUP.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        if self.signal.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for ever: there is no SIGHUP here.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

fn terminals() -> [bool; 3] {
    [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()]
}
