//! `backup` and `restore`: what an agent or a relay keeps on the disk, in one file.
//!
//! The file is a tar archive, which other programs read too: first `BACKUP`, which says what it is, then the files, and
//! last `MANIFEST` with their SHA-256 hashes. Databases are copied as they are at one moment, whoever uses them meanwhile.

mod archive;
mod plan;
mod restore;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use hvym_tunnel_state::{StateError, copy_database};
use thiserror::Error;

use crate::exit::{Exit, ExitError};
use archive::ArchiveWriter;
use plan::PlannedFile;

/// The first file of an archive.
const LABEL: &str = "BACKUP";
/// Its last one.
const MANIFEST: &str = "MANIFEST";
/// Of the layout of an archive.
const VERSION: u32 = 1;
/// The most files: a relay has one certificate for each name in use.
const MAX_FILES: usize = 200_000;

/// What a backup is of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum BackupKind {
    /// Identities, settings and what a manager remembers.
    Agent,
    /// The identity and the state of a relay.
    Relay,
}

impl BackupKind {
    const fn as_str(self) -> &'static str {
        match self {
            BackupKind::Agent => "agent",
            BackupKind::Relay => "relay",
        }
    }
}

/// Where on this machine the parts of a backup are, or are to be, by the first names of their paths in an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BackupParts {
    pub(crate) kind: BackupKind,
    pub(crate) folders: Vec<(&'static str, PathBuf)>,
    pub(crate) files: Vec<(&'static str, PathBuf)>,
}

/// Why there is no backup, or why one is not restored.
#[derive(Debug, Error)]
pub(crate) enum BackupError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Database(#[from] StateError),
    #[error("there is nothing to keep: {} does not exist", .0.display())]
    Nothing(PathBuf),
    #[error("there are more than {MAX_FILES} files")]
    TooMany,
    #[error("{} is no backup of this program", .0.display())]
    NotABackup(PathBuf),
    #[error("it is a backup of {found}, and is to be restored as one of {wanted}")]
    OtherKind { found: String, wanted: &'static str },
    #[error("it was made by a newer version of this program")]
    Newer,
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error("{} is there already, and nothing is overwritten", .0.display())]
    Exists(PathBuf),
}

impl BackupError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}

impl From<BackupError> for ExitError {
    fn from(error: BackupError) -> Self {
        let hint = match &error {
            BackupError::Exists(_) => "move it away first, or name another place",
            BackupError::Nothing(_) => "--state-dir names the state folder of a relay",
            BackupError::OtherKind { .. } => {
                "hvym-tunnel restore is for agents, hvym-tunnel relay restore for relays"
            }
            _ => return ExitError::new(Exit::Config, error.to_string()),
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

/// Writes the new file `to`, for its owner alone. Returns how many files it holds.
///
/// # Errors
/// A file cannot be read, or `to` is there already or cannot be written; nothing is left of it then.
pub(crate) async fn back_up(parts: &BackupParts, to: &Path) -> Result<usize, BackupError> {
    let files = plan::files(parts)?;
    let draft = to.with_file_name(format!(".hvym-tunnel-backup-{}.db", std::process::id()));
    let written = write(parts.kind, &files, to, &draft).await;
    let _gone = fs::remove_file(&draft);
    match written {
        Ok(()) => Ok(files.len()),
        Err(error) => {
            // What was there before is not touched.
            if !matches!(error, BackupError::Exists(_)) {
                let _gone = fs::remove_file(to);
            }
            Err(error)
        }
    }
}

async fn write(kind: BackupKind, files: &[PlannedFile], to: &Path, draft: &Path) -> Result<(), BackupError> {
    let mut archive = ArchiveWriter::create(to, kind)?;
    for PlannedFile { name, path, is_database } in files {
        if *is_database {
            copy_database(path, draft).await?;
            archive.add(name, draft)?;
            fs::remove_file(draft).map_err(BackupError::at(draft))?;
        } else {
            archive.add(name, path)?;
        }
    }
    archive.finish()
}

/// Puts the files of the archive `from` where `parts` says, if nothing is there. Returns how many they are.
///
/// # Errors
/// The archive is damaged or of something else, or something is there already; then nothing has changed.
pub(crate) fn restore(parts: &BackupParts, from: &Path) -> Result<usize, BackupError> {
    let mut file = File::open(from).map_err(BackupError::at(from))?;
    restore::run(parts, from, &mut file)
}
