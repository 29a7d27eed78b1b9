//! The small part of a shell that the documents use.
//!
//! Known commands: `walnut`, `cd`, `mkdir -p`, `cat`, `echo TEXT > FILE`, `echo $?`,
//! `curl [-s] URL`, comments, `&` after `walnut serve`, and `kill %1`. `cargo run -p walnut --` is
//! `walnut`, and `git` does nothing.

use crate::root;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_support::{HttpClient, TestEnv, test_env};

/// A component that stands for the reader's own, and the example from which it is made.
const API: &str = "api.wasm";
const GREETER: &str = "examples/shop/greeter.wat";

/// The files in `examples/`.
const EXAMPLES: [&str; 5] =
    ["hello/hello.wat", "greet/greet.wat", "shop/walnut.toml", "shop/greeter.wat", "shop/public/index.html"];

/// Addresses that the documents show, of a server and of its admin page; the tests take free ports.
const SHOWN: &str = "127.0.0.1:8080";
const SHOWN_ADMIN: &str = "127.0.0.1:9090";

/// A folder with the files of a document, and the state of a shell in it.
pub struct Shell {
    env: TestEnv,
    folder: PathBuf,
    code: i32,
    /// A server in the background, and its addresses: as the documents show each, and the real one.
    server: Option<(Child, Vec<(&'static str, String)>)>,
}

impl Shell {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let env = test_env!();
        for (path, content) in files {
            env.file(path, content);
        }
        for example in EXAMPLES {
            let path = format!("examples/{example}");
            env.file(&path, fs::read(root().join(&path)).expect("the example is there"));
        }
        env.file(API, wat::parse_file(root().join(GREETER)).expect("the example is valid"));
        let folder = env.dir().to_owned();
        Shell { env, folder, code: 0, server: None }
    }

    pub fn run(&mut self, typed: &str) -> Result<String, String> {
        let words = words(
            typed
                .strip_prefix("cargo run -p walnut -- ")
                .map(|rest| format!("walnut {rest}"))
                .as_deref()
                .unwrap_or(typed),
        );
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["git", ..] | [] => Ok(String::new()),
            ["echo", "$?"] => Ok(format!("{}\n", self.code)),
            ["echo", text @ .., ">", file] => self.write(file, &format!("{}\n", text.join(" "))),
            ["cd", folder] => {
                self.folder.push(folder);
                Ok(String::new())
            }
            ["mkdir", "-p", folder] => {
                fs::create_dir_all(self.folder.join(folder)).map(|()| String::new()).map_err(plain)
            }
            ["cat", file] => fs::read_to_string(self.folder.join(file)).map_err(plain),
            ["curl", .., url] => self.get(url),
            ["kill", "%1"] => self.stop(),
            ["walnut", arguments @ .., "&"] => self.serve(arguments),
            ["walnut", arguments @ ..] => self.walnut(arguments),
            _ => Err("this test does not know the command".into()),
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<String, String> {
        fs::write(self.folder.join(file), text).map(|()| String::new()).map_err(plain)
    }

    /// Prepares a command that writes both streams to one file, in the order in which a terminal
    /// shows them.
    fn command(&self, arguments: &[&str]) -> Result<(Command, PathBuf), String> {
        let output = self.env.temp().join("output");
        let file = File::create(&output).map_err(plain)?;
        let mut command = self.env.command();
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(file.try_clone().map_err(plain)?).stderr(file);
        Ok((command, output))
    }

    fn walnut(&mut self, arguments: &[&str]) -> Result<String, String> {
        let (mut command, output) = self.command(arguments)?;
        self.code = command.status().map_err(plain)?.code().ok_or("it was killed")?;
        let cache = self.env.cache().display().to_string();
        fs::read_to_string(output).map(|text| text.replace(&cache, "/home/you/.cache/walnut")).map_err(plain)
    }

    fn serve(&mut self, arguments: &[&str]) -> Result<String, String> {
        let arguments: Vec<_> = arguments.iter().map(|a| if *a == SHOWN_ADMIN { "127.0.0.1:0" } else { a }).collect();
        let (mut command, output) = self.command(&[&arguments, ["--addr", "127.0.0.1:0"].as_slice()].concat())?;
        let mut child = command.spawn().map_err(plain)?;
        let started = Instant::now();
        loop {
            let said = fs::read_to_string(&output).map_err(plain)?;
            // The lines with the grants follow the address.
            if said.contains("\n  ") && said.ends_with('\n') {
                let after = |words: &str| Some(said.split_once(words)?.1.split(['\n', '/']).next()?.to_owned());
                let found = [(SHOWN, after(" on http://")), (SHOWN_ADMIN, after("admin page: http://"))];
                let addresses: Vec<_> = found.into_iter().filter_map(|(shown, real)| Some((shown, real?))).collect();
                let shown = addresses.iter().fold(said.clone(), |said, (shown, real)| said.replace(real, shown));
                self.server = Some((child, addresses));
                return Ok(shown);
            }
            if started.elapsed() > Duration::from_secs(120) {
                let _ = child.kill();
                return Err(format!("it does not come up:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn get(&self, url: &str) -> Result<String, String> {
        let (_, addresses) = self.server.as_ref().ok_or("nothing serves")?;
        let rest = url.strip_prefix("http://").ok_or("not a URL")?;
        let at = addresses.iter().find_map(|(shown, real)| Some((rest.strip_prefix(shown)?, real)));
        let (path, address) = at.ok_or("another server")?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let address = address.parse().map_err(plain)?;
        Ok(HttpClient::open(address).map_err(plain)?.ask(request).text())
    }

    fn stop(&mut self) -> Result<String, String> {
        let (mut child, _) = self.server.take().ok_or("nothing serves")?;
        child.kill().and_then(|()| child.wait()).map(|_| String::new()).map_err(plain)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn plain(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Splits a command into words, with quotes as in a shell; a comment begins with `#`.
fn words(typed: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for c in typed.chars() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(q), c) if q == c => quote = None,
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_are_read_as_a_shell_reads_them() {
    assert_eq!(words("a 'b c' \"d\"e # f"), ["a", "b c", "de"]);
}
