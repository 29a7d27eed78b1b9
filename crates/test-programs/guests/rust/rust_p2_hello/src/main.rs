//! Says hello as a component: every call goes straight to WASI 0.2.

use std::io::{self, Write};

use wasip2::cli::{environment, exit, stderr, stdin, stdout};

fn main() -> io::Result<()> {
    let arguments = environment::get_arguments();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let mut out = stdout::get_stdout();
    match arguments[..] {
        [] => out.write_all(b"hello from a sealed component\n")?,
        // WASI 0.2 has only success and failure.
        ["--exit", "0"] => exit::exit(Ok(())),
        ["--exit", _] => exit::exit(Err(())),
        ["--stdin"] => {
            io::copy(&mut stdin::get_stdin(), &mut out)?;
        }
        ["--env"] => {
            for (name, value) in environment::get_environment() {
                out.write_all(format!("{name}={value}\n").as_bytes())?;
            }
        }
        ["--stderr", text] => stderr::get_stderr().write_all(format!("{text}\n").as_bytes())?,
        _ => {
            for argument in arguments {
                out.write_all(format!("{argument}\n").as_bytes())?;
            }
        }
    }
    Write::flush(&mut out)
}
