//! A folder in which a program keeps what outlives its process. Files in it are for its owner alone, and appear whole or not
//! at all; one that cannot be used is renamed, so that nothing of it is lost and nothing of it is used.
//!
//! Knows nothing of their content.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files;

/// How many files of one name are set aside before the latest takes the place of the one before. A file that is damaged again
/// and again has nothing new to tell.
const MAX_SET_ASIDE: u32 = 9;

/// The folder. It is made when something is put into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// This folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where a file of this name is, which may begin with folders below this one.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The content of a file of at most `max_bytes`; `None` if there is none.
    ///
    /// # Errors
    /// As for [`files::read_limited`].
    pub fn read(&self, name: impl AsRef<Path>, max_bytes: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        self.open(name)?.map(|file| files::read_limited(file, max_bytes)).transpose()
    }

    /// As [`Self::read`], for a file of text.
    ///
    /// # Errors
    /// As for [`files::read_text_limited`].
    pub fn read_text(
        &self,
        name: impl AsRef<Path>,
        max_bytes: usize,
    ) -> io::Result<Option<Zeroizing<String>>> {
        self.open(name)?.map(|file| files::read_text_limited(file, max_bytes)).transpose()
    }

    fn open(&self, name: impl AsRef<Path>) -> io::Result<Option<File>> {
        match File::open(self.path(name)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file, or makes it.
    ///
    /// # Errors
    /// The folder cannot be made, or takes no file.
    pub fn write(&self, name: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
        files::keep(&self.path(name), content)
    }

    /// Makes the folder, and sees whether it takes files, before anybody relies on it.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn probe(&self) -> io::Result<()> {
        files::create_folder(&self.0)?;
        files::probe(&self.0)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Renames a file that cannot be used. Returns where it is now: its name and `.damaged`, with a number if there was one
    /// already.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_aside(&self, name: impl AsRef<Path>) -> io::Result<PathBuf> {
        let from = self.path(name);
        let numbered = |number: u32| {
            let mut to = from.as_os_str().to_owned();
            to.push(".damaged");
            if number > 1 {
                to.push(format!("-{number}"));
            }
            PathBuf::from(to)
        };
        let free = (1..MAX_SET_ASIDE).map(numbered).find(|to| !to.exists());
        let to = free.unwrap_or_else(|| numbered(MAX_SET_ASIDE));
        fs::rename(&from, &to)?;
        Ok(to)
    }
}

/// Whether a file that was read with this error is there, and is not what it should be.
pub fn is_damaged(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_takes_files_is_made_and_stays_empty_and_another_is_an_error() {
        let folder = std::env::temp_dir().join(format!("hvym-state-dir-probe-{}", std::process::id()));
        let state = StateDir::new(folder.join("deep"));
        state.probe().expect("a folder takes a file");
        assert_eq!(fs::read_dir(folder.join("deep")).expect("it is there").count(), 0);
        fs::write(folder.join("file"), "").expect("a folder takes a file");
        assert!(StateDir::new(folder.join("file")).probe().is_err());
        fs::remove_dir_all(folder).expect("it is there");
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-state-{name}-{}", std::process::id()));
        let _before = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_is_for_its_owner_alone() {
        let folder = folder("kept");
        let state = StateDir::new(folder.join("deep"));
        assert_eq!(state.read("file", 10).map(|read| read.is_none()).ok(), Some(true));
        for content in [&b"first"[..], b"0123456789"] {
            state.write("file", content).expect("a folder");
            assert_eq!(state.read("file", 10).expect("a file").expect("a file").as_slice(), content);
            assert_eq!(state.read_text("file", 10).expect("a file").expect("a file").as_bytes(), content);
        }
        let too_large = state.read("file", 9).expect_err("a byte too many");
        assert!(too_large.kind() == io::ErrorKind::FileTooLarge && is_damaged(&too_large));
        state.write("bytes", b"\xff").expect("a folder");
        assert!(is_damaged(&state.read_text("bytes", 9).expect_err("no text")));
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
            assert_eq!((mode(&state.path("file")), mode(&folder.join("deep"))), (0o600, 0o700));
        }
        state.remove("file").expect("it is there");
        state.remove("file").expect("it is gone");
        assert!(!state.path("file").exists());
        fs::remove_dir_all(folder).expect("it was ours");
    }

    #[test]
    fn files_that_are_set_aside_are_all_kept_up_to_nine() {
        let folder = folder("aside");
        let state = StateDir::new(&folder);
        let mut kept = Vec::new();
        for number in 1..=MAX_SET_ASIDE + 1 {
            state.write("file", format!("{number}").as_bytes()).expect("a folder");
            kept.push(state.set_aside("file").expect("it is there"));
            assert!(!state.path("file").exists());
        }
        assert_eq!(kept[0], state.path("file.damaged"));
        assert_eq!(kept[1], state.path("file.damaged-2"));
        assert_eq!(kept[8..], [state.path("file.damaged-9"), state.path("file.damaged-9")]);
        for (index, number) in [1, 2, 3, 4, 5, 6, 7, 8, MAX_SET_ASIDE + 1].into_iter().enumerate() {
            let content = fs::read_to_string(&kept[index]).expect("it is there");
            assert_eq!(content, number.to_string());
        }
        state.set_aside("file").expect_err("nothing is there");
        fs::remove_dir_all(folder).expect("it was ours");
    }
}
