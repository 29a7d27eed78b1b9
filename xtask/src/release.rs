//! `cargo xtask release`: the program as it is shipped, compiled with a profile of what it does most.
//!
//! A profile tells the compiler which of the program's 25 MB of code are used: those are made fast and laid side by side, the
//! rest is made small and put out of the way. A request takes about half as much of a processor for it, and a start takes
//! a quarter fewer page faults. It takes two builds of everything, between which a program that counts runs what users run.

use crate::process::{Ended, Outcome, ask, built_for, cargo, free_address, succeed, target};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::{
    C_P1_HELLO, Guest, JS_P2_HTTP_HELLO, RUST_P1_HELLO, RUST_P2_HELLO, RUST_P2_HTTP_ECHO, RUST_P2_HTTP_HELLO,
    RUST_P3_HELLO, RUST_P3_HTTP_HELLO,
};

/// Connections at once, and requests on each.
const CLIENTS: usize = 16;
const REQUESTS: usize = 1000;
/// A server that has its guest to compile, while it counts.
const START: Duration = Duration::from_secs(300);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const BODY: usize = 1 << 20;

pub fn run(arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask release".into());
    }
    let rustc = Rustc::find()?;
    let merge = rustc.profdata()?;
    let folder = target().join("release-profile");
    let _ = std::fs::remove_dir_all(&folder);
    let (counts, cache) = (folder.join("counts"), folder.join("cache"));
    std::fs::create_dir_all(&cache)?;

    eprintln!("building a walnut that counts what it does");
    build(&rustc.host, &format!("-Cprofile-generate={}", counts.display()))?;
    eprintln!("running what users run");
    let trainer = Trainer { walnut: built_for(&rustc.host, "dist", "walnut"), cache };
    trainer.commands()?;
    trainer.starts(&folder.join("starts"))?;
    trainer.services()?;
    let merged = |counts: &str| -> Outcome<PathBuf> {
        let profile = folder.join(counts).with_extension("profdata");
        succeed(Command::new(&merge).arg("merge").arg("-o").arg(&profile).arg(folder.join(counts)))?;
        Ok(profile)
    };
    let (profile, starts) = (merged("counts")?, merged("starts")?);
    // What a start uses comes first, in one piece.
    let mut order = functions_that_ran(&merge, &starts)?;
    order.extend(functions_that_ran(&merge, &profile)?);
    let order_file = folder.join("order");
    std::fs::write(&order_file, order.join("\n"))?;

    let libraries = folder.join("libraries");
    std::fs::create_dir_all(&libraries)?;
    // The compiler's own library as a part of the program: to look one more file up takes a part of each start.
    std::fs::write(libraries.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n")?;

    eprintln!("building walnut by the profile");
    let flags = [
        format!("-Cprofile-use={}", profile.display()),
        // What did not run has no counts, which is not worth a warning each. Nor is a function that became part of another.
        "-Cllvm-args=-pgo-warn-missing-function=false".into(),
        "-Clink-arg=-fuse-ld=lld".into(),
        format!("-Clink-arg=-L{}", libraries.display()),
        format!("-Clink-arg=-Wl,--symbol-ordering-file={},--no-warn-symbol-ordering", order_file.display()),
    ];
    build(&rustc.host, &flags.join(" "))?;
    println!("{}", trainer.walnut.display());
    Ok(())
}

/// The symbols of what ran, whatever it was compiled in.
fn functions_that_ran(profdata: &Path, profile: &Path) -> Outcome<Vec<String>> {
    let told = Command::new(profdata).args(["show", "--all-functions", "--counts"]).arg(profile).output()?;
    if !told.status.success() {
        return Err(format!("llvm-profdata cannot read {}", profile.display()).into());
    }
    Ok(ran(&String::from_utf8(told.stdout)?))
}

/// A function's line is its symbol with a colon, behind the unit's name when others may not call it. Its counts come after it.
fn ran(shown: &str) -> Vec<String> {
    let (mut function, mut ran) = ("", Vec::new());
    for line in shown.lines() {
        if let Some(counts) = line.trim_start().strip_prefix("Block counts: ") {
            if counts.contains(|c: char| matches!(c, '1'..='9')) {
                ran.push(function.to_owned());
            }
        } else if let Some(named) = line.strip_suffix(':') {
            function = named.rsplit(';').next().unwrap_or(named).trim_start();
        }
    }
    ran
}

/// With a target, so that programs of the build itself go without these flags.
fn build(host: &str, flags: &str) -> Outcome {
    let mut build = cargo();
    build.args(["build", "--package", "walnut", "--profile", "dist", "--target", host]).env("RUSTFLAGS", flags);
    succeed(&mut build)
}

/// The compiler, as far as profiles depend on it.
struct Rustc {
    host: String,
    /// The major version of its LLVM, whose tools read no other's profiles.
    llvm: String,
    tools: PathBuf,
}

