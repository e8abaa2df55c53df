//! What the libraries log, kept until Python's `logging` takes it. It never waits: a reader that stops loses records.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::prelude::*;
use smol::channel::{Receiver, Sender, bounded};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Records that wait for their reader: some pages of text, and no more than a megabyte.
const CAPACITY: usize = 1024;
/// The level above which everything is dropped, in the numbers of Python's `logging`.
static LOWEST: AtomicU8 = AtomicU8::new(30);
static RECORDS: OnceLock<Receiver<Record>> = OnceLock::new();

/// The level as a number of Python's `logging`, the module that said it, and the text.
type Record = (u8, &'static str, String);

/// Keeps records from this level of Python's ``logging`` on.
#[pyfunction]
pub(crate) fn set_log_level(level: u8) {
    LOWEST.store(level, Ordering::Relaxed);
    RECORDS.get_or_init(|| {
        let (sender, records) = bounded(CAPACITY);
        let subscriber = tracing_subscriber::registry().with(Forwarder { sender });
        // Statics of this module are its own, so nobody else has set one.
        let _is_first = tracing::subscriber::set_global_default(subscriber);
        records
    });
}

/// Waits for records; an empty list if there never will be one.
#[pyfunction]
pub(crate) fn next_log_records(py: Python<'_>) -> Vec<Record> {
    let Some(records) = RECORDS.get() else { return Vec::new() };
    py.detach(|| {
        let first = smol::block_on(records.recv()).ok();
        let more = std::iter::from_fn(|| records.try_recv().ok());
        first.into_iter().chain(more).take(CAPACITY).collect()
    })
}

/// Ends the waiting for records, for good: a thread that waits would otherwise wake in an interpreter that is gone.
#[pyfunction]
pub(crate) fn stop_logging() {
    LOWEST.store(u8::MAX, Ordering::Relaxed);
    if let Some(records) = RECORDS.get() {
        records.close();
    }
}

struct Forwarder {
    sender: Sender<Record>,
}

/// The level in Python's numbers; its modules have no trace level.
fn number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

impl<S: Subscriber> Layer<S> for Forwarder {
    /// The level may change at any time, so no answer is kept.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        number(metadata.level()) >= LOWEST.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let (level, target) = (number(event.metadata().level()), event.metadata().target());
        // Full: the reader is too slow, and nothing waits for it.
        let _kept = self.sender.try_send((level, target, text.0));
    }
}

/// The message, then the other fields.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes every write");
    }
}
