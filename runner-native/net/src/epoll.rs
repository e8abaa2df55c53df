//! The poller of a runtime on Linux: readiness of sockets by edge-triggered epoll.
//!
//! The reactor of `async-io` re-arms sockets for every wait, and makes five system calls for each wake-up. Here a
//! socket is registered once, and one call returns the events of all.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// Events that one wait returns. More are returned by the next.
const EVENTS: usize = 256;
/// The key of the poller's own event counter.
const NOTIFIER: u64 = u64::MAX;

/// What the kernel reports on every socket.
const READING: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// Reading may give something.
pub(crate) const READABLE: u8 = 1;
/// Writing may take something.
pub(crate) const WRITABLE: u8 = 2;
/// Reading will not wait any more: it gives what is left, and then the end or an error.
pub(crate) const ENDED: u8 = 4;
/// The connection broke.
pub(crate) const BROKEN: u8 = 8;

/// The readiness of one socket.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    pub(crate) bits: AtomicU8,
    pub(crate) reader: AtomicWaker,
    pub(crate) writer: AtomicWaker,
}

impl Readiness {
    fn update(&self, flags: EventFlags) {
        let mut bits = 0;
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            bits |= ENDED;
        }
        if flags.contains(EventFlags::ERR) {
            bits |= BROKEN;
        }
        if flags.contains(EventFlags::IN) {
            bits |= READABLE;
        }
        if flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
            bits |= WRITABLE;
        }
        self.bits.fetch_or(bits, Ordering::AcqRel);
        if bits & (READABLE | ENDED) != 0 {
            self.reader.wake();
        }
        if bits & WRITABLE != 0 {
            self.writer.wake();
        }
    }
}

/// Registered sockets by key. A key is a slot and how often the slot was reused, so that a late event of a removed
/// socket is ignored.
#[derive(Debug, Default)]
struct Slots {
    all: Vec<(u32, Option<Arc<Readiness>>)>,
    free: Vec<usize>,
}

impl Slots {
    fn insert(&mut self, readiness: Arc<Readiness>) -> u64 {
        let at = self.free.pop().unwrap_or(self.all.len());
        if at == self.all.len() {
            self.all.push((0, None));
        }
        let (reused, slot) = &mut self.all[at];
        *slot = Some(readiness);
        u64::from(*reused) << 32 | at as u64
    }

    fn slot(&mut self, key: u64) -> Option<&mut (u32, Option<Arc<Readiness>>)> {
        let at = usize::try_from(key & u64::from(u32::MAX)).ok()?;
        self.all.get_mut(at).filter(|slot| u64::from(slot.0) == key >> 32)
    }

    fn get(&mut self, key: u64) -> Option<Arc<Readiness>> {
        self.slot(key)?.1.clone()
    }

    fn remove(&mut self, key: u64) -> Option<Arc<Readiness>> {
        let slot = self.slot(key)?;
        slot.0 = slot.0.wrapping_add(1);
        let readiness = slot.1.take();
        self.free.extend(usize::try_from(key & u64::from(u32::MAX)).ok());
        readiness
    }
}

/// The epoll instance, and the registered sockets.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// Ends a wait from another thread. Edge-triggered, so it need not be read.
    notifier: OwnedFd,
    slots: Mutex<Slots>,
}

impl Poller {
    /// # Errors
    /// The process has no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let notifier = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &notifier, EventData::new_u64(NOTIFIER), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, notifier, slots: Mutex::default() })
    }

    /// Ends a wait, or the next one if there is none.
    pub(crate) fn notify(&self) {
        // It fails only when it was written 2^64 times and never read.
        let _written = rustix::io::write(&self.notifier, &1_u64.to_ne_bytes());
    }

    /// Registers `socket`, of which `bits` are worth a try from the start; the kernel reports on the others. The key is
    /// freed by [`Self::unregister`].
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn register(&self, socket: impl AsFd, bits: u8) -> io::Result<(Arc<Readiness>, u64)> {
        let readiness = Arc::new(Readiness { bits: AtomicU8::new(bits), ..Readiness::default() });
        let key = self.slots().insert(Arc::clone(&readiness));
        // A socket that can be written would be reported at once, which only costs a wake-up.
        let flags = if bits & WRITABLE != 0 { READING } else { READING | EventFlags::OUT };
        let data = EventData::new_u64(key);
        let added = match epoll::add(&self.epoll, &socket, data, flags) {
            // It was unregistered by its previous owner, who kept the socket.
            Err(Errno::EXIST) => epoll::modify(&self.epoll, &socket, data, flags),
            added => added,
        };
        match added {
            Ok(()) => Ok((readiness, key)),
            Err(error) => {
                self.unregister(key);
                Err(error.into())
            }
        }
    }

    /// Has the kernel report from now on when `socket`, registered as `key`, can be written: at once, if it can be.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn watch_writable(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        epoll::modify(&self.epoll, socket, EventData::new_u64(key), READING | EventFlags::OUT)?;
        Ok(())
    }

    /// Forgets a socket. The kernel does so by itself when it is closed.
    pub(crate) fn unregister(&self, key: u64) {
        let forgotten = self.slots().remove(key);
        drop(forgotten);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for what a wait brings.
pub(crate) struct PollEvents {
    events: Vec<epoll::Event>,
    changed: Vec<(Arc<Readiness>, EventFlags)>,
}

impl PollEvents {
    pub(crate) fn new() -> Self {
        Self { events: Vec::with_capacity(EVENTS), changed: Vec::with_capacity(EVENTS) }
    }

    /// Waits for at most `timeout`; `None` is without limit.
    pub(crate) fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        self.events.clear();
        let waited =
            epoll::wait(&poller.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref());
        if waited.is_err() {
            // Interrupted by a signal.
            return;
        }
        let mut slots = poller.slots();
        for event in &self.events {
            let readiness = slots.get(event.data.u64());
            self.changed.extend(readiness.map(|readiness| (readiness, event.flags)));
        }
    }

    /// Wakes the tasks that the last wait concerns.
    pub(crate) fn dispatch(&mut self) {
        // Outside the lock: a waker may be the last reference to a socket.
        self.changed.drain(..).for_each(|(readiness, flags)| readiness.update(flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_socket_that_is_gone_reaches_nobody() {
        let mut slots = Slots::default();
        let gone = slots.insert(Arc::default());
        assert!(slots.get(gone).is_some());
        assert!(slots.remove(gone).is_some());
        let next = slots.insert(Arc::default());
        assert_ne!(gone, next);
        assert!(slots.get(gone).is_none() && slots.remove(gone).is_none());
        assert!(slots.get(next).is_some());
    }
}
