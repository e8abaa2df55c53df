//! What a manager finds of an earlier one, and where it leaves what it knows. A database that cannot be used is said, and never a
//! reason not to run.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hvym_tunnel_manager::TunnelManager;
use hvym_tunnel_manager::remembered::Remembered;
use hvym_tunnel_state::{StateDb, UnixMillis};

use crate::exit::ExitError;
use crate::report::{Report, Reporter};

/// Before anything is opened or dialled: what another manager has would be taken from it.
///
/// # Errors
/// One listens at its socket.
pub(super) fn refuse_second(socket: &Path) -> Result<(), ExitError> {
    #[cfg(unix)]
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        let (at, reason) = (socket.display().to_string(), "another program listens there".to_owned());
        return Err(hvym_tunnel_manager::api::ApiError::Listen { at, reason, is_taken: true }.into());
    }
    #[cfg(not(unix))]
    let _none_there = socket;
    Ok(())
}

/// What is in the database at `path`; nothing if there is no place for one.
pub(super) async fn remembered(path: Option<PathBuf>, reporter: &Reporter) -> Remembered {
    let Some(path) = path else { return Remembered::default() };
    let failed = |message: String| {
        reporter.tell(&Report::StateFailed { message });
        Remembered::default()
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX);
    match StateDb::open(&path, now).await {
        Ok(opened) => {
            if let Some(problem) = opened.problem {
                failed(problem.to_string());
            }
            Remembered::load(opened.db).await.unwrap_or_else(|error| failed(error.to_string()))
        }
        Err(error) => failed(error.to_string()),
    }
}

/// Says which links do not run because a person stopped them in an earlier process.
pub(super) fn tell_stopped(manager: &TunnelManager, reporter: &Reporter) {
    for link in manager.links_that_stay_stopped() {
        reporter.tell(&Report::Notice {
            code: "stopped".to_owned(),
            message: format!("{link} was stopped, and stays so"),
            hint: Some(format!("hvym-tunnel start {link}")),
        });
    }
}
