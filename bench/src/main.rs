//! Benchmarks of Walnut against its peers: `cargo benchmarks NAME`. One file per benchmark; here is the code they share.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people, with nothing to tell apart")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

mod cold;
mod http;
mod limits;
mod profile;
mod start;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const HELP: &str = "\
usage: cargo benchmarks NAME [OPTION...]

benchmarks:
  start     times how long starting takes, against wasmtime and a native program; --walnut PATH takes this binary instead of
            building one, --short only shows that it works
  cold      times the first start of what is large, with an empty cache and with a full one
  limits    times how far over a limit a loop goes before it is ended
  http      requests a second and latency, against a native server, wasmtime, Node.js and workerd; --latency, --body, --crowd,
            --routes and --neighbours measure more than that, --short only shows that it works, an option that is not known
            lists the others
  profile   where the processor time of a request goes";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome {
    let Some((name, options)) = arguments.split_first() else { return Err(HELP.into()) };
    match name.as_str() {
        "cold" => cold::run(options),
        "http" => http::run(options),
        "limits" => limits::run(options),
        "profile" => profile::run(options),
        "start" => start::run(options),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("no benchmark {other:?}\n{HELP}").into()),
    }
}

/// What the plain benchmarks know: `[--short] [--walnut PATH]`, in any order.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    short: bool,
    walnut: Option<PathBuf>,
}

impl Plain {
    fn parse(bench: &str, arguments: &[String]) -> Outcome<Self> {
        let mut options = Plain { short: false, walnut: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match (argument.as_str(), arguments.as_slice().first()) {
                ("--short", _) => options.short = true,
                ("--walnut", Some(path)) => {
                    options.walnut = Some(path.into());
                    arguments.next();
                }
                ("--walnut", None) => return Err("--walnut needs a value".into()),
                (other, _) => {
                    return Err(format!("`{bench}` knows `--short` and `--walnut PATH`, not `{other}`").into());
                }
            }
        }
        Ok(options)
    }

    /// The binary that is named, or else is built.
    fn binary(self) -> Outcome<PathBuf> {
        self.walnut.map_or_else(|| walnut(self.short), Ok)
    }
}

/// The release build, or for the short form whatever the tests use.
fn walnut(short: bool) -> Outcome<PathBuf> {
    build(short, &["--package", "walnut"])?;
    Ok(built(short, "walnut"))
}

fn build(short: bool, what: &[&str]) -> Outcome {
    let mut build = cargo();
    build.args(["build", "--quiet"]).args(what);
    if !short {
        build.arg("--release");
    }
    succeed(&mut build)
}

fn built(short: bool, name: &str) -> PathBuf {
    target().join(if short { "debug" } else { "release" }).join(name)
}

fn wasmtime() -> Option<PathBuf> {
    let venv = tools().map(|tools| tools.join("venv/bin"));
    // The package keeps the program itself behind a Python script, whose own start would be measured too.
    let packaged = |bin: &Path| {
        let lib = std::fs::read_dir(bin.parent()?.join("lib")).ok()?;
        lib.filter_map(|python| Some(python.ok()?.path().join("site-packages/wasmtime_cli/wasmtime")))
            .find(|p| p.is_file())
    };
    path()
        .into_iter()
        .chain(venv)
        .find_map(|folder| packaged(&folder).or_else(|| Some(folder.join("wasmtime")).filter(|p| p.is_file())))
}

fn on_path(name: &str) -> Option<PathBuf> {
    path().into_iter().map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Where the tools are that this repository installs for itself.
fn tools() -> Option<PathBuf> {
    walnut_test_programs::folder().parent().map(|cache| cache.join("tools"))
}

/// A program that is ended when this is dropped.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where nobody listens. Below the ports that the system gives to connections: one that asks whether somebody listens yet
/// could get that very port, and would be its own answer.
pub fn free_address() -> Outcome<String> {
    let free = (20_000..32_000_u16).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    Ok(free.ok_or("no port is free")?.local_addr()?.to_string())
}

/// What a server answers to `GET path`, head and body.
pub fn ask(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The median and the middle half.
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    /// # Panics
    /// When there is nothing to spread.
    fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let median = f64::midpoint(values[last / 2], values[last.div_ceil(2)]);
        Self { low: values[last / 4], median, high: values[last - last / 4] }
    }

    fn show(&self, scale: f64, digits: usize, unit: &str) -> String {
        let number = |value: f64| grouped(value * scale, digits);
        format!("{}{unit} ({}–{})", number(self.median), number(self.low), number(self.high))
    }
}

/// With a comma before every three digits of the whole part.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

/// A folder for what is made on the way.
fn scratch() -> Outcome<PathBuf> {
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

pub fn succeed(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|e| format!("{command:?} does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let of = |values: &[f64]| Spread::of(values).show(1.0, 1, " s");
        assert_eq!(of(&[7.0]), "7.0 s (7.0–7.0)");
        assert_eq!(of(&[4.0, 1.0]), "2.5 s (1.0–4.0)");
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), "3.0 s (2.0–4.0)");
    }

    #[test]
    fn flags_come_in_any_order() {
        let parse = |line: &str| {
            let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            Plain::parse("limits", &arguments).map_err(|e| e.to_string())
        };
        let plain = |short, walnut: Option<&str>| Ok(Plain { short, walnut: walnut.map(PathBuf::from) });
        assert_eq!(parse(""), plain(false, None));
        for line in ["--short --walnut a/b", "--walnut a/b --short"] {
            assert_eq!(parse(line), plain(true, Some("a/b")));
        }
        assert_eq!(parse("--walnut"), Err("--walnut needs a value".into()));
        assert_eq!(parse("--long"), Err("`limits` knows `--short` and `--walnut PATH`, not `--long`".into()));
    }

    #[test]
    fn groups_digits() {
        let all = [(0.0, "0"), (999.0, "999"), (1000.0, "1,000"), (-1_234_567.0, "-1,234,567")];
        for (value, text) in all {
            assert_eq!(grouped(value, 0), text);
        }
        assert_eq!(grouped(-123.45, 1), "-123.5");
        assert_eq!(grouped(f64::NAN, 2), "NaN");
    }
}
