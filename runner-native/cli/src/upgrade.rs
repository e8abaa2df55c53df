//! The next process of a relay (SIGUSR2): started by this one, from the program as it is on the disk then, with the listeners of this
//! one.
//!
//! They travel over a pair of sockets of which the next process has one end as its standard input: each listener with what
//! it is for, then the end; back comes one byte when it serves. Nothing is given up before.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use hvym_tunnel_net::fd_passing;
use hvym_tunnel_relay::{InheritedListener, ListenerRole};

/// Set in the environment of a process whose standard input is such a socket: which listeners a supervisor has opened, with a
/// comma behind each.
const VARIABLE: &str = "HVYM_TUNNEL_SUCCESSOR";
/// How long the next process may take until it serves: it may read ten thousand names and keys from a slow disk.
const START_LIMIT: Duration = Duration::from_secs(30);
/// What follows the listeners.
const END: &str = "end";
/// What says that the next process serves.
const READY: u8 = b'r';

/// What concerns sockets that a supervisor has passed to this process, and to no other (sd_listen_fds(3)).
const ACTIVATION: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The process before this one.
pub(crate) struct Predecessor {
    socket: UnixStream,
    /// Those of its listeners that it had from a supervisor.
    passed: Vec<ListenerRole>,
}

impl Predecessor {
    /// Whoever started this process to take its place; `None` if it was started in any other way.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub(crate) fn find() -> io::Result<Option<Self>> {
        let Ok(passed) = std::env::var(VARIABLE) else { return Ok(None) };
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        let roles = passed.split_terminator(',').map(|role| role.parse::<ListenerRole>());
        let passed = roles.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        Ok(Some(Self { socket: socket.into(), passed }))
    }

    /// Whether its listener for `role` was opened by a supervisor.
    pub(crate) fn was_passed(&self, role: ListenerRole) -> bool {
        self.passed.contains(&role)
    }

    /// Its listeners. Blocks until all are there.
    ///
    /// # Errors
    /// It has ended meanwhile, or is another program.
    pub(crate) fn listeners(&self) -> io::Result<Vec<InheritedListener>> {
        let mut listeners = Vec::new();
        loop {
            match fd_passing::receive(&self.socket)? {
                Some((label, None)) if label == END => return Ok(listeners),
                Some((label, Some(descriptor))) => {
                    let role = label.parse::<ListenerRole>().map_err(io::Error::other)?;
                    listeners.push((Some(role), TcpListener::from(descriptor)));
                }
                Some((_, None)) => return Err(io::ErrorKind::InvalidData.into()),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Tells it that this process serves: it takes nothing new from now on.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.socket.write_all(&[READY])
    }
}

/// The program of this process, to be started again when it may have been replaced on the disk.
pub(crate) struct Successor {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// The value of [`VARIABLE`].
    passed: String,
}

impl Successor {
    /// The program by which this process was started; a supervisor has opened the listeners of these roles.
    ///
    /// # Errors
    /// The system does not say where it is.
    pub(crate) fn of_this_process(passed: impl Iterator<Item = ListenerRole>) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: std::env::args_os().skip(1).collect(),
            passed: passed.map(|role| format!("{role},")).collect(),
        })
    }

    /// Starts the next process, gives it these listeners, and waits until it serves. Returns its id. Blocks for half a minute
    /// at most.
    ///
    /// # Errors
    /// It does not come up, and has ended. The listeners are as they were.
    pub(crate) fn start(&self, listeners: Vec<(ListenerRole, TcpListener)>) -> io::Result<u32> {
        if self.arguments.iter().any(|argument| argument == "--identity-stdin") {
            return Err(io::Error::other(
                "the identity was read from standard input, where the next process finds none",
            ));
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(START_LIMIT))?;
        ours.set_write_timeout(Some(START_LIMIT))?;
        let mut command = Command::new(&self.program);
        // systemd's watchdog means whichever process is the main one.
        command.args(&self.arguments).env(VARIABLE, &self.passed).env_remove("WATCHDOG_PID");
        for variable in ACTIVATION {
            command.env_remove(variable);
        }
        let mut child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        drop(command);
        match give(ours, listeners) {
            Ok(()) => Ok(child.id()),
            Err(error) => {
                let _ended_already = child.kill();
                let status = child.wait()?;
                Err(io::Error::other(format!("{error} ({status})")))
            }
        }
    }
}

/// Gives the listeners to the next process, and waits until it serves.
fn give(mut socket: UnixStream, listeners: Vec<(ListenerRole, TcpListener)>) -> io::Result<()> {
    let ended = |error: io::Error| match error.kind() {
        // What it had not read when it ended makes it a reset.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            io::Error::other("the next process ended before it served")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::other(format!("the next process did not serve within {} s", START_LIMIT.as_secs()))
        }
        _ => error,
    };
    for (role, listener) in &listeners {
        fd_passing::send(&socket, &role.to_string(), Some(listener.as_fd())).map_err(ended)?;
    }
    fd_passing::send(&socket, END, None).map_err(ended)?;
    let mut answer = [0];
    socket.read_exact(&mut answer).map_err(ended)?;
    if answer == [READY] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
