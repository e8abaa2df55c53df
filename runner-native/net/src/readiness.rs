//! When sockets can be read and written again, told once per change and asked for once per wake-up (Linux).
//!
//! The reactor of `async-io` asks the kernel anew for every wait, and makes five system calls for each wake-up. Here a
//! socket is registered once, edge-triggered, and one call hears of all of them. One thread hears: the executor's first.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};

use futures_util::task::AtomicWaker;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// Events that one call hears of. More come with the next.
const EVENTS: usize = 256;
/// The number of the poller's own bell.
const BELL: u64 = u64::MAX;

/// Reading may give something.
const READABLE: u8 = 1;
/// Writing may take something.
const WRITABLE: u8 = 2;
/// Reading will not wait any more: it gives what is left, and then the end or an error.
const ENDED: u8 = 4;

/// What the kernel said of one socket.
#[derive(Debug, Default)]
struct Told {
    bits: AtomicU8,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Told {
    fn hear(&self, flags: EventFlags) {
        let mut bits = 0;
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            bits |= ENDED;
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

/// One socket, as long as somebody wants to know of it. At first both reading and writing are worth a try.
#[derive(Debug)]
pub struct Readiness {
    told: Arc<Told>,
    key: u64,
}

impl Readiness {
    /// Registers `socket`, which must outlive this.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(socket: impl AsFd) -> io::Result<Self> {
        let told = Arc::new(Told { bits: AtomicU8::new(READABLE | WRITABLE), ..Told::default() });
        let key = POLLER.places().put(Arc::clone(&told));
        let readiness = Self { told, key };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(key);
        match epoll::add(&POLLER.epoll, &socket, data, flags) {
            // Whoever had it before let go of it, and kept the socket.
            Err(Errno::EXIST) => epoll::modify(&POLLER.epoll, &socket, data, flags)?,
            added => added?,
        }
        Ok(readiness)
    }

    /// Ready when reading is worth a try. Only the last task that asked is woken.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(&self.told.reader, READABLE | ENDED, cx)
    }

    /// Ready when writing is worth a try. Only the last task that asked is woken.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(&self.told.writer, WRITABLE, cx)
    }

    fn poll(&self, waker: &AtomicWaker, bits: u8, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_set = || self.told.bits.load(Ordering::Acquire) & bits != 0;
        if is_set() {
            return Poll::Ready(Ok(()));
        }
        waker.register(cx.waker());
        // What was told while the waker was put down woke nobody.
        if is_set() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// To be said before a read: whatever the kernel tells from now on is news.
    pub fn about_to_read(&self) {
        self.told.bits.fetch_and(!READABLE, Ordering::AcqRel);
    }

    /// There was more than the read took.
    pub fn has_more(&self) {
        self.told.bits.fetch_or(READABLE, Ordering::AcqRel);
    }

    /// To be said before a write that may find no room.
    pub fn about_to_write(&self) {
        self.told.bits.fetch_and(!WRITABLE, Ordering::AcqRel);
    }

    /// The write found room, and there may be more of it.
    pub fn has_room(&self) {
        self.told.bits.fetch_or(WRITABLE, Ordering::AcqRel);
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        // The kernel forgets the socket by itself when it is closed.
        drop(POLLER.places().take(self.key));
    }
}

/// Who is told of which number. A number is a place and how often the place was given away, so that what the kernel says
/// of a socket that is gone reaches nobody.
#[derive(Debug, Default)]
struct Places {
    all: Vec<(u32, Option<Arc<Told>>)>,
    free: Vec<usize>,
}

impl Places {
    fn put(&mut self, told: Arc<Told>) -> u64 {
        let at = self.free.pop().unwrap_or(self.all.len());
        if at == self.all.len() {
            self.all.push((0, None));
        }
        let (given, place) = &mut self.all[at];
        *place = Some(told);
        u64::from(*given) << 32 | at as u64
    }

