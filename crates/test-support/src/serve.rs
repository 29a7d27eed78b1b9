use crate::{HttpClient, Response, RunOutput, TestEnv, guest};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use walnut_test_programs::Guest;

/// Time-out of every wait: longer than anything takes on a slow machine, the first compilation of
/// an interpreter included.
const HANGS: Duration = Duration::from_secs(120);

/// A running `walnut serve` on a free port of 127.0.0.1. Killed on drop; its messages are shown if
/// the test fails.
pub struct ServeProcess {
    child: Child,
    address: SocketAddr,
    stdout: Captured,
    stderr: Captured,
    replacements: Vec<(String, &'static str)>,
}

impl ServeProcess {
    /// Serves `program`, with more flags.
    ///
    /// # Panics
    /// When the server does not start.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(env: &TestEnv, program: Guest, flags: impl IntoIterator<Item = A>) -> Self {
        let mut command = env.command();
        command.args(["serve", &guest(program), "--addr", "127.0.0.1:0"]).args(flags);
        Self::launch(env, command)
    }

    /// Serves `program`, with more flags and with these variables in the environment.
    ///
    /// # Panics
    /// When the server does not start.
    #[track_caller]
    pub fn start_with(env: &TestEnv, variables: &[(&str, &str)], program: Guest, flags: &[&str]) -> Self {
        let mut command = env.command();
        command.args(["serve", &guest(program), "--addr", "127.0.0.1:0"]).args(flags);
        command.envs(variables.iter().copied());
        Self::launch(env, command)
    }

    /// Serves these apps.
    ///
    /// # Panics
    /// When the server does not start.
    #[track_caller]
    pub fn of_apps<A: AsRef<OsStr>>(env: &TestEnv, apps: impl IntoIterator<Item = A>) -> Self {
        Self::of_apps_with(env, &[], apps)
    }

    /// Serves these apps, with these variables in the environment.
    ///
    /// # Panics
    /// When the server does not start.
    #[track_caller]
    pub fn of_apps_with<A: AsRef<OsStr>>(
        env: &TestEnv,
        variables: &[(&str, &str)],
        apps: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut command = env.command();
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(apps).envs(variables.iter().copied());
        Self::launch(env, command)
    }

    /// Serves these apps: waits for the message `refusal`, has `mend` fix the error, and waits for
    /// the server.
    ///
    /// # Panics
    /// When the server does not start.
    #[track_caller]
    pub fn of_mended_apps<A: AsRef<OsStr>>(
        env: &TestEnv,
        apps: impl IntoIterator<Item = A>,
        refusal: &str,
        mend: impl FnOnce(),
    ) -> Self {
        let waits = Self::that_waits(env, Stdio::null(), apps, refusal);
        mend();
        waits.when_up()
    }

    /// Starts to serve these apps with this standard input, and waits for the message `said`,
    /// before the server is up.
    ///
    /// # Panics
    /// When the message does not come.
    #[track_caller]
    pub fn that_waits<A: AsRef<OsStr>>(
        env: &TestEnv,
        input: Stdio,
        apps: impl IntoIterator<Item = A>,
        said: &str,
    ) -> Self {
        let mut command = env.command();
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(apps);
        let process = Self::spawn(env, command, input);
        process.says(said);
        process
    }

    /// Serves `program` from standard input, with these targets beside it.
    ///
    /// # Panics
    /// When the server does not start.
    #[track_caller]
    pub fn of_input<A: AsRef<OsStr>>(env: &TestEnv, program: Guest, targets: impl IntoIterator<Item = A>) -> Self {
        let mut command = env.command();
        command.args(["serve", "--addr", "127.0.0.1:0", "-"]).args(targets);
        Self::spawn(env, command, File::open(program.path()).expect("the guest can be read").into()).when_up()
    }

    #[track_caller]
    fn launch(env: &TestEnv, command: Command) -> Self {
        Self::spawn(env, command, Stdio::null()).when_up()
    }

    fn spawn(env: &TestEnv, mut command: Command, input: Stdio) -> Self {
        // Comes first: a panic here, when guests are missing, must not leave a server behind.
        let replacements = env.replacements();
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let (stdout, stderr) = (Captured::of(child.stdout.take()), Captured::of(child.stderr.take()));
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        ServeProcess { child, address, stdout, stderr, replacements }
    }

    /// Waits until the server is up.
    ///
    /// # Panics
    /// When the server does not start.
    #[track_caller]
    pub fn when_up(mut self) -> Self {
        let is_up = self.stderr.wait(|text| text.contains("\n  ") && announced(text).is_some());
        let address = is_up.then(|| announced(&self.stderr())).flatten();
        self.address = address.expect("it comes up");
        self
    }

