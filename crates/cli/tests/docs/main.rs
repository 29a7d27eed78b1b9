//! Keeps the documents true. Of README.md and docs/guide.md every block marked `console` is run and compared.
//!
//! A block starts in a folder that holds only `examples/`, the files of [`FILES`], and the document's own blocks marked
//! `toml` whose first line is `# PATH`. Lines after `$ ` are what a person
//! types; what follows is what the terminal shows. A line `...` stands for any number of lines, and `...` in a line for any
//! text. Understood are `walnut`, `cd`, `mkdir -p`, `cat`, `echo TEXT > FILE`, `echo $?`, `curl [-s] URL`, comments, `&`
//! after `walnut serve`, and `kill %1`. `cargo run -p walnut --` is `walnut`, `git` does nothing.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use walnut_test_programs::{Guest, RUST_P2_HTTP_HELLO, WAT_CORE_ADD};
use walnut_test_support::{Connection, TestEnv, test_env};

/// Guests that the documents use, and what they are called there.
const FILES: [(&str, Guest); 2] = [("api.wasm", RUST_P2_HTTP_HELLO), ("add.wat", WAT_CORE_ADD)];

/// What is in `examples/`.
const EXAMPLES: [&str; 5] =
    ["hello/hello.wat", "greet/greet.wat", "shop/walnut.toml", "shop/greeter.wat", "shop/public/index.html"];

/// What the documents show as the ports, of what is served and of the admin address; the tests take free ones.
const SHOWN: &str = "127.0.0.1:8080";
const SHOWN_ADMIN: &str = "127.0.0.1:9090";

/// What a server says of a component on its first start, once it has come that far: when, depends on the machine.
const OPTIMISED: &str = ": optimised code from now on";

#[test]
fn the_readme_is_true() {
    check("README.md");
}

#[test]
fn the_guide_is_true() {
    check("docs/guide.md");
}

/// A promise that names a test which is not there is held by nothing.
#[test]
fn the_specification_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/SPECIFICATION.md")).expect("the document is there");
    let mut wrong = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let held_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let mut source = String::new();
        for word in held_by.split('`').skip(1).step_by(2) {
            let is_test =
                word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if is_test && !source.contains(&format!("fn {word}()")) {
                wrong.push(format!("no test {word}"));
            } else if !is_test && !word.contains(' ') {
                let path = match word.split_once('/') {
                    Some(("cli" | "serve", _)) => root().join("crates/cli/tests").join(word),
                    _ => root().join(word),
                };
                source = fs::read_to_string(&path).unwrap_or_default();
                wrong.extend((!path.exists()).then(|| format!("no file {word}")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn check(document: &str) {
    let text = fs::read_to_string(root().join(document)).expect("the document is there");
    let (blocks, files) = (blocks(&text), described(&text));
    assert!(!blocks.is_empty(), "{document} has no transcript");
    let wrong: Vec<_> =
        blocks.iter().filter_map(|block| Some(format!("{document}:{}", block.replay(&files).err()?))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    // Asked when it runs: what the compiler knew may be another checkout's, when two share a build folder.
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is")).join("../..")
}

/// The files that a document describes: their paths, and what is in them.
fn described(text: &str) -> Vec<(&str, &str)> {
    let opened = text.split("```toml\n# ").skip(1);
    opened.filter_map(|rest| rest.split("\n```").next()?.split_once('\n')).collect()
}

/// One transcript.
struct Block {
    /// Its commands: the line in the document, what is typed, what is shown.
    steps: Vec<(usize, String, Vec<String>)>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut open, line) {
            (None, "```console") => open = Some(Block { steps: Vec::new() }),
            (None, _) => {}
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), _) => match line.strip_prefix("$ ") {
                Some(typed) => block.steps.push((number, typed.to_owned(), Vec::new())),
                None => {
                    let (_, _, shown) = block.steps.last_mut().expect("a transcript starts with a command");
                    shown.push(line.to_owned());
                }
            },
        }
    }
    assert!(open.is_none(), "a transcript does not end");
    blocks
}

impl Block {
    fn replay(&self, files: &[(&str, &str)]) -> Result<(), String> {
        let mut shell = Shell::new(files);
        for (line, typed, expected) in &self.steps {
            let shown = shell.run(typed).map_err(|e| format!("{line}: {typed}: {e}"))?;
            let shown: Vec<&str> = shown.lines().filter(|line| !line.ends_with(OPTIMISED)).collect();
            if !fits(expected, &shown) {
                let (expected, shown) = (expected.join("\n"), shown.join("\n"));
                return Err(format!(
                    "{line}: {typed}\n--- the document shows\n{expected}\n--- but this happens\n{shown}\n---"
                ));
            }
        }
        Ok(())
    }
}

/// Whether what is shown is what was expected, where `...` is any number of lines.
fn fits(expected: &[String], shown: &[&str]) -> bool {
    match expected.split_first() {
        None => shown.is_empty(),
        Some((first, rest)) if first == "..." => (0..=shown.len()).any(|skip| fits(rest, &shown[skip..])),
        Some((first, rest)) => {
            shown.split_first().is_some_and(|(line, below)| line_fits(first, line) && fits(rest, below))
        }
    }
}

fn line_fits(expected: &str, shown: &str) -> bool {
    match expected.split_once("...") {
        None => expected == shown,
        Some((start, end)) => shown.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

/// The little of a shell that the documents use.
struct Shell {
    env: TestEnv,
    folder: PathBuf,
    code: i32,
    /// A server in the background, and where it listens: each address as the documents show it and as it is.
    server: Option<(Child, Vec<(&'static str, String)>)>,
}

impl Shell {
    fn new(files: &[(&str, &str)]) -> Self {
        let env = test_env!();
        for (path, content) in files {
            env.file(path, content);
        }
        for example in EXAMPLES {
            let path = format!("examples/{example}");
            env.file(&path, fs::read(root().join(&path)).expect("the example is there"));
        }
        for (name, guest) in FILES {
            env.file(name, fs::read(guest.path()).expect("the guest can be read"));
        }
        let folder = env.dir().to_owned();
        Shell { env, folder, code: 0, server: None }
    }

    fn run(&mut self, typed: &str) -> Result<String, String> {
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

    /// Both streams in one, in the order in which a terminal shows them.
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
            // What it may do follows the address.
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
        Ok(Connection::open(address).map_err(plain)?.ask(request).text())
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

/// The words of a command, as a shell reads quotes; what follows a `#` is a comment.
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

#[test]
fn three_dots_stand_for_any_lines() {
    let expected: Vec<String> = ["a", "...", "c"].map(String::from).to_vec();
    assert!(fits(&expected, &["a", "c"]) && fits(&expected, &["a", "b", "c", "c"]));
    assert!(!fits(&expected, &["a", "b"]) && !fits(&expected, &["b", "c"]));
    assert!(line_fits("a...c", "abc") && !line_fits("a...c", "abd"));
}
