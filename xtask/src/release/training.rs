//! The workload of the profile: what users run.

use crate::error::TaskResult;
use crate::process::run_to_success;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use walnut_test_programs::{
    C_P1_HELLO, Guest, JS_P2_HTTP_HELLO, RUST_P1_HELLO, RUST_P2_HELLO, RUST_P2_HTTP_ECHO, RUST_P2_HTTP_HELLO,
    RUST_P3_HELLO, RUST_P3_HTTP_HELLO,
};

/// Connections at once.
const CONNECTIONS: usize = 16;
/// Requests on each connection.
const REQUESTS: usize = 1000;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// Bytes of each body that is echoed.
const BODY: usize = 1 << 20;

/// Runs an instrumented walnut.
pub struct Training {
    pub walnut: PathBuf,
    /// Folder of its cache, empty at first.
    pub cache: PathBuf,
}

impl Training {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.walnut);
        command.arg(verb).env("WALNUT_CACHE_DIR", &self.cache).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs programs without the cache and with it, and inspects one.
    pub fn run_commands(&self) -> TaskResult {
        for guest in [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO, C_P1_HELLO] {
            for tier in ["both", "optimised", "optimised", "optimised"] {
                run_to_success(self.command("run").args(["--tier", tier]).arg(guest.path()))?;
            }
        }
        run_to_success(self.command("inspect").arg(RUST_P2_HTTP_HELLO.path()))
    }

    /// Runs programs from the cache. Their counts go to a folder of their own.
    pub fn run_starts(&self, counts: &Path) -> TaskResult {
        for guest in [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO, C_P1_HELLO] {
            let mut run = self.command("run");
            run.env("LLVM_PROFILE_FILE", counts.join("%p.profraw"));
            run_to_success(run.args(["--tier", "optimised"]).arg(guest.path()))?;
        }
        Ok(())
    }

    /// Serves requests of each kind.
    pub fn run_services(&self) -> TaskResult {
        for (guest, flags, requests) in [
            (RUST_P2_HTTP_HELLO, &["--access-log", "human"][..], REQUESTS),
            (RUST_P2_HTTP_HELLO, &["--access-log", "json"], REQUESTS),
            (RUST_P2_HTTP_HELLO, &["--reuse", "1000"], REQUESTS),
            (RUST_P3_HTTP_HELLO, &[], REQUESTS),
            (JS_P2_HTTP_HELLO, &[], REQUESTS / 10),
        ] {
            self.serve(guest, flags, |address| request_hello(address, requests))?;
        }
        self.serve(RUST_P2_HTTP_ECHO, &[], request_echo)
    }

    fn serve(&self, guest: Guest, flags: &[&str], work: impl Fn(&str) -> std::io::Result<()>) -> TaskResult {
        let mut command = self.command("serve");
        command.args(["--tier", "optimised", "--workers", "1", "--addr", "127.0.0.1:0"]).args(flags).arg(guest.path());
        let mut server = ServerProcess(command.stderr(Stdio::piped()).spawn()?);
        let mut messages = BufReader::new(server.0.stderr.take().ok_or("no standard error")?);
        let address = announced_address(&mut messages).ok_or_else(|| format!("{command:?} does not serve"))?;
        // A server whose messages nobody reads would stop at a full pipe.
        std::thread::spawn(move || std::io::copy(&mut messages, &mut std::io::sink()));
        work(&address)?;
        // The counts are written at the end of the process, so SIGTERM and not SIGKILL.
        run_to_success(Command::new("kill").args(["-TERM", &server.0.id().to_string()]))?;
        server.0.wait()?;
        Ok(())
    }
}

/// The address in the message `serving X on http://ADDRESS`; `None` when the server ends before it.
fn announced_address(messages: &mut impl BufRead) -> Option<String> {
    let mut lines = messages.lines().map_while(Result::ok);
    lines.find_map(|line| Some(line.strip_prefix("serving ")?.rsplit_once(" on http://")?.1.to_owned()))
}

/// Kills the process when dropped.
struct ServerProcess(Child);

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends `requests` on each of a few connections.
fn request_hello(address: &str, requests: usize) -> std::io::Result<()> {
    std::thread::scope(|scope| {
        let client = || {
            let mut stream = TcpStream::connect(address)?;
            (0..requests).try_for_each(|_| {
                stream.write_all(REQUEST)?;
                read_greeting(&mut stream)
            })
        };
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
    })
}

/// Reads the response with the greeting to its end, of announced length or in chunks.
fn read_greeting(stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut response, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let text = String::from_utf8_lossy(&response);
        let end = if text.contains("chunked") { "\r\n0\r\n\r\n" } else { "component\n" };
        if text.ends_with(end) {
            return Ok(());
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => response.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Streams bodies.
fn request_echo(address: &str) -> std::io::Result<()> {
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address)?;
        let mut reader = stream.try_clone()?;
        let response = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        write!(
            stream,
            "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {BODY}\r\n\r\n"
        )?;
        stream.write_all(&[b'a'; BODY])?;
        response.join().expect("reading does not panic")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_messages_at_the_start() {
        let messages = b"compiling\nserving hello.wasm on http://127.0.0.1:41235\nmore\n";
        assert_eq!(announced_address(&mut &messages[..]), Some("127.0.0.1:41235".to_owned()));
        assert_eq!(announced_address(&mut &b"error: no such file\n"[..]), None);
    }
}