    /// Returns the address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection.
    #[track_caller]
    pub fn connect(&self) -> HttpClient {
        HttpClient::open(self.address).expect("the server takes a connection")
    }

    /// Sends a GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// Sends a POST of `body` on a connection of its own.
    #[track_caller]
    pub fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let mut connection = self.connect();
        let head = format!("POST {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.send(head).expect("the server reads");
        // A server that refuses a body because of the head need not read it.
        let _ = connection.send(body);
        connection.response()
    }

    /// Returns standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until standard error contains `text`.
    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(self.stderr.wait(|said| said.contains(text)), "nothing says {text:?}:\n{}", self.stderr());
    }

    /// Waits until standard error contains `text` this many times.
    #[track_caller]
    pub fn says_times(&self, text: &str, times: usize) {
        let enough = |said: &str| said.matches(text).count() >= times;
        assert!(self.stderr.wait(enough), "nothing says {text:?} {times} times:\n{}", self.stderr());
    }

    /// Sets whether standard error is read, as it is at first. Once the process has ended, it is
    /// read in any case.
    pub fn read_stderr(&self, is_read: bool) {
        self.stderr.is_left.store(!is_read, SeqCst);
    }

    /// Returns the resident memory in bytes; `None` where the system does not tell.
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    /// Returns the number of mapped file parts whose names end in `end`; `None` where the system
    /// does not tell.
    pub fn mappings(&self, end: &str) -> Option<usize> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.child.id())).ok()?;
        Some(maps.lines().filter(|line| line.ends_with(end)).count())
    }

    /// Returns the names of the threads; `None` where the system does not tell.
    pub fn threads(&self) -> Option<Vec<String>> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        // A thread may have ended since.
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
        Some(tasks.flatten().filter_map(name).map(|name| name.trim().to_owned()).collect())
    }

    /// Returns whether the process is still running.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM.
    #[cfg(unix)]
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Sends SIGHUP.
    #[cfg(unix)]
    pub fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// Sends SIGINT.
    #[cfg(unix)]
    pub fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a child has an id"), signal).expect("the process is there");
    }

    /// Sends SIGTERM and waits for the end.
    #[cfg(unix)]
    pub fn stop(self) -> RunOutput {
        self.terminate();
        self.wait()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When the process does not end.
    #[track_caller]
    pub fn wait(mut self) -> RunOutput {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                break status;
            }
            assert!(started.elapsed() < HANGS, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        RunOutput {
            stdout: self.stdout.when_ended(),
            stderr: self.stderr.when_ended(),
            status,
            replacements: std::mem::take(&mut self.replacements),
        }
    }
}

impl Drop for ServeProcess {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the server said")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            let (stdout, stderr) = (self.stdout.when_ended(), self.stderr.when_ended());
            eprintln!("the server was: {status:?}\n--- stdout ---\n{stdout}--- stderr ---\n{stderr}---");
        }
    }
}

/// Finds the address in "serving X on http://ADDRESS" or https.
fn announced(stderr: &str) -> Option<SocketAddr> {
    let line = stderr.lines().find(|line| line.starts_with("serving "))?;
    line.rsplit_once("://")?.1.parse().ok()
}

/// A stream that is read while the process runs, so that the process does not wait for a full pipe.
struct Captured {
    shared: Arc<(Mutex<String>, Condvar)>,
    /// Nothing is read while this is set.
    is_left: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Captured {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let mut stream = BufReader::new(stream.expect("it is piped"));
        let (shared, is_left) = (Arc::<(Mutex<String>, Condvar)>::default(), Arc::<AtomicBool>::default());
        let reader = {
            let (shared, is_left) = (shared.clone(), is_left.clone());
            thread::spawn(move || {
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    lock(&shared.0).push_str(&String::from_utf8_lossy(&line));
                    shared.1.notify_all();
                    line.clear();
                    while is_left.load(SeqCst) {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            })
        };
        Captured { shared, is_left, reader: Some(reader) }
    }

    fn text(&self) -> String {
        lock(&self.shared.0).clone()
    }

    /// Returns everything, once the process has ended.
    fn when_ended(&mut self) -> String {
        self.is_left.store(false, SeqCst);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.text()
    }

    /// Waits until `enough` is true of the text; `false` when the stream ends first.
    fn wait(&self, enough: impl Fn(&str) -> bool) -> bool {
        let started = Instant::now();
        let mut text = lock(&self.shared.0);
        loop {
            if enough(&text) {
                return true;
            }
            if self.reader.as_ref().is_none_or(JoinHandle::is_finished) || started.elapsed() > HANGS {
                return false;
            }
            let waited = self.shared.1.wait_timeout(text, Duration::from_millis(50));
            text = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}
