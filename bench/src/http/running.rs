//! A server under test.

use super::cores::CorePinning;
use super::servers::{HELLO, ServerSpec};
use crate::cargo::scratch_folder;
use crate::error::BenchResult;
use crate::requests::free_address;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Readings of a server's memory during a long overload.
pub const MEMORY_READINGS: u32 = 4;
/// Longest wait for a server that starts: a single core takes long to compile 13 MB of JavaScript.
const MAX_START: Duration = Duration::from_secs(120);
/// Longest wait for a message in the log.
const MAX_MESSAGE_DELAY: Duration = Duration::from_secs(10);
/// Bytes of the log that an error shows.
const LOG_TAIL: usize = 4096;
/// USER_HZ: clock ticks a second in `/proc`, 100 on every Linux.
const TICKS: f64 = 100.0;

/// A server that runs until this is dropped.
pub struct RunningServer {
    child: Child,
    name: &'static str,
    pub address: String,
    /// Path whose response proves that the server is up.
    path: String,
    log: PathBuf,
}

impl RunningServer {
    /// Starts a server and waits for the expected response to `GET path`.
    pub fn start(server: &ServerSpec, cores: &CorePinning, path: &str) -> BenchResult<Self> {
        let address = free_address()?;
        let log = scratch_folder()?.join("server.log");
        // Opened for appending, so that `check` can truncate it while the server writes.
        let _ = fs::remove_file(&log);
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = cores.server(&server.program);
        command.args(server.arguments.iter().map(|argument| argument.replace("{address}", &address)));
        command.envs(server.cache.iter().map(|cache| ("WALNUT_CACHE_DIR", cache)));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|e| format!("{command:?} does not start: {e}"))?;
        let mut running = Self { child, name: server.name, address, path: path.to_owned(), log };
        running.wait()?;
        Ok(running)
    }

    fn wait(&mut self) -> BenchResult {
        let end = Instant::now() + MAX_START;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended before it answered: {status}\n{}", self.name, self.log_tail()).into());
            }
            let response = request(&self.address, &self.path);
            match &response {
                Ok(response) if is_expected(response, &self.path) => return Ok(()),
                _ if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                Ok(response) => {
                    let response = String::from_utf8_lossy(response);
                    return Err(format!("{} does not answer with the expected 30 bytes:\n{response}", self.name).into());
                }
                Err(error) => {
                    return Err(format!("{} does not answer: {error}\n{}", self.name, self.log_tail()).into());
                }
            }
        }
    }

    /// Checks that the server still gives the expected response, since wrk does not look at bodies.
    /// Empties the log.
    pub fn check(&mut self) -> BenchResult {
        self.wait()?;
        File::options().write(true).open(&self.log)?.set_len(0)?;
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the server has printed this text.
    pub fn log_contains(&self, text: &str) -> BenchResult<bool> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).contains(text))
    }

    /// The end of the output.
    fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }

    /// The address of walnut's admin page, from the message at the start. The server may answer
    /// before it prints that.
    pub fn admin_address(&self) -> BenchResult<String> {
        let end = Instant::now() + MAX_MESSAGE_DELAY;
        loop {
            let log = fs::read_to_string(&self.log)?;
            let admin = log.lines().find_map(|line| line.strip_prefix("admin page: http://")?.strip_suffix('/'));
            match admin {
                Some(admin) => return Ok(admin.to_owned()),
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                None => return Err(format!("{} does not print where its admin page is\n{log}", self.name).into()),
            }
        }
    }

    /// Processor time of the server so far, in seconds.
    pub fn cpu(&self) -> BenchResult<f64> {
        let stat = self.proc("stat")?;
        // The name in brackets may contain spaces and brackets. The field behind it is the third.
        let fields: Vec<_> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<f64>().ok());
        match (field(14), field(15)) {
            (Some(user), Some(system)) => Ok((user + system) / TICKS),
            _ => Err(format!("/proc/{}/stat has another form than expected: {stat}", self.child.id()).into()),
        }
    }

    /// Memory in MiB: `VmRSS` (current) or `VmHWM` (peak).
    pub fn memory(&self, field: &str) -> BenchResult<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("no {field} in /proc/{}/status", self.child.id()).into())
    }

    /// Resets `VmHWM` to the current memory.
    pub fn reset_peak_memory(&self) -> BenchResult {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn proc(&self, file: &str) -> BenchResult<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).map_err(|e| format!("{}: {path}: {e}; the benchmark needs Linux", self.name).into())
    }
}

/// When a signal ends the benchmark, [`CorePinning`] has the kernel kill the server.
impl Drop for RunningServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Sends `GET path` and returns the whole response, head and body.
fn request(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(response)
}

/// Whether the response is a success with the 30 bytes, in one piece or as one chunk. For
/// `/method`, whose body differs by guest, a success is enough.
fn is_expected(response: &[u8], path: &str) -> bool {
    let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let body = &response[end + 4..];
    let chunk = [b"1e\r\n", HELLO, b"\r\n0\r\n\r\n"].concat();
    response.starts_with(b"HTTP/1.1 200 ") && (path == "/method" || body == HELLO || body.eq_ignore_ascii_case(&chunk))
}
