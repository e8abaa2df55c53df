//! A file with a bounded size: when it is full it becomes `NAME.1`, that one `NAME.2`, and the oldest goes.
//!
//! Knows no format. Nobody but its owner can read it. A file that cannot be written is told once, until it can be written again;
//! what came meanwhile is lost, since whoever logs must not stop for it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hvym_tunnel_net::files;

/// How large a file becomes, and how many full ones are kept beside it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Rotation {
    /// Bytes. One write with more has a file of its own.
    pub(super) max_bytes: u64,
    /// Full files.
    pub(super) max_files: u32,
}

/// The file. Each write is whole in one file, so that no line is torn.
pub(super) struct RotatingFile<T> {
    path: PathBuf,
    rotation: Rotation,
    file: Option<File>,
    tell: T,
    is_told: bool,
}

impl<T: Fn(&Path, &io::Error)> RotatingFile<T> {
    /// The file at `path`, which goes on at its end; it and its folder are made when something is written. `tell` is called when
    /// it cannot be.
    pub(super) fn new(path: PathBuf, rotation: Rotation, tell: T) -> Self {
        Self { path, rotation, file: None, tell, is_told: false }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut length = self.reopen_if_moved()?;
        if length > 0 && length.saturating_add(bytes.len() as u64) > self.rotation.max_bytes {
            rotate(&self.path, self.rotation.max_files)?;
            self.file = Some(open(&self.path)?);
            length = 0;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        file.write_all(bytes).inspect_err(|_| {
            // A disk that is full has taken a part of it: half a line would be read as one.
            let _as_good_as_it_gets = file.set_len(length);
        })
    }

    /// Opens the file again if its name leads to another one, as after a rotation by somebody else, or nowhere. Returns its length.
    fn reopen_if_moved(&mut self) -> io::Result<u64> {
        let named = fs::metadata(&self.path).ok();
        if let (Some(file), Some(named)) = (&self.file, &named)
            && is_same(&file.metadata()?, named)
        {
            return Ok(named.len());
        }
        files::create_folder_of(&self.path)?;
        let file = open(&self.path)?;
        let length = file.metadata()?.len();
        self.file = Some(file);
        Ok(length)
    }
}

impl<T: Fn(&Path, &io::Error)> Write for RotatingFile<T> {
    /// Writes all of `bytes`, into the next file if they do not fit into this one. Never fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            Ok(()) => self.is_told = false,
            Err(error) => {
                self.file = None;
                if !std::mem::replace(&mut self.is_told, true) {
                    (self.tell)(&self.path, &error);
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The full file of this number beside `path`, counted from 1, the newest.
pub(crate) fn full(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    path.with_file_name(name)
}

fn rotate(path: &Path, max_files: u32) -> io::Result<()> {
    for number in (1..max_files).rev() {
        // Often there are fewer.
        match fs::rename(full(path, number), full(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match max_files {
        0 => fs::remove_file(path),
        _ => fs::rename(path, full(path, 1)),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Nobody can move a file here that is open.
#[cfg(not(unix))]
fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("hvym-tunnel-rotation-{name}-{}", std::process::id()));
            let _before = fs::remove_dir_all(&path);
            Self(path)
        }

        /// The files in it, with what they say.
        fn texts(&self) -> Vec<(String, String)> {
            let entries =
                fs::read_dir(&self.0).expect("the folder").map(|entry| entry.expect("a file").path());
            let text = |path: &PathBuf| fs::read_to_string(path).expect("a text");
            let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut all: Vec<_> = entries.map(|path| (name(&path), text(&path))).collect();
            all.sort();
            all
        }

        fn expect(&self, files: &[(&str, &str)]) {
            let files: Vec<_> =
                files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            assert_eq!(self.texts(), files);
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn never(path: &Path, error: &io::Error) {
        panic!("{}: {error}", path.display());
    }

    const ROTATION: Rotation = Rotation { max_bytes: 8, max_files: 2 };

    #[test]
    fn a_full_file_is_kept_under_a_number_and_the_oldest_goes() {
        let folder = Folder::new("full");
        let path = folder.0.join("agent.log");
        let mut log = RotatingFile::new(path.clone(), ROTATION, never);
        let mut write = |text: &str| log.write_all(text.as_bytes()).expect("it never fails");
        write("one\n");
        write("two\n");
        folder.expect(&[("agent.log", "one\ntwo\n")]);
        write("3\n");
        folder.expect(&[("agent.log", "3\n"), ("agent.log.1", "one\ntwo\n")]);
        write("a long line\n");
        write("4\n");
        folder.expect(&[("agent.log", "4\n"), ("agent.log.1", "a long line\n"), ("agent.log.2", "3\n")]);
        let mut again = RotatingFile::new(path, ROTATION, never);
        again.write_all(b"123456\n").expect("written");
        folder.expect(&[("agent.log", "123456\n"), ("agent.log.1", "4\n"), ("agent.log.2", "a long line\n")]);
        #[cfg(unix)]
        for entry in fs::read_dir(&folder.0).expect("the folder") {
            use std::os::unix::fs::PermissionsExt;
            let mode = entry.expect("a file").metadata().expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_is_removed_is_made_again_and_a_file_that_was_moved_is_left_alone() {
        let folder = Folder::new("moved");
        let path = folder.0.join("agent.log");
        let mut log = RotatingFile::new(path.clone(), ROTATION, never);
        log.write_all(b"one\n").expect("it never fails");
        fs::remove_dir_all(&folder.0).expect("it was ours");
        log.write_all(b"two\n").expect("it never fails");
        folder.expect(&[("agent.log", "two\n")]);
        fs::rename(&path, folder.0.join("old")).expect("it was ours");
        log.write_all(b"three\n").expect("it never fails");
        folder.expect(&[("agent.log", "three\n"), ("old", "two\n")]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_once_and_again_after_it_could_be() {
        let folder = Folder::new("told");
        fs::create_dir_all(&folder.0).expect("a folder");
        let in_the_way = folder.0.join("logs");
        let told = Rc::<RefCell<u32>>::default();
        let count = Rc::clone(&told);
        let tell = move |_: &Path, _: &io::Error| *count.borrow_mut() += 1;
        let mut log = RotatingFile::new(in_the_way.join("agent.log"), ROTATION, tell);
        for (round, expected) in [(1, 1), (2, 2)] {
            fs::write(&in_the_way, "a file where the folder should be").expect("a file");
            for _ in 0..3 {
                log.write_all(b"lost\n").expect("it never fails");
            }
            assert_eq!(*told.borrow(), expected, "round {round}");
            fs::remove_file(&in_the_way).expect("it was ours");
            log.write_all(b"kept\n").expect("it never fails");
            assert_eq!(fs::read_to_string(in_the_way.join("agent.log")).ok().as_deref(), Some("kept\n"));
            fs::remove_dir_all(&in_the_way).expect("it was ours");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_stops_nobody() {
        let told = RefCell::new(Vec::new());
        let tell = |_: &Path, error: &io::Error| told.borrow_mut().push(error.kind());
        let mut log = RotatingFile::new(PathBuf::from("/dev/full"), ROTATION, tell);
        log.write_all(b"lost\n").expect("it never fails");
        log.write_all(b"lost too\n").expect("it never fails");
        assert_eq!(*told.borrow(), [io::ErrorKind::StorageFull]);
    }
}
