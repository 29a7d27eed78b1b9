//! Does one file operation per run. A refusal is shown as the system's own error.

use std::{
    env,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    process::ExitCode,
    time::SystemTime,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match act(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(0);
            eprintln!("error: {:?} {number}: {error}", error.kind());
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: &[&str]) -> io::Result<()> {
    match *arguments {
        ["read", path] => io::stdout().write_all(&fs::read(path)?),
        ["write", path, text] => fs::write(path, text),
        ["append", path, text] => OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes()),
        ["truncate", path] => OpenOptions::new().write(true).open(path)?.set_len(0),
        ["list", path] => {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                names.push(entry?.file_name());
            }
            names.sort();
            names.iter().for_each(|name| println!("{}", name.display()));
            Ok(())
        }
        // The link itself, not its target.
        ["stat", path] => {
            let about = fs::symlink_metadata(path)?;
            let kind = match about.file_type() {
                kind if kind.is_dir() => "folder",
                kind if kind.is_file() => "file",
                kind if kind.is_symlink() => "link",
                _ => "other",
            };
            println!("{kind} {}", about.len());
            Ok(())
        }
        // The times of a file can be changed without opening it for writing.
        ["touch-open", path] => File::open(path)?.set_modified(SystemTime::now()),
        ["mkdir", path] => fs::create_dir(path),
        ["rmdir", path] => fs::remove_dir(path),
        ["remove", path] => fs::remove_file(path),
        ["rename", from, to] => fs::rename(from, to),
        ["link", from, to] => fs::hard_link(from, to),
        ["symlink", target, link] => symlink(target, link),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "unknown operation")),
    }
}

/// Creates a symbolic link; std has this for WASI on nightly only.
fn symlink(target: &str, link: &str) -> io::Result<()> {
    let (target, link) = (CString::new(target)?, CString::new(link)?);
    // SAFETY: both are strings that end in NUL and live until the call returns.
    match unsafe { libc::symlink(target.as_ptr(), link.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