impl Rustc {
    fn find() -> Outcome<Self> {
        let said = |arguments: &[&str]| -> Outcome<String> {
            Ok(String::from_utf8(Command::new("rustc").args(arguments).output()?.stdout)?)
        };
        let version = said(&["-vV"])?;
        let line = |start: &str| version.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
        let unknown = "`rustc -vV` says neither host nor LLVM version";
        let llvm = line("LLVM version: ").ok_or(unknown)?;
        Ok(Rustc {
            host: line("host: ").ok_or(unknown)?,
            llvm: llvm.split('.').next().unwrap_or_default().to_owned(),
            tools: PathBuf::from(said(&["--print", "target-libdir"])?.trim()).join("../bin"),
        })
    }

    fn profdata(&self) -> Outcome<PathBuf> {
        let debian = PathBuf::from(format!("/usr/lib/llvm-{}/bin", self.llvm));
        let places = [&self.tools, &debian].map(|folder| folder.join("llvm-profdata"));
        let missing = || {
            format!(
                "llvm-profdata of LLVM {0} is missing: `rustup component add llvm-tools`, or the package llvm-{0}",
                self.llvm
            )
        };
        Ok(places.into_iter().find(|path| path.is_file()).ok_or_else(missing)?)
    }
}

/// Runs what the profile is of.
struct Trainer {
    walnut: PathBuf,
    cache: PathBuf,
}

impl Trainer {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.walnut);
        command.arg(verb).env("WALNUT_CACHE_DIR", &self.cache).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Without a cache, with it, and explained when refused.
    fn commands(&self) -> Outcome {
        for guest in [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO, C_P1_HELLO] {
            for tier in ["both", "optimised", "optimised", "optimised"] {
                succeed(self.command("run").args(["--tier", tier]).arg(guest.path()))?;
            }
        }
        succeed(self.command("inspect").arg(RUST_P2_HTTP_HELLO.path()))
    }

    /// What nearly every start does, counted for itself.
    fn starts(&self, counts: &Path) -> Outcome {
        for guest in [RUST_P1_HELLO, RUST_P2_HELLO, RUST_P3_HELLO, C_P1_HELLO] {
            let mut run = self.command("run");
            run.env("LLVM_PROFILE_FILE", counts.join("%p.profraw"));
            succeed(run.args(["--tier", "optimised"]).arg(guest.path()))?;
        }
        Ok(())
    }

    fn services(&self) -> Outcome {
        for (guest, flags, requests) in [
            (RUST_P2_HTTP_HELLO, &["--access-log", "human"][..], REQUESTS),
            (RUST_P2_HTTP_HELLO, &["--access-log", "json"], REQUESTS),
            (RUST_P2_HTTP_HELLO, &["--reuse", "1000"], REQUESTS),
            (RUST_P3_HTTP_HELLO, &[], REQUESTS),
            (JS_P2_HTTP_HELLO, &[], REQUESTS / 10),
        ] {
            self.serve(guest, flags, |address| hello(address, requests))?;
        }
        self.serve(RUST_P2_HTTP_ECHO, &[], echo)
    }

    fn serve(&self, guest: Guest, flags: &[&str], work: impl Fn(&str) -> std::io::Result<()>) -> Outcome {
        let address = free_address()?;
        let mut command = self.command("serve");
        command.args(["--tier", "optimised", "--workers", "1", "--addr", &address]).args(flags).arg(guest.path());
        let mut server = Ended(command.spawn()?);
        let until = Instant::now() + START;
        while ask(&address, "/").is_err() {
            if let Some(status) = server.0.try_wait()? {
                return Err(format!("{command:?} ended: {status}").into());
            }
            if Instant::now() > until {
                return Err(format!("{command:?} does not answer").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        work(&address)?;
        // What it counted is written at its end, for which it must not be killed.
        succeed(Command::new("kill").args(["-TERM", &server.0.id().to_string()]))?;
        server.0.wait()?;
        Ok(())
    }
}

/// Many requests on a few connections.
fn hello(address: &str, requests: usize) -> std::io::Result<()> {
    std::thread::scope(|scope| {
        let client = || {
            let mut stream = TcpStream::connect(address)?;
            (0..requests).try_for_each(|_| {
                stream.write_all(REQUEST)?;
                whole_answer(&mut stream)
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
    })
}

/// Reads a greeting to its end, whether its length was announced or it comes in chunks.
fn whole_answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let text = String::from_utf8_lossy(&answer);
        let end = if text.contains("chunked") { "\r\n0\r\n\r\n" } else { "component\n" };
        if text.ends_with(end) {
            return Ok(());
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Bodies, which stream.
fn echo(address: &str) -> std::io::Result<()> {
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address)?;
        let mut reader = stream.try_clone()?;
        let answer = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        write!(
            stream,
            "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {BODY}\r\n\r\n"
        )?;
        stream.write_all(&[b'a'; BODY])?;
        answer.join().expect("reading does not panic")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_is_read_from_what_llvm_profdata_shows() {
        let shown = "\
Counters:
  tokio.cade-cgu.0;_ZN5tokio3runE:
    Hash: 0x011b529e94e967f2
    Counters: 3
    Block counts: [0, 20, 0]
  _ZN5alloc4growE:
    Hash: 0x01
    Counters: 1
    Block counts: [0]
  main:
    Hash: 0x02
    Counters: 1
    Block counts: [1]
Instrumentation level: IR  entry_first = 0
";
        assert_eq!(ran(shown), ["_ZN5tokio3runE", "main"]);
    }
}
