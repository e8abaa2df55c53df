//! Events on their way to C: a bounded queue, a descriptor that is readable while the queue has something to say, and a thread that
//! hands events to a callback.
//!
//! A reader that falls behind is waited for, so what waits beyond the queue is bounded by the library's own channel, which counts
//! what it drops.

use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::{Either, select};
use hvym_tunnel_json::code;
use hvym_tunnel_net::events::Events;
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_net::timer::Timer;
use serde_json::Value;
use smol::channel::{Receiver, Sender, TryRecvError, bounded};

use crate::error::{Error, c_text};

/// Events that wait for C. Each has a byte in the pipe, and fewer than this fit into no system's, so that writing never waits.
const CAPACITY: usize = 256;

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// An event as JSON.
    Event(CString),
    /// None came in time.
    NotYet,
    /// There will be none any more.
    Ended,
}

/// How long a reader waits.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as it takes.
    Forever,
    /// At most this long.
    AtMost(Duration),
}

impl Wait {
    /// From seconds; what is negative waits forever.
    ///
    /// # Errors
    /// It is no number, or too large.
    pub(crate) fn from_seconds(seconds: f64) -> Result<Self, Error> {
        if seconds < 0.0 {
            return Ok(Wait::Forever);
        }
        Duration::try_from_secs_f64(seconds).map(Wait::AtMost).map_err(Error::invalid)
    }

    /// Waits for `future` inside `runtime`; `None`: the time is over.
    pub(crate) fn block_on<T>(self, runtime: &Runtime, future: impl Future<Output = T>) -> Option<T> {
        runtime.block_on(async {
            match self {
                Wait::Forever => Some(future.await),
                Wait::AtMost(limit) => match select(pin!(future), Timer::after(limit)).await {
                    Either::Left((value, _)) => Some(value),
                    Either::Right(_) => None,
                },
            }
        })
    }
}

/// The events of one handle.
pub(crate) struct EventQueue {
    events: Receiver<CString>,
    /// One byte for each event of the queue, and its end after the last.
    signal: Arc<PipeReader>,
    callback: Mutex<Option<CallbackThread>>,
}

/// The thread of a callback.
struct CallbackThread {
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl EventQueue {
    /// Takes the events of `source`, each as `text` says it.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub(crate) fn start<E: Send + 'static>(
        runtime: &Runtime,
        source: Events<E>,
        text: fn(&E) -> Value,
    ) -> Result<Self, Error> {
        let (signal, signals) = pipe().map_err(|error| Error::new(code::SYSTEM, error))?;
        let (sender, events) = bounded(CAPACITY);
        let signal = Arc::new(signal);
        runtime.spawn(pump(source, text, sender, Arc::clone(&signal), signals)).detach();
        Ok(Self { events, signal, callback: Mutex::new(None) })
    }

    /// The next event.
    pub(crate) fn next(&self, runtime: &Runtime, wait: Wait) -> Next {
        let event = match self.events.try_recv() {
            Ok(event) => event,
            Err(TryRecvError::Closed) => return Next::Ended,
            Err(TryRecvError::Empty) => match wait.block_on(runtime, self.events.recv()) {
                Some(Ok(event)) => event,
                Some(Err(_)) => return Next::Ended,
                None => return Next::NotYet,
            },
        };
        take_signal(&self.signal);
        Next::Event(event)
    }

    /// The descriptor: readable while there is an event, or there will be none any more.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&*self.signal)
    }

    /// Hands each event to `callback` on a thread of its own, and `None` at the end.
    ///
    /// # Errors
    /// There is a callback already, or the system has no thread left.
    pub(crate) fn call(&self, mut callback: impl FnMut(Option<&CStr>) + Send + 'static) -> Result<(), Error> {
        let mut slot = self.callback.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() {
            return Err(Error::invalid("there is a callback already"));
        }
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (events, signal, stopped) =
            (self.events.clone(), Arc::clone(&self.signal), Arc::clone(&is_stopped));
        let run = move || {
            while let Ok(event) = smol::block_on(events.recv()) {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                take_signal(&signal);
                callback(Some(&event));
            }
            callback(None);
        };
        let named = thread::Builder::new().name("hvym-tunnel-events".to_owned());
        let thread = named.spawn(run).map_err(|error| Error::new(code::SYSTEM, error))?;
        *slot = Some(CallbackThread { is_stopped, thread });
        Ok(())
    }
}

impl Drop for EventQueue {
    /// Waits for the callback, unless this is its thread.
    fn drop(&mut self) {
        let slot = self.callback.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(CallbackThread { is_stopped, thread }) = slot.take() else { return };
        is_stopped.store(true, Ordering::Release);
        self.events.close();
        if thread.thread().id() != thread::current().id() {
            // It cannot panic: a callback of C that unwinds ends the process.
            let _ended = thread.join();
        }
    }
}

