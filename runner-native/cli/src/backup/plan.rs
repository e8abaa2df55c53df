//! Which files belong to a backup. Reads names and the beginnings of files, and no more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hvym_tunnel_state::is_database;

use super::{BackupError, BackupParts, MAX_FILES};

/// The deepest folder: certificates are two below the state folder.
const MAX_DEPTH: usize = 8;
/// What SQLite keeps beside a database while it is in use. A copy needs none of it.
const BESIDE_DATABASES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file that a backup holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PlannedFile {
    /// Its path in the archive.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) is_database: bool,
}

/// All files, by their names. Sockets, links and hidden files, which are drafts of others, do not belong to it.
///
/// # Errors
/// A folder cannot be read, or nothing is there.
pub(super) fn files(parts: &BackupParts) -> Result<Vec<PlannedFile>, BackupError> {
    let mut files = Vec::new();
    for (name, path) in &parts.files {
        if path.exists() {
            add(&mut files, (*name).to_owned(), path)?;
        }
    }
    // One that was named may be in one of the folders too.
    let named: Vec<PathBuf> = files.iter().filter_map(|file| file.path.canonicalize().ok()).collect();
    for (name, folder) in &parts.folders {
        if folder.exists() {
            collect(&mut files, name, folder, &named, 0)?;
        }
    }
    files.sort();
    match parts.folders.iter().map(|(_, path)| path).chain(parts.files.iter().map(|(_, path)| path)).next() {
        Some(path) if files.is_empty() => Err(BackupError::Nothing(path.clone())),
        _ => Ok(files),
    }
}

fn collect(
    files: &mut Vec<PlannedFile>,
    name: &str,
    folder: &Path,
    named: &[PathBuf],
    depth: usize,
) -> Result<(), BackupError> {
    if depth > MAX_DEPTH {
        return Err(BackupError::TooMany);
    }
    for entry in fs::read_dir(folder).map_err(BackupError::at(folder))? {
        let entry = entry.map_err(BackupError::at(folder))?;
        let path = entry.path();
        let entry_name = entry.file_name();
        let entry_name = entry_name.to_str().ok_or(io::ErrorKind::InvalidFilename.into());
        let entry_name = entry_name.map_err(BackupError::at(&path))?;
        if entry_name.starts_with('.') {
            continue;
        }
        let name = format!("{name}/{entry_name}");
        let kind = entry.file_type().map_err(BackupError::at(&path))?;
        if kind.is_dir() {
            collect(files, &name, &path, named, depth + 1)?;
        } else if kind.is_file()
            && !is_beside_database(&path)?
            && !path.canonicalize().is_ok_and(|path| named.contains(&path))
        {
            add(files, name, &path)?;
        }
    }
    Ok(())
}

fn add(files: &mut Vec<PlannedFile>, name: String, path: &Path) -> Result<(), BackupError> {
    if files.len() == MAX_FILES {
        return Err(BackupError::TooMany);
    }
    let is_database = is_database(path).map_err(BackupError::at(path))?;
    files.push(PlannedFile { name, path: path.to_owned(), is_database });
    Ok(())
}

/// Whether SQLite made this file for a database beside it.
fn is_beside_database(path: &Path) -> Result<bool, BackupError> {
    let text = path.to_string_lossy();
    for suffix in BESIDE_DATABASES {
        if let Some(database) = text.strip_suffix(suffix).map(Path::new)
            && database.is_file()
        {
            return is_database(database).map_err(BackupError::at(database));
        }
    }
    Ok(false)
}
