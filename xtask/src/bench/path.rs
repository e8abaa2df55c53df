//! A way from a visitor to the service: where it begins, and the processes on it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::{self, Door};
use super::process::{Memory, PATIENCE, Process};

/// What the goals compare with.
pub(super) const DIRECT: &str = "direct";
/// Our relay and agent, as two processes.
pub(super) const OURS: &str = "ours";
/// Two nginx, one behind the other.
pub(super) const NGINX: &str = "nginx × 2";
/// What our agent prints with `--json` when it has lost its link.
const LOST: &str = "\"event\":\"disconnected\"";
/// How often a path is tried until it carries a request.
const GLANCE: Duration = Duration::from_millis(50);

/// One way to the service, open.
pub(super) struct Path {
    pub(super) name: &'static str,
    /// The way to the service with the two files.
    pub(super) files: Door,
    /// The way to the sink.
    pub(super) sink: Door,
    /// The processes whose memory counts: one for each side.
    weighed: Vec<Process>,
    /// Those that are only there because two services are measured.
    _unweighed: Vec<Process>,
}

impl Path {
    pub(super) fn new(name: &'static str, files: Door, sink: Door, weighed: Vec<Process>) -> Self {
        Path { name, files, sink, weighed, _unweighed: Vec::new() }
    }

    /// The same, with processes beside it that do not count.
    pub(super) fn beside(self, unweighed: Vec<Process>) -> Self {
        Path { _unweighed: unweighed, ..self }
    }

    /// The memory that all its processes hold, bytes: each by itself, as on a machine of its own, and all on this one,
    /// where what they share is there once.
    pub(super) fn memory(&self) -> [u64; 2] {
        let all: Vec<Memory> = self.weighed.iter().map(Process::memory).collect();
        let own: u64 = all.iter().map(|memory| memory.own).sum();
        let apart = all.iter().map(|memory| memory.shared).sum::<u64>();
        let once = all.iter().map(|memory| memory.shared).max().unwrap_or(0);
        [own + apart, own + once]
    }

    /// How often an agent has lost its link since this was asked last; of tunnels that do not say it, never.
    pub(super) fn lost_links(&self) -> usize {
        self.weighed.iter().map(|process| process.count(LOST)).sum()
    }

    /// Waits until it carries a request.
    pub(super) fn proven(self) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        while !load::reachable(&self.files) {
            ensure!(Instant::now() < deadline, "{}: nothing comes through", self.name);
            thread::sleep(GLANCE);
        }
        Ok(self)
    }
}

/// The two services: that with the files, and the sink.
pub(super) type Services = [u16; 2];
