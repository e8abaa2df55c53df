//! The file of the audit log: one JSON object per line, added to by a thread of its own.
//!
//! Knows nothing of what a record says.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hvym_tunnel_net::log_writer::{LogWriter, Output, Priority};

use super::reopened_file::{ReopenHandle, ReopenedFile};
use super::reporter::FLUSH_LIMIT;
use super::{Report, json};

/// The file. Clones are the same one.
#[derive(Clone)]
pub(crate) struct AuditFile {
    writer: LogWriter,
    reopen: ReopenHandle,
}

impl AuditFile {
    /// Opens the file, or makes it for its owner alone.
    ///
    /// # Errors
    /// It cannot be opened, or the system has no thread left.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (file, reopen) = ReopenedFile::open(path)?;
        let dropped =
            |lines: u64| (Output::Out, format!("{{\"event\":\"dropped\",\"lines\":{lines}}}\n").into_bytes());
        Ok(Self { writer: LogWriter::new(file, io::sink(), dropped)?, reopen })
    }

    /// Adds one line.
    pub(crate) fn write(&self, report: &Report) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = format!("{}\n", json::line(report, now));
        self.writer.write(Output::Out, Priority::Important, line.as_bytes());
    }

    /// Opens the file anew before the next line: somebody may have moved it away.
    pub(crate) fn reopen(&self) {
        self.reopen.request();
    }

    /// Waits a moment until everything is written.
    pub(crate) fn finish(&self) {
        self.writer.flush(FLUSH_LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_added_and_a_file_that_was_moved_is_made_anew() {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-audit-{}", std::process::id()));
        let moved = path.with_extension("1");
        fs::write(&path, "before\n").expect("a file");
        let file = AuditFile::open(&path).expect("it opens");
        file.write(&Report::KeysLoaded);
        file.finish();
        fs::rename(&path, &moved).expect("it was ours");
        file.reopen();
        file.write(&Report::CertificateLoaded);
        file.finish();
        let [old, new] = [&moved, &path].map(|path| fs::read_to_string(path).expect("a file"));
        assert!(old.starts_with("before\n{\"event\":\"keys_loaded\"") && old.lines().count() == 2, "{old}");
        assert!(new.starts_with("{\"event\":\"certificate_loaded\"") && new.lines().count() == 1, "{new}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
        }
        for path in [path, moved] {
            fs::remove_file(path).expect("it was ours");
        }
    }
}
