//! The real program: found or built once, started in a home of its own, heard line by line, ended for certain.
//!
//! It knows no network and no protocol. Nothing sleeps: whoever waits, waits for a line or for the end, and every
//! wait has the same generous limit, [`PATIENCE`].

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Key;

/// How long anything may take before a test gives up. A busy machine is slow, and no test passes by waiting.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test: what `HVYM_TUNNEL_BIN` names, or a debug build, which is there in seconds after a change.
/// The test command names a release build, which is what people run.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("HVYM_TUNNEL_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

fn build() -> PathBuf {
    let output = crate::cargo()
        .args(["build", "--package", "hvym-tunnel", "--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "the program cannot be built");
    let text = String::from_utf8(output.stdout).expect("cargo writes text");
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut paths = artifacts.filter_map(|artifact| Some(PathBuf::from(artifact["executable"].as_str()?)));
    paths.next().expect("cargo names what it built")
}

/// A home folder that nobody else uses, removed at the end.
#[derive(Debug)]
pub struct Home(PathBuf);

impl Home {
    /// An empty one.
    ///
    /// # Panics
    /// When the temporary folder takes no more.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let path = std::env::temp_dir().join(format!("hvym-tunnel-e2e-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder takes a folder");
        Home(path)
    }

    /// One in which agents and relays have the identity `key`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn of(key: &Key) -> Self {
        let home = Home::new();
        fs::create_dir_all(home.path("config/hvym-tunnel")).expect("a folder takes a folder");
        for name in ["identity.key", "relay.key"] {
            let path = home.path("config/hvym-tunnel").join(name);
            fs::write(&path, key.secret()).expect("a folder takes a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .expect("its owner may change a mode");
        }
        home
    }

    /// The file or folder `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The program, about to start in this home with nothing else around it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().env("HOME", &self.0).env("XDG_CONFIG_HOME", self.path("config"));
        // Relays of tests are asked for agents that are not there.
        command.env("HVYM_TUNNEL_HOLD", "0.001");
        command
    }

    /// Starts the program in this home.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self, arguments: &[&str]) -> Program {
        Program::start(self.command(arguments))
    }

    /// Starts the program in this home, which is removed with it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn into_program(self, arguments: &[&str]) -> Program {
        let mut program = self.start(arguments);
        program.home = Some(self);
        program
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// What one stream of a process says, line by line.
struct Lines {
    /// Locked, so that visitors on many threads may share the tunnel that it belongs to.
    coming: Mutex<Receiver<String>>,
    all: Arc<Mutex<String>>,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, coming) = channel();
        let all = Arc::<Mutex<String>>::default();
        let copy = Arc::clone(&all);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut all = copy.lock().unwrap_or_else(PoisonError::into_inner);
                all.push_str(&line);
                all.push('\n');
                drop(all);
                // Nobody listens any more: the transcript still does.
                let _unheard = sender.send(line);
            }
        });
        Lines { coming: Mutex::new(coming), all }
    }

    fn next(&self, patience: Duration) -> Result<String, RecvTimeoutError> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience)
    }

    fn all(&self) -> String {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running process, killed when it is dropped.
pub struct Program {
    child: Child,
    out: Lines,
    err: Lines,
    /// Its home, where nobody else has it.
    home: Option<Home>,
}

impl Program {
    /// Starts `command`, and listens to both of its streams.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(command: Command) -> Self {
        Self::start_with_input(command, Stdio::null())
    }

    /// The same, with this as its standard input.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with_input(mut command: Command, input: Stdio) -> Self {
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, err) =
            (child.stdout.take().expect("it was piped"), child.stderr.take().expect("it was piped"));
        Self::reading(child, out, err)
    }

    /// `child`, whose output and errors come from these streams.
    pub(crate) fn reading(
        child: Child,
        out: impl Read + Send + 'static,
        err: impl Read + Send + 'static,
    ) -> Self {
        Program { child, out: Lines::of(out), err: Lines::of(err), home: None }
    }

    /// The next line on standard output.
    ///
    /// # Panics
    /// When none comes.
    pub fn line(&mut self) -> String {
        let line = self.out.next(PATIENCE);
        line.unwrap_or_else(|error| panic!("no line ({error}): {self:?}"))
    }

    /// The next JSON event called `name`; those before it are passed over.
    ///
    /// # Panics
    /// When none comes.
    pub fn event(&mut self, name: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.out.next(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("no event {name} ({error}): {self:?}"));
            let event: Value =
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?} is no event: {e}"));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The next line on standard error that contains `words`.
    ///
    /// # Panics
    /// When none comes.
    pub fn says(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.err.next(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("not a word of {words:?} ({error}): {self:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Whether it has said `words` on either stream, or does so within `patience`.
    pub fn tells(&mut self, words: &str, patience: Duration) -> bool {
        /// Who waits for one stream looks this often whether the other has said it.
        const GLANCE: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + patience;
        loop {
            // Looked at last, so that what was said before both ended is not missed.
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = [&self.out, &self.err]
                .map(|stream| stream.next(left.min(GLANCE)) == Err(RecvTimeoutError::Disconnected));
            if self.transcript().contains(words) {
                return true;
            }
            if left.is_zero() || ended == [true, true] {
                return false;
            }
        }
    }

    /// Waits for the end of the process, and returns its exit code.
    ///
    /// # Panics
    /// When it does not end, or is killed.
    pub fn code(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        for which in [&self.out, &self.err] {
            // A stream ends with the process that writes it.
            loop {
                match which.next(deadline.saturating_duration_since(Instant::now())) {
                    Ok(_) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => panic!("it goes on: {self:?}"),
                }
            }
        }
        let status = self.child.wait().expect("a child can be waited for");
        status.code().unwrap_or_else(|| panic!("{status}: {self:?}"))
    }

    /// Whether the process still runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Kills it, and waits until the system has cleaned up after it.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Everything it said so far, on both streams.
    pub fn transcript(&self) -> String {
        format!("{}{}", self.out.all(), self.err.all())
    }

    /// How many descriptors it has open.
    ///
    /// # Panics
    /// When the process is gone, or the system is not Linux.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("Linux tells").count()
    }

    /// How many threads it has.
    ///
    /// # Panics
    /// When the process is gone, or the system is not Linux.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux tells").count()
    }

    /// Waits until it has at most `count` descriptors open.
    ///
    /// # Panics
    /// When it keeps more.
    pub fn comes_down_to(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.descriptors() > count {
            assert!(Instant::now() < deadline, "{} descriptors, not {count}: {self:?}", self.descriptors());
            std::thread::yield_now();
        }
    }

    /// The memory it holds now (`VmRSS`), or the most it ever held (`VmHWM`), bytes.
    ///
    /// # Panics
    /// When the process is gone, or the system is not Linux.
    pub fn memory(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux tells");
        let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        number.expect("Linux tells in kB") * 1024
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n--- stdout\n{}--- stderr\n{}", self.out.all(), self.err.all())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone is as good.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A Python program of `tests/peers`, or of Python's own library after `-m`.
///
/// # Panics
/// When there is no Python 3.
pub fn python(arguments: &[&str]) -> Program {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let mut command = Command::new("python3");
    command.arg("-u").args(arguments).current_dir(peers);
    Program::start(command)
}
