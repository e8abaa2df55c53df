//! Single keys of a terminal, without the line that they would otherwise wait for.
//!
//! Knows nothing of what keys mean. Signals are sent by the terminal as before.

use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use smol::channel::{Receiver, bounded};

/// Keys that wait to be taken; who types faster than that is no person.
const CAPACITY: usize = 16;
/// How long a process in the background waits before it looks again whether it may read.
const BACKGROUND: Duration = Duration::from_secs(1);

/// A terminal that gives each key at once and shows none. Dropping it sets the terminal back.
pub(crate) struct KeyMode {
    before: Termios,
}

impl KeyMode {
    /// The terminal of this process; `None` if its input or output is something else, or it is in the background.
    pub(crate) fn enter() -> Option<Self> {
        if !stdin().is_terminal() || !stdout().is_terminal() || !is_foreground() {
            return None;
        }
        let mode = Self { before: tcgetattr(stdin()).ok()? };
        mode.apply().then_some(mode)
    }

    /// Sets the terminal again, after somebody else had it.
    pub(crate) fn apply(&self) -> bool {
        let mut now = self.before.clone();
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        is_foreground() && tcsetattr(stdin(), OptionalActions::Now, &now).is_ok()
    }

    /// The keys that are pressed from now on, one byte each; read by a thread that ends with the process.
    pub(crate) fn keys(&self) -> Option<Receiver<u8>> {
        let (sender, keys) = bounded(CAPACITY);
        let read = move || {
            while let Some(bytes) = next_bytes() {
                for byte in bytes {
                    if sender.send_blocking(byte).is_err() {
                        return;
                    }
                }
            }
        };
        std::thread::Builder::new().name("keys".to_owned()).spawn(read).ok().map(|_| keys)
    }
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        // In the background this would stop the process; whoever is in the foreground has set the terminal as it needs it.
        if is_foreground() {
            let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        }
    }
}

/// Whether the terminal is this process's to use: others are stopped when they do (termios(3)).
fn is_foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// Waits for keys; `None` when there will be none any more.
fn next_bytes() -> Option<Vec<u8>> {
    loop {
        let input = stdin();
        let mut ready = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) if !ready[0].revents().contains(PollFlags::IN) => return None,
            Ok(_) if !is_foreground() => std::thread::sleep(BACKGROUND),
            Ok(_) => {
                let mut room = [0; CAPACITY];
                return match rustix::io::read(&input, &mut room) {
                    Ok(0) | Err(_) => None,
                    Ok(count) => Some(room[..count].to_vec()),
                };
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
