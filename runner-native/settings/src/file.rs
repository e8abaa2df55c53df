//! The settings file on the disk: read with a bound, written whole or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use hvym_tunnel_net::files::{self, FileAccess};
use thiserror::Error;

use crate::document::{Loaded, parse};
use crate::mistake::Mistakes;
use crate::overlay::Override;

/// The largest settings file in bytes. A thousand services have a tenth of it; a larger one is another file.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Why there are no settings.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no file.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// Its content is wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

impl FileError {
    pub(crate) fn writing(path: &Path, error: &io::Error) -> Self {
        FileError::Unwritable { path: path.to_owned(), reason: error.to_string() }
    }
}

/// The text of the file at `path`.
///
/// # Errors
/// [`FileError::Missing`], or [`FileError::Unreadable`]: also of one with more than [`MAX_BYTES`], or that is no text.
pub fn read(path: &Path) -> Result<String, FileError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
        _ => FileError::Unreadable { path: path.to_owned(), reason: error.to_string() },
    };
    let file = File::open(path).map_err(failed)?;
    files::read_text_limited(file, MAX_BYTES).map(|text| text.to_string()).map_err(failed)
}

/// The settings in the file at `path`, with what is set beside it.
///
/// # Errors
/// [`FileError`]; of a file with mistakes all of them.
pub fn load(path: &Path, overrides: &[Override]) -> Result<Loaded, FileError> {
    Ok(parse(&read(path)?, path, overrides)?)
}

/// Puts `text` there, if it is right: the file has the old content or the new one, whatever happens meanwhile. Nobody else
/// can read it, for it may name what is secret.
///
/// # Errors
/// Its mistakes, of which nothing is written, or [`FileError::Unwritable`].
pub fn write(path: &Path, text: &str) -> Result<Loaded, FileError> {
    let loaded = parse(text, path, &[])?;
    files::create_folder_of(path)
        .and_then(|()| files::replace(path, text.as_bytes(), FileAccess::Private))
        .map_err(|error| FileError::writing(path, &error))?;
    Ok(loaded)
}
