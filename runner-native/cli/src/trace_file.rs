//! A file with the events of the data path, one JSON object a line: `{"at":12345,"event":"read","link":1,"stream":4,"bytes":80}`, with `at`
//! in microseconds since the start. Knows nothing of what they mean.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hvym_tunnel_net::log_writer::{LogWriter, Output, Priority};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The size of the file, bytes. A busy relay writes some MiB a second, and nobody wants a full disk for having asked.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// How long the end of the program waits until everything is written.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Writes the events of one target to a file, by a thread of its own.
pub(crate) struct TraceFile {
    writer: LogWriter,
    started: Instant,
    written: AtomicU64,
}

impl TraceFile {
    /// Begins an empty file.
    ///
    /// # Errors
    /// It cannot be written, or the system has no thread left.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let dropped =
            |lines| (Output::Out, format!("{{\"event\":\"dropped\",\"lines\":{lines}}}\n").into_bytes());
        let writer = LogWriter::new(File::create(path)?, io::sink(), dropped)?;
        Ok(Self { writer, started: Instant::now(), written: AtomicU64::new(0) })
    }

    /// Writes what waits, at the end of the program.
    pub(crate) fn flush(writer: &LogWriter) {
        writer.flush(FLUSH_LIMIT);
    }

    /// The queue in front of the thread.
    pub(crate) fn writer(&self) -> LogWriter {
        self.writer.clone()
    }
}

impl<S: Subscriber> Layer<S> for TraceFile {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(format!("{{\"at\":{}", self.started.elapsed().as_micros()));
        event.record(&mut line);
        line.0.push_str("}\n");
        let bytes = line.0.len() as u64;
        // One line more than fits is no harm: the limit is no promise to the byte.
        if self.written.fetch_add(bytes, Ordering::Relaxed) < MAX_BYTES {
            self.writer.write(Output::Out, Priority::Droppable, line.0.as_bytes());
        }
    }
}

/// A JSON object that is not closed.
struct Line(String);

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let _infallible = write!(self.0, ",\"{}\":{value}", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _infallible = write!(self.0, ",\"{}\":\"{}\"", field.name(), value.escape_default());
    }

    /// Nothing that could hold more than a number or a word of the program is written.
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
