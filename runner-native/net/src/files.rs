//! Files that appear complete or not at all, and bounded reading of files that hold secrets.
//!
//! Knows nothing of their content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Who may read a new file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FileAccess {
    /// The owner alone: mode 0600.
    Private,
    /// As the umask allows.
    Public,
}

/// Makes the folder of `path`, and every folder above it that is missing, for the owner alone (0700).
pub fn create_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => create_folder(folder),
        None => Ok(()),
    }
}

pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The permission bits of `file`, if others than its owner can read or write it.
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

/// Reads a file that may hold a secret. No copy of the content is left in memory when the result is dropped.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`] if there are more than `max_bytes`, and what reading fails with.
pub fn read_limited(file: impl Read, max_bytes: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // Allocated once: a vector that grows would leave copies behind. The byte more shows that there is too much.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_bytes + 1));
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max_bytes {
        let text = format!("it is larger than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// As [`read_limited`], for a file of text.
///
/// # Errors
/// As for [`read_limited`], and [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_text_limited(file: impl Read, max_bytes: usize) -> io::Result<Zeroizing<String>> {
    let mut bytes = read_limited(file, max_bytes)?;
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        // As the standard library says it.
        io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8")
    })
}

/// Puts `content` where nothing was.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something is there: of many that race, one succeeds, and what
/// the others then read is its whole content.
pub fn create(path: &Path, content: &[u8], access: FileAccess) -> io::Result<()> {
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
pub fn replace(path: &Path, content: &[u8], access: FileAccess) -> io::Result<()> {
    let draft = Draft::write(path, content, access)?;
    fs::rename(&draft.0, path)
}

/// As [`replace`], for the owner alone, in a folder that is made if there is none.
///
/// # Errors
/// The folder cannot be made, or takes no file.
pub fn keep(path: &Path, content: &[u8]) -> io::Result<()> {
    create_folder_of(path)?;
    replace(path, content, FileAccess::Private)
}

/// Sees whether `folder` takes files, before anybody relies on it.
///
/// # Errors
/// It is not there, or takes none.
pub fn probe(folder: &Path) -> io::Result<()> {
    let probe = folder.join(".probe");
    replace(&probe, b"", FileAccess::Private)?;
    match fs::remove_file(probe) {
        // Another process has looked at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// A file beside its destination under a name of its own; gone when dropped.
struct Draft(PathBuf);

impl Draft {
    fn write(path: &Path, content: &[u8], access: FileAccess) -> io::Result<Self> {
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

fn options(access: FileAccess) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if access == FileAccess::Private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _the_folder_decides = access;
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_limit_is_read_and_one_byte_more_is_an_error() {
        for length in [0, 7, 8] {
            let content = vec![b'x'; length];
            let read = read_limited(&content[..], 8).map(|bytes| bytes.to_vec());
            assert_eq!(read.map_err(|error| error.kind()), Ok(content));
        }
        let error = read_limited(&[b'x'; 9][..], 8).expect_err("a byte too many");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "it is larger than 8 bytes")
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_for_a_reader_of_text() {
        let read = |bytes: &[u8]| read_text_limited(bytes, 8).map(|text| text.to_string());
        assert_eq!(read("caf\u{e9}".as_bytes()).ok().as_deref(), Some("caf\u{e9}"));
        assert_eq!(read(b"caf\xe9").expect_err("no UTF-8").kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(b"123456789").expect_err("too long").kind(), io::ErrorKind::FileTooLarge);
    }
}
