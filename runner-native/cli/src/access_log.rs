//! The access log of the relay that this program runs: its file or standard output.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hvym_tunnel_relay::AccessLog;

use crate::args::access_log::AccessLogArgs;
use crate::exit::{Exit, ExitError};
use crate::report::{FLUSH_LIMIT, ReopenHandle, ReopenedFile};

/// The log. Clones are the same one.
#[derive(Clone)]
pub(crate) struct AccessLogFile {
    log: Arc<AccessLog>,
    /// `None`: standard output.
    reopen: Option<ReopenHandle>,
}

impl AccessLogFile {
    /// Opens what was asked for, if anything was.
    ///
    /// # Errors
    /// The file cannot be opened, or the system has no thread left.
    pub(crate) fn open(arguments: &AccessLogArgs) -> Result<Option<Self>, ExitError> {
        let AccessLogArgs { access_log, access_log_format: format, access_log_query: has_query } = arguments;
        let Some(path) = access_log else { return Ok(None) };
        let opened = if path == Path::new("-") {
            AccessLog::new(io::stdout(), *format, *has_query).map(|log| (log, None))
        } else {
            ReopenedFile::open(path).and_then(|(file, reopen)| {
                AccessLog::new(file, *format, *has_query).map(|log| (log, Some(reopen)))
            })
        };
        let (log, reopen) = opened.map_err(|error| {
            ExitError::new(
                Exit::Config,
                format!("cannot write the access log to {}: {error}", path.display()),
            )
        })?;
        Ok(Some(Self { log: Arc::new(log), reopen }))
    }

    /// What the relay writes to.
    pub(crate) fn log(&self) -> Arc<AccessLog> {
        Arc::clone(&self.log)
    }

    /// Whether SIGHUP means anything to it.
    pub(crate) const fn is_file(&self) -> bool {
        self.reopen.is_some()
    }

    /// Opens the file anew before the next line: somebody may have moved it away.
    pub(crate) fn reopen(&self) {
        if let Some(reopen) = &self.reopen {
            reopen.request();
        }
    }

    /// Waits a moment until everything is written.
    pub(crate) fn finish(&self) {
        self.log.finish(FLUSH_LIMIT);
    }
}
