//! A program that runs beside the measurement: heard until it is ready, weighed, and ended for certain.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to start.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a program may take to end when it is asked to; then it is killed.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often a program is asked whether it has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// A running program, ended when it is dropped.
pub(super) struct Process {
    child: Child,
    name: String,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `command`, and listens to what it says on both streams.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name} does not start"))?;
        let (sender, lines) = channel();
        if let Some(out) = child.stdout.take() {
            listen(out, sender.clone());
        }
        if let Some(err) = child.stderr.take() {
            listen(err, sender);
        }
        Ok(Process { child, name, lines })
    }

    /// What `wanted` finds in one of the coming lines.
    pub(super) fn hears<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.map_err(|_| anyhow!("{} never got ready; it said:\n{said}", self.name))?;
            if let Some(found) = wanted(&line) {
                return Ok(found);
            }
            said.push_str(&line);
            said.push('\n');
        }
    }

    /// Of the lines since this or [`Self::hears`] was asked last, how many contain `text`.
    pub(super) fn count(&self, text: &str) -> usize {
        self.lines.try_iter().filter(|line| line.contains(text)).count()
    }

    /// The processor time that it took so far, in hundredths of a second (`USER_HZ`, proc(5)).
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may have spaces in it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let ticks = ticks(11).zip(ticks(12)).context("the system does not tell the processor time")?;
        Ok(Duration::from_millis(10 * (ticks.0 + ticks.1)))
    }

    /// The memory it holds; nothing where the system does not tell.
    pub(super) fn memory(&self) -> Memory {
        let rollup =
            fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap_or_default();
        let bytes = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        let own = bytes("Private_Clean") + bytes("Private_Dirty");
        Memory { own, shared: bytes("Rss").saturating_sub(own) }
    }
}

/// Resident memory of one process.
#[derive(Copy, Clone)]
pub(super) struct Memory {
    /// What it alone has, bytes.
    pub(super) own: u64,
    /// What others have too, as processes of one program have its code, bytes.
    pub(super) shared: u64,
}

fn listen(stream: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // Nobody may be listening any more; the program must be able to go on talking.
            let _unheard = to.send(line);
        }
    });
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first, because some of them have children of their own to end.
        let _gone = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(GLANCE);
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A folder of this run, removed when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// One in memory where the system offers that, so that no disk is measured.
    pub(super) fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("hvym-tunnel-bench-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(Folder(path))
    }

    /// The file or folder `name` in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder `name` in it, made now.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Ports of this machine that were free a moment ago, for programs that cannot choose one by themselves.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are known, so that none comes twice.
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// The program `name`: what the variable of the same name in capitals says, or the first in `PATH`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(name.to_ascii_uppercase()) {
        return Some(named.into());
    }
    // Servers live where the PATH of a person who is not root does not lead.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}
