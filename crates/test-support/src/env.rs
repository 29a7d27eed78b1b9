use crate::Output;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::Guest;

/// Longer than any honest run on a slow machine. What takes longer hangs.
const HANGS: Duration = Duration::from_secs(120);

/// One test's world. It is removed when this is dropped.
#[derive(Debug)]
pub struct TestEnv {
    binary: PathBuf,
    cache: PathBuf,
    /// The home and current folder.
    dir: PathBuf,
    /// Where the binary puts temporary files: outside `dir`, so that a mount of `dir` shows what the test put there.
    temp: PathBuf,
    _root: tempfile::TempDir,
}

/// The world of a test of the `walnut` crate, where cargo says where the binary is.
#[macro_export]
macro_rules! test_env {
    () => {
        $crate::TestEnv::new(env!("CARGO_BIN_EXE_walnut"), env!("CARGO_TARGET_TMPDIR"))
    };
}

/// A guest's path, as it is typed.
pub fn guest(guest: Guest) -> String {
    guest.path().into_os_string().into_string().expect("the path is text")
}

impl TestEnv {
    /// A world with `binary` in it; `shared` is a folder that all tests may use. Called through [`test_env!`].
    pub fn new(binary: impl Into<PathBuf>, shared: impl Into<PathBuf>) -> Self {
        let root = tempfile::Builder::new().prefix("walnut-test-").tempdir().expect("there is a place for a folder");
        // A path as the system itself tells it, or messages would show another.
        let place = fs::canonicalize(root.path()).expect("the folder is there");
        let env = TestEnv {
            binary: binary.into(),
            cache: shared.into().join("cache"),
            dir: place.join("home"),
            temp: place.join("temp"),
            _root: root,
        };
        fs::create_dir(&env.dir).expect("a home can be made");
        fs::create_dir(&env.temp).expect("a folder for temporary files can be made");
        env
    }

    /// A cache of its own instead of the shared one, at first empty.
    pub fn with_own_cache(mut self) -> Self {
        self.cache = self.dir.with_file_name("cache");
        self
    }

    /// The home, which is the current folder too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `path` below the home.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// A folder beside the home, which no mount of the home shows.
    pub fn outside(&self) -> PathBuf {
        let outside = self.dir.with_file_name("outside");
        fs::create_dir_all(&outside).expect("a folder can be made");
        outside
    }

    /// Where compiled code is kept.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Where the binary puts temporary files.
    pub fn temp(&self) -> &Path {
        &self.temp
    }

    /// Makes a file below the home, with the folders that lead there, and tells its path.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// Makes a folder below the home and tells its path.
    pub fn folder(&self, path: &str) -> PathBuf {
        let path = self.dir.join(path);
        fs::create_dir_all(&path).expect("a folder can be made");
        path
    }

    /// What a file below the home holds.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.join(path)).unwrap_or_else(|e| panic!("{path} cannot be read: {e}"))
    }

    /// Runs `walnut` with these arguments, to its end.
    #[must_use = "snapshot it, or assert how it ended"]
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.walnut(args).run()
    }

    /// `walnut` with these arguments, not started yet.
    pub fn walnut<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Invocation<'_> {
        let mut command = self.command();
        command.args(args);
        Invocation { env: self, command, input: Vec::new() }
    }

    /// The binary as a plain command: in this world, with nothing of the machine's environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.dir).env_clear();
        command.envs([("HOME", &self.dir), ("TMPDIR", &self.temp), ("WALNUT_CACHE_DIR", &self.cache)]);
        // Help is as wide as the terminal, and colours depend on it.
        command.env("COLUMNS", "100").env("NO_COLOR", "1");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    /// Text that differs between machines, and what stands for it.
    pub fn replacements(&self) -> Vec<(String, &'static str)> {
        let guests = walnut_test_programs::folder();
        let text = walnut_test_programs::ALL.iter().find(|guest| guest.is_text()).map(Guest::path);
        let texts = text.as_deref().and_then(Path::parent).unwrap_or(&guests).to_owned();
        let pairs = [
            (self.cache.clone(), "[CACHE]"),
            (self.dir.with_file_name("outside"), "[OUTSIDE]"),
            (self.dir.clone(), "[DIR]"),
            (self.temp.clone(), "[TEMP]"),
            (guests, "[GUESTS]"),
            (texts, "[GUESTS]"),
        ];
        pairs.into_iter().filter_map(|(path, name)| Some((path.to_str()?.to_owned(), name))).collect()
    }
}

/// One call of the binary.
#[must_use = "it is not started yet"]
pub struct Invocation<'a> {
    env: &'a TestEnv,
    command: Command,
    input: Vec<u8>,
}

impl Invocation<'_> {
    /// Gives it these bytes on standard input, and then its end.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Lets it have a terminal for its standard streams, instead of pipes. What it says on either of them is on the
    /// terminal, as `stdout`, with the terminal's ends of lines.
    pub fn on_a_terminal(mut self) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"]);
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.current_dir(&self.env.dir).env_clear();
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = command;
        self.env("TERM", "xterm")
    }

    /// Runs it in this folder.
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, or hangs.
    #[must_use = "snapshot it, or assert how it ended"]
    #[track_caller]
    pub fn run(mut self) -> Output {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary starts");
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let mut stdin = child.stdin.take();
        let feed = thread::spawn(move || {
            // A guest that does not read leaves a broken pipe, which is its right.
            let _ = stdin.as_mut().map(|stdin| stdin.write_all(&self.input));
        });
        let ended = wait(&mut child);
        let text = |reader: thread::JoinHandle<Vec<u8>>| {
            String::from_utf8_lossy(&reader.join().expect("the reader does not panic")).into_owned()
        };
        let (stdout, stderr) = (text(stdout), text(stderr));
        let Some(status) = ended else {
            panic!("it hangs: {:?}\n--- stdout ---\n{stdout}\n--- stderr ---\n{stderr}", self.command)
        };
        feed.join().expect("the writer does not panic");
        Output { stdout, stderr, status, replacements: self.env.replacements() }
    }
}

/// Reads a stream to its end beside the process, which would otherwise wait for a full pipe.
fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    let mut stream = stream.expect("it is piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

/// How it ended; `None` when it had to be killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            return Some(status);
        }
        if started.elapsed() > HANGS {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