/// Moves events from the library's channel into the queue, until either end is closed. It holds the reading end of the pipe too: a
/// write into a pipe that nobody reads is a SIGPIPE.
async fn pump<E>(
    source: Events<E>,
    text: fn(&E) -> Value,
    queue: Sender<CString>,
    _reader: Arc<PipeReader>,
    mut signals: PipeWriter,
) {
    while let Some(event) = source.next().await {
        if queue.send(c_text(text(&event).to_string())).await.is_err() {
            return;
        }
        let written: io::Result<()> = signals.write_all(&[1]);
        debug_assert!(written.is_ok(), "{written:?}");
    }
}

/// Takes the byte of an event that was taken. It is there, or comes with the next instructions of the pump.
fn take_signal(mut signal: &PipeReader) {
    let _ended = signal.read_exact(&mut [0]);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use hvym_tunnel_net::events::{EventSender, event_channel};

    use super::*;

    fn queue(runtime: &Runtime) -> (EventSender<u32>, EventQueue) {
        let (sender, events) = event_channel(4 * CAPACITY);
        let queue = EventQueue::start(runtime, events, |event| Value::from(*event)).expect("a descriptor");
        (sender, queue)
    }

    fn event(number: usize) -> Next {
        Next::Event(c_text(number.to_string()))
    }

    #[test]
    fn a_time_is_a_number_of_seconds_and_a_negative_one_is_forever() {
        assert_eq!(Wait::from_seconds(-1.0).expect("a time"), Wait::Forever);
        assert_eq!(Wait::from_seconds(0.0).expect("a time"), Wait::AtMost(Duration::ZERO));
        assert!(Wait::from_seconds(f64::NAN).is_err());
        assert!(Wait::from_seconds(f64::INFINITY).is_err());
    }

    #[test]
    fn a_reader_that_falls_behind_gets_every_event_in_order_and_then_the_end() {
        let runtime = Runtime::with_threads(2).expect("threads");
        let (sender, queue) = queue(&runtime);
        let sent = 3 * CAPACITY;
        (0..sent).for_each(|number| sender.send(u32::try_from(number).expect("small")));
        sender.close();
        for number in 0..sent {
            assert_eq!(queue.next(&runtime, Wait::Forever), event(number));
        }
        assert_eq!(queue.next(&runtime, Wait::Forever), Next::Ended);
        assert_eq!(queue.next(&runtime, Wait::AtMost(Duration::ZERO)), Next::Ended);
    }

    #[test]
    fn without_an_event_a_reader_is_told_so_in_time() {
        let runtime = Runtime::with_threads(2).expect("threads");
        let (_sender, queue) = queue(&runtime);
        assert_eq!(queue.next(&runtime, Wait::AtMost(Duration::ZERO)), Next::NotYet);
        assert_eq!(queue.next(&runtime, Wait::AtMost(Duration::from_millis(1))), Next::NotYet);
    }

    #[test]
    fn a_callback_is_called_with_each_event_and_last_with_the_end() {
        let runtime = Runtime::with_threads(2).expect("threads");
        let (sender, queue) = queue(&runtime);
        let (told, tells) = mpsc::channel();
        let tell = move |event: Option<&CStr>| {
            let _test_over = told.send(event.map(CStr::to_owned));
        };
        queue.call(tell).expect("a thread");
        assert!(queue.call(|_| {}).is_err(), "there is one already");
        (1..=2).for_each(|number| sender.send(number));
        sender.close();
        let all: Vec<_> = tells.iter().collect();
        assert_eq!(all, [Some(c"1".to_owned()), Some(c"2".to_owned()), None]);
    }

    #[test]
    fn dropping_a_queue_waits_for_its_callback_and_leaves_out_what_it_did_not_get() {
        let runtime = Runtime::with_threads(2).expect("threads");
        let (sender, queue) = queue(&runtime);
        let (told, tells) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let tell = move |event: Option<&CStr>| {
            told.send(event.map(CStr::to_owned)).expect("the test listens");
            let _queue_gone = released.recv();
        };
        queue.call(tell).expect("a thread");
        (1..=9).for_each(|number| sender.send(number));
        assert_eq!(tells.recv(), Ok(Some(c"1".to_owned())));
        let events = queue.events.clone();
        let dropping = thread::spawn(move || drop(queue));
        while !events.is_closed() {
            thread::yield_now();
        }
        drop(release);
        dropping.join().expect("it ends");
        assert_eq!(tells.iter().collect::<Vec<_>>(), [None]);
    }
}
