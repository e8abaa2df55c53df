//! The log files of a program that runs for long: what was reported and what was logged, in files of bounded size.
//!
//! Knows nothing of screens. One file has links, services and requests, the other the control API.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hvym_tunnel_net::log_writer::{LogWriter, Output, Priority};
use hvym_tunnel_net::trace::TARGET;
use hvym_tunnel_settings::{LogFormat, LogLevel, LogSection, Settings, state_folder};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::{Layer, Registry, reload};

use super::event_line::EventFields;
use super::log_line::LogLine;
use super::rotating_file::{RotatingFile, Rotation};

/// What the events of the control API are called; they have a file of their own.
const API: &str = "hvym_tunnel_manager::api";
/// Bytes of what the settings count.
const MEGABYTE: u64 = 1024 * 1024;

/// The files, which are closed until somebody opens them. Clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct LogFiles(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: RwLock<Option<OpenFiles>>,
    /// What the layer sees of all events: nothing while the files are closed.
    filter: OnceLock<reload::Handle<Targets, Registry>>,
}

struct OpenFiles {
    /// Its first stream is the agent's file, its second the API's.
    writer: LogWriter,
    format: LogFormat,
    level: Level,
}

impl LogFiles {
    /// Writes from now on what `settings` say, and closes the files from before. `tell` is called from another thread when one
    /// cannot be written.
    ///
    /// Where systemd keeps what is written to standard error, there are files only if the settings name a folder for them.
    ///
    /// # Errors
    /// There is no folder for them, or the system has no thread left.
    pub(super) fn open(
        &self,
        settings: &Settings,
        tell: impl Fn(String) + Clone + Send + 'static,
    ) -> Result<(), String> {
        let section = &settings.log;
        if section.folder.is_none() && is_kept_by_journal() {
            self.replace(None);
            return Ok(());
        }
        let [agent, api] = paths(settings).map_err(|error| error.to_string())?;
        let rotation = Rotation {
            max_bytes: u64::from(section.max_size_mb.get()) * MEGABYTE,
            max_files: section.max_files.get(),
        };
        let told = move |path: &Path, error: &std::io::Error| {
            tell(format!(
                "cannot write the log {}: {error}; it is written again as soon as it can be",
                path.display()
            ));
        };
        let (format, level) = (section.format, level(section.level));
        let dropped = move |lines: u64| {
            let fields = Map::from_iter([("lines".to_owned(), Value::from(lines))]);
            let line = LogLine::new(format, now(), Level::WARN).word("event", "dropped").fields(&fields);
            (Output::Out, line.finish().into_bytes())
        };
        let agent = RotatingFile::new(agent, rotation, told.clone());
        let writer = LogWriter::new(agent, RotatingFile::new(api, rotation, told), dropped)
            .map_err(|error| format!("cannot start a thread that writes the log: {error}"))?;
        self.replace(Some(OpenFiles { writer, format, level }));
        Ok(())
    }

    fn replace(&self, files: Option<OpenFiles>) {
        let level = files.as_ref().map(|files| files.level);
        // What was written before is written before its file is closed.
        drop(std::mem::replace(&mut *self.0.open.write().unwrap_or_else(PoisonError::into_inner), files));
        if let Some(filter) = self.0.filter.get() {
            let seen = level.map_or_else(Targets::new, targets);
            if let Err(error) = filter.reload(seen) {
                tracing::debug!(%error, "nobody logs any more");
            }
        }
    }

    /// Writes one report of this level, which happened at `now` since 1970.
    pub(super) fn report(&self, level: Level, report: &impl Serialize, now: Duration) {
        self.write(level, Output::Out, |format| {
            let Ok(Value::Object(mut fields)) = serde_json::to_value(report) else { return String::new() };
            let event = fields.remove("event");
            let event = event.as_ref().and_then(Value::as_str).unwrap_or("report");
            LogLine::new(format, now, level).word("event", event).fields(&fields).finish()
        });
    }

    /// Writes events of `tracing`, as the settings say.
    pub(crate) fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        let (filter, handle) = reload::Layer::new(Targets::new());
        // A second subscriber of one process is a test's, and its files stay closed.
        let _first = self.0.filter.set(handle);
        LogLayer(self.clone()).with_filter(filter)
    }

    /// Waits until everything is written, for at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let writer = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        let writer = writer.as_ref().map(|files| files.writer.clone());
        if let Some(writer) = writer {
            writer.flush(limit);
        }
    }

    fn write(&self, level: Level, output: Output, line: impl FnOnce(LogFormat) -> String) {
        let files = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        let Some(files) = files.as_ref().filter(|files| level <= files.level) else { return };
        let priority = if level <= Level::WARN { Priority::Important } else { Priority::Droppable };
        files.writer.write(output, priority, line(files.format).as_bytes());
    }
}

/// The files of the agent and of the API.
///
/// # Errors
/// There is no home folder, and none is named.
pub(crate) fn paths(settings: &Settings) -> Result<[PathBuf; 2], hvym_tunnel_net::config::NoHome> {
    let LogSection { folder, agent_file, api_file, .. } = &settings.log;
    let folder = match folder {
        Some(folder) => settings.path(folder),
        None => state_folder()?,
    };
    Ok([folder.join(agent_file), folder.join(api_file)])
}

/// Of other crates only what is wrong: below, they write what they send.
fn targets(level: Level) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN.min(level.into()))
        .with_target("hvym_tunnel", level)
        .with_target(TARGET, LevelFilter::OFF)
}

const fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error => Level::ERROR,
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether standard error is the journal of systemd. The variable alone says nothing: everything that a service starts has it.
#[cfg(unix)]
fn is_kept_by_journal() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
    let stream = std::io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let stream = stream.and_then(|file| file.metadata());
    stream.is_ok_and(|stream| journal == format!("{}:{}", stream.dev(), stream.ino()))
}

/// There is no systemd.
#[cfg(not(unix))]
fn is_kept_by_journal() -> bool {
    false
}

struct LogLayer(LogFiles);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let output = if metadata.target().starts_with(API) { Output::Err } else { Output::Out };
        let level = *metadata.level();
        self.0.write(level, output, |format| {
            let fields = EventFields::from_event(event);
            let line = LogLine::new(format, now(), level).word("target", metadata.target());
            let line = if fields.message.is_empty() { line } else { line.word("message", &fields.message) };
            line.fields(&fields.others).finish()
        });
    }
}
