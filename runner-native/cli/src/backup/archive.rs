//! Writes the archive of a backup, one file after the other.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{BackupError, BackupKind, LABEL, MANIFEST, VERSION};

/// An archive that is being written.
pub(super) struct ArchiveWriter {
    path: PathBuf,
    tar: Builder<BufWriter<File>>,
    /// A line for each file, as sha256sum writes and checks them.
    manifest: String,
}

impl ArchiveWriter {
    /// Begins the new file `path`, for its owner alone.
    ///
    /// # Errors
    /// Something is there, or it cannot be written.
    pub(super) fn create(path: &Path, kind: BackupKind) -> Result<Self, BackupError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
            _ => BackupError::at(path)(error),
        })?;
        let tar = Builder::new(BufWriter::new(file));
        let mut writer = Self { path: path.to_owned(), tar, manifest: String::new() };
        let header = format!("hvym-tunnel backup {VERSION} {}\n", kind.as_str());
        writer.append(LABEL, header.as_bytes(), header.len() as u64, 0)?;
        Ok(writer)
    }

    /// Adds the file at `path` under this name.
    ///
    /// # Errors
    /// It cannot be read, or becomes shorter meanwhile, or there is no room.
    pub(super) fn add(&mut self, name: &str, path: &Path) -> Result<(), BackupError> {
        let file = File::open(path).map_err(BackupError::at(path))?;
        let metadata = file.metadata().map_err(BackupError::at(path))?;
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified = modified.unwrap_or_default().as_secs();
        let hash = self.append(name, file.take(metadata.len()), metadata.len(), modified)?;
        self.manifest.push_str(&format!("{hash}  {name}\n"));
        Ok(())
    }

    /// Writes what is missing, to the disk.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        let manifest = std::mem::take(&mut self.manifest);
        self.append(MANIFEST, manifest.as_bytes(), manifest.len() as u64, 0)?;
        let written = self.tar.into_inner().and_then(|buffered| {
            let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()
        });
        written.map_err(BackupError::at(&self.path))
    }

    /// Returns the hash of what was read.
    fn append(
        &mut self,
        name: &str,
        content: impl Read,
        size: u64,
        modified: u64,
    ) -> Result<String, BackupError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(modified);
        let mut hashed = HashedReader { content, hash: Sha256::new(), count: 0 };
        self.tar.append_data(&mut header, name, &mut hashed).map_err(BackupError::at(&self.path))?;
        if hashed.count != size {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} became shorter"));
            return Err(BackupError::at(&self.path)(error));
        }
        Ok(HEXLOWER.encode(&hashed.hash.finalize()))
    }
}

/// Hashes what passes.
pub(super) struct HashedReader<R> {
    pub(super) content: R,
    pub(super) hash: Sha256,
    pub(super) count: u64,
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(room)?;
        self.hash.update(&room[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

/// Copies everything, and returns its hash.
pub(super) fn copy_hashed(content: impl Read, mut to: impl Write) -> io::Result<String> {
    let mut hashed = HashedReader { content, hash: Sha256::new(), count: 0 };
    io::copy(&mut hashed, &mut to)?;
    Ok(HEXLOWER.encode(&hashed.hash.finalize()))
}
