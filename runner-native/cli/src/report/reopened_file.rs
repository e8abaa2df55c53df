//! A file that lines are added to, and that is opened anew when somebody has moved it away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file.
pub(crate) struct ReopenedFile {
    path: PathBuf,
    file: File,
    reopen: ReopenHandle,
}

/// By which it is opened anew. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct ReopenHandle(Arc<AtomicBool>);

impl ReopenHandle {
    /// Opens the file anew before the next line.
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl ReopenedFile {
    /// Opens the file, or makes it for its owner alone.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, ReopenHandle)> {
        let reopen = ReopenHandle::default();
        let file = Self { path: path.to_owned(), file: open(path)?, reopen: reopen.clone() };
        Ok((file, reopen))
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Write for ReopenedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reopen.0.swap(false, Ordering::AcqRel) {
            // One that cannot be opened now leaves the one from before, wherever it is by now.
            self.file = open(&self.path).or_else(|_| self.file.try_clone())?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