    fn place(&mut self, key: u64) -> Option<&mut (u32, Option<Arc<Told>>)> {
        let at = usize::try_from(key & u64::from(u32::MAX)).ok()?;
        self.all.get_mut(at).filter(|place| u64::from(place.0) == key >> 32)
    }

    fn get(&mut self, key: u64) -> Option<Arc<Told>> {
        self.place(key)?.1.clone()
    }

    fn take(&mut self, key: u64) -> Option<Arc<Told>> {
        let place = self.place(key)?;
        place.0 = place.0.wrapping_add(1);
        let told = place.1.take();
        self.free.extend(usize::try_from(key & u64::from(u32::MAX)).ok());
        told
    }
}

/// The kernel's list of sockets, and ours.
#[derive(Debug)]
struct Poller {
    epoll: OwnedFd,
    /// Ends a wait from another thread. Edge-triggered, so it need not be read.
    bell: OwnedFd,
    places: Mutex<Places>,
}

static POLLER: LazyLock<Poller> = LazyLock::new(|| {
    let made = Poller::new();
    // A process that cannot have two descriptors when it starts can do nothing at all.
    made.expect("the system gives a process that starts an epoll and an eventfd")
});

impl Poller {
    fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, bell, places: Mutex::default() })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing happened since the thread looked last.
const QUIET: u8 = 0;
/// There is something to do.
const CALLED: u8 = 1;
/// The thread waits for the kernel, and must be rung for.
const ASLEEP: u8 = 2;

/// Wakes the thread that hears.
#[derive(Debug, Default)]
struct Bell(AtomicU8);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.0.swap(CALLED, Ordering::AcqRel) == ASLEEP {
            // It fails only when it was rung 2^64 times and never heard.
            let _rung = rustix::io::write(&POLLER.bell, &1_u64.to_ne_bytes());
        }
    }
}

/// The thread that hears of all sockets, between two looks at its work.
pub struct Hearing {
    bell: Arc<Bell>,
    events: Vec<epoll::Event>,
    heard: Vec<(Arc<Told>, EventFlags)>,
}

impl Hearing {
    /// There can be one in a process.
    pub fn new() -> Self {
        Self { bell: Arc::default(), events: Vec::with_capacity(EVENTS), heard: Vec::with_capacity(EVENTS) }
    }

    /// Does `work`, and tells whoever waits for a socket, in turns and for ever. `work` is polled when it was woken;
    /// `between` is called each time.
    pub fn serve(&mut self, mut work: impl FnMut(&mut Context<'_>), mut between: impl FnMut()) -> ! {
        let waker = Arc::clone(&self.bell).into();
        let mut cx = Context::from_waker(&waker);
        loop {
            self.bell.0.store(QUIET, Ordering::Release);
            work(&mut cx);
            between();
            let is_quiet =
                self.bell.0.compare_exchange(QUIET, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok();
            self.hear(is_quiet);
        }
    }

    fn hear(&mut self, waits: bool) {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if waits { None } else { Some(&at_once) };
        self.events.clear();
        // An interruption hears of nothing.
        let heard = epoll::wait(&POLLER.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout);
        // Awake: whoever wakes us now, ourselves above all, need not ring.
        self.bell.0.store(CALLED, Ordering::Release);
        if heard.is_err() {
            return;
        }
        let mut places = POLLER.places();
        for event in &self.events {
            self.heard.extend(places.get(event.data.u64()).map(|told| (told, event.flags)));
        }
        drop(places);
        // Outside the lock: a waker may be the last that holds a socket.
        self.heard.drain(..).for_each(|(told, flags)| told.hear(flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_socket_that_is_gone_reaches_nobody() {
        let mut places = Places::default();
        let gone = places.put(Arc::default());
        assert!(places.get(gone).is_some());
        assert!(places.take(gone).is_some());
        let next = places.put(Arc::default());
        assert_ne!(gone, next);
        assert!(places.get(gone).is_none() && places.take(gone).is_none());
        assert!(places.get(next).is_some());
    }
}
