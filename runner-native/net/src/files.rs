//! Files that appear whole or not at all.
//!
//! Knows nothing of what it writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Who may read a new file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Access {
    /// The owner alone: mode 0600.
    Private,
    /// Whoever the umask lets.
    Public,
}

/// Makes the folder of `path`, and every folder above it that is missing, for the owner alone (0700).
pub fn create_folder_of(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The permission bits of `file`, if anybody but its owner can read it or write to it.
#[cfg(unix)]
pub fn mode_for_others(file: &File) -> io::Result<Option<u32>> {
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777;
    Ok(Some(mode).filter(|mode| mode & 0o077 != 0))
}

/// Elsewhere a home folder's own access list keeps others out.
#[cfg(not(unix))]
pub fn mode_for_others(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

/// Puts `content` where nothing was.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something is there: of many that race, one succeeds, and what
/// the others then read is its whole content.
pub fn create(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let draft = Draft::write(path, content, access)?;
    match fs::hard_link(&draft.0, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No hard links here (FAT, some network drives): still at most one winner, who for a moment shows
        // an unfinished file.
        Err(_) => {
            let mut file = options(access).open(path)?;
            file.write_all(content).and_then(|()| file.sync_all())
        }
    }
}

/// Puts `content` there, whatever was there before.
pub fn replace(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let draft = Draft::write(path, content, access)?;
    fs::rename(&draft.0, path)
}

/// A file beside its destination under a name of its own; gone when dropped.
struct Draft(PathBuf);

impl Draft {
    fn write(path: &Path, content: &[u8], access: Access) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".{:016x}", getrandom::u64().map_err(io::Error::other)?));
        let draft = path.with_file_name(draft);
        let mut file: File = options(access).open(&draft)?;
        let draft = Draft(draft);
        file.write_all(content)?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _gone = fs::remove_file(&self.0);
    }
}

fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _the_folder_decides = access;
    options
}
