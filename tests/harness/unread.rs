//! The real program with standard output and standard error that nobody reads, as behind a pager or a stalled log driver.
//!
//! It knows no protocol. The URL file tells where the program is reached, since its output does not.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::program::{Home, PATIENCE, Program};

/// The smallest pipe of the system, one page: some forty lines.
const PIPE_BYTES: usize = 4096;

/// A running process whose two outputs are small pipes that nobody reads; killed when it is dropped.
#[derive(Debug)]
pub struct Unread {
    child: Child,
    out: PipeReader,
    err: PipeReader,
    url_file: PathBuf,
}

impl Unread {
    /// Starts the program in `home`, one program in each; it is one that writes a URL file.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(home: &Home, arguments: &[&str]) -> Self {
        let (out, stdout) = small_pipe();
        let (err, stderr) = small_pipe();
        let url_file = home.path("url");
        let mut command = home.command(arguments);
        command.arg("--url-file").arg(&url_file).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Unread { child, out, err, url_file }
    }

    /// The URL in its URL file, as soon as there is one.
    ///
    /// # Panics
    /// When none comes.
    pub fn url(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match fs::read_to_string(&self.url_file) {
                Ok(url) if !url.is_empty() => return url.trim().to_owned(),
                _ => thread::yield_now(),
            }
            let state = self.child.try_wait().expect("a child can be asked");
            assert!(state.is_none() && Instant::now() < deadline, "no URL, {state:?}");
        }
    }

    /// The bytes that wait in each of its pipes.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn waiting(&self) -> [u64; 2] {
        [&self.out, &self.err].map(|pipe| ioctl_fionread(pipe).expect("a pipe can be asked"))
    }

    /// Sends it `signal` and waits for its end: its exit code, how long it took, and all that it had written to its pipes.
    ///
    /// # Panics
    /// When it does not end, or is killed.
    pub fn end(mut self, signal: Signal) -> (i32, Duration, String) {
        let pid = Pid::from_child(&self.child);
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("the process is there");
        let asked = Instant::now();
        kill_process(pid, signal).expect("the process is there");
        let patience = Timespec::try_from(PATIENCE).expect("a minute");
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience));
        assert_eq!(ended, Ok(1), "it goes on");
        let took = asked.elapsed();
        let status = self.child.wait().expect("a child can be waited for");
        let mut written = String::new();
        for pipe in [&mut self.out, &mut self.err] {
            pipe.read_to_string(&mut written).expect("the program writes text");
        }
        (status.code().unwrap_or_else(|| panic!("{status}: {written}")), took, written)
    }

    /// The same process, from now on read.
    pub fn read(self) -> Program {
        Program::reading(self.child, self.out, self.err)
    }
}

fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("the system has room for a pipe");
    fcntl_setpipe_size(&writer, PIPE_BYTES).expect("a pipe can be small");
    (reader, writer)
}
