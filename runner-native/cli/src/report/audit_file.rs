//! The file of the audit log: one JSON object per line, added to by a thread of its own.
//!
//! Knows nothing of what a record says.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hvym_tunnel_net::log_writer::{LogWriter, Output, Priority};

use super::reporter::FLUSH_LIMIT;
use super::{Report, json};

/// The file. Clones are the same one.
#[derive(Clone)]
pub(crate) struct AuditFile {
    writer: LogWriter,
    reopen: Arc<AtomicBool>,
}

impl AuditFile {
    /// Opens the file, or makes it for its owner alone.
    ///
    /// # Errors
    /// It cannot be opened, or the system has no thread left.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let reopen = Arc::<AtomicBool>::default();
        let file = Reopened { path: path.to_owned(), file: open(path)?, reopen: Arc::clone(&reopen) };
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
        self.reopen.store(true, Ordering::Release);
    }

    /// Waits a moment until everything is written.
    pub(crate) fn finish(&self) {
        self.writer.flush(FLUSH_LIMIT);
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file that is opened anew when somebody asks for it.
struct Reopened {
    path: PathBuf,
    file: File,
    reopen: Arc<AtomicBool>,
}

impl Write for Reopened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reopen.swap(false, Ordering::AcqRel) {
            // One that cannot be opened now leaves the one from before, wherever it is by now.
            self.file = open(&self.path).or_else(|_| self.file.try_clone())?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
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
