//! The folder in which a relay keeps what outlives its process. Files in it are for its owner alone, and appear whole or not
//! at all.
//!
//! Knows nothing of their content.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use hvym_tunnel_net::files::{self, FileAccess};
use zeroize::Zeroizing;

/// The folder. It is made when something is put into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// This folder.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where a file of this name is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The content of a file of at most `max_bytes`; `None` if there is none.
    ///
    /// # Errors
    /// As for [`files::read_limited`].
    pub(crate) fn read(&self, name: &str, max_bytes: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        match File::open(self.path(name)) {
            Ok(file) => files::read_limited(file, max_bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file, or makes it.
    ///
    /// # Errors
    /// The folder cannot be made, or takes no file.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path: &Path = &self.path(name);
        files::create_folder_of(path)?;
        files::replace(path, content, FileAccess::Private)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_and_is_for_its_owner_alone() {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-state-{}", std::process::id()));
        let state = StateDir::new(folder.join("deep"));
        assert_eq!(state.read("file", 10).map(|read| read.is_none()).ok(), Some(true));
        for content in [&b"first"[..], b"0123456789"] {
            state.write("file", content).expect("a folder");
            assert_eq!(state.read("file", 10).expect("a file").expect("a file").as_slice(), content);
        }
        assert_eq!(
            state.read("file", 9).map_err(|error| error.kind()).err(),
            Some(io::ErrorKind::FileTooLarge)
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let mode = |path: &Path| std::fs::metadata(path).expect("it is there").mode() & 0o777;
            assert_eq!((mode(&state.path("file")), mode(&folder.join("deep"))), (0o600, 0o700));
        }
        std::fs::remove_dir_all(folder).expect("it was ours");
    }
}
