use crate::RunOutput;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use walnut_test_programs::Guest;

/// Time-out of a run: longer than any honest run on a slow machine.
const HANGS: Duration = Duration::from_secs(120);

/// Environment of one test. Removed on drop.
#[derive(Debug)]
pub struct TestEnv {
    binary: PathBuf,
    cache: PathBuf,
    /// Home and current folder.
    dir: PathBuf,
    /// Folder for temporary files of the binary: outside `dir`, so that a mount of `dir` shows only
    /// files of the test.
    temp: PathBuf,
    _root: tempfile::TempDir,
}

/// Creates the environment of a test of the `walnut` crate, where cargo tells the path of the
/// binary.
#[macro_export]
macro_rules! test_env {
    () => {
        $crate::TestEnv::new(env!("CARGO_BIN_EXE_walnut"), env!("CARGO_TARGET_TMPDIR"))
    };
}

/// Returns the path of a guest as text.
pub fn guest(guest: Guest) -> String {
    guest.path().into_os_string().into_string().expect("the path is text")
}

impl TestEnv {
    /// Creates an environment for `binary`; `shared` is a folder that all tests use. Called by
    /// [`test_env!`].
    pub fn new(binary: impl Into<PathBuf>, shared: impl Into<PathBuf>) -> Self {
        let root = tempfile::Builder::new().prefix("walnut-test-").tempdir().expect("there is a place for a folder");
        // Resolves links, since messages show the resolved path.
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

    /// Uses an empty cache instead of the shared one.
    pub fn with_own_cache(mut self) -> Self {
        self.cache = self.dir.with_file_name("cache");
        self
    }

    /// Returns the home, which is also the current folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns `path` below the home.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// Creates a folder beside the home, which no mount of the home shows.
    pub fn outside(&self) -> PathBuf {
        let outside = self.dir.with_file_name("outside");
        fs::create_dir_all(&outside).expect("a folder can be made");
        outside
    }

    /// Returns the folder of the code cache.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Returns the folder for temporary files of the binary.
    pub fn temp(&self) -> &Path {
        &self.temp
    }

    /// Creates a file below the home, with its folders, and returns its path.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// Creates a folder below the home and returns its path.
    pub fn folder(&self, path: &str) -> PathBuf {
        let path = self.dir.join(path);
        fs::create_dir_all(&path).expect("a folder can be made");
        path
    }

    /// Reads a file below the home.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.join(path)).unwrap_or_else(|e| panic!("{path} cannot be read: {e}"))
    }

    /// Runs `walnut` with these arguments to its end.
    #[must_use = "snapshot it, or assert how it ended"]
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> RunOutput {
        self.walnut(args).run()
    }

    /// Prepares a run of `walnut` with these arguments.
    pub fn walnut<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Invocation<'_> {
        let mut command = self.command();
        command.args(args);
        Invocation { env: self, command, input: Vec::new() }
    }

    /// Returns a command that runs the binary in this environment, with no variable of the machine.
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

    /// Text that differs between machines, and its replacement.
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

/// A run of the binary that is being prepared.
#[must_use = "it is not started yet"]
pub struct Invocation<'a> {
    env: &'a TestEnv,
    command: Command,
    input: Vec<u8>,
}

impl Invocation<'_> {
    /// Sends these bytes to standard input, and closes it.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Runs the binary on a terminal instead of pipes. Both output streams are then in `stdout`,
    /// with the terminal's line ends.
    pub fn on_a_terminal(mut self) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"]);
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.current_dir(&self.env.dir).env_clear();
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = command;
        self.env("TERM", "xterm")
    }

    /// Runs the binary in this folder.
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    /// When the binary cannot be started, or hangs.
    #[must_use = "snapshot it, or assert how it ended"]
    #[track_caller]
    pub fn run(mut self) -> RunOutput {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary starts");
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let mut stdin = child.stdin.take();
        let feed = thread::spawn(move || {
            // A guest that does not read leaves a broken pipe.
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
        RunOutput { stdout, stderr, status, replacements: self.env.replacements() }
    }
}

/// Reads a stream to its end while the process runs, so that the process does not wait for a full
/// pipe.
fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    let mut stream = stream.expect("it is piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for the end; `None` when the process had to be killed.
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
