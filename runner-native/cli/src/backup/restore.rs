//! Restores a backup: the whole archive is checked before the first file is written, and what is written is taken back if there
//! is no room for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::path::{Component, Path, PathBuf};

use hvym_tunnel_net::files;
use tar::{Archive, EntryType};
use zeroize::Zeroizing;

use super::archive::copy_hashed;
use super::{BackupError, BackupParts, MANIFEST, MAX_FILES, VERSION};

/// More than the hashes and paths of [`MAX_FILES`] files have.
const MAX_MANIFEST_BYTES: usize = 128 * 1024 * 1024;
/// More than the first file has.
const MAX_LABEL_BYTES: usize = 256;

/// Checks the archive and the destinations, and writes the files. Returns how many they are.
pub(super) fn run(parts: &BackupParts, path: &Path, archive: &mut File) -> Result<usize, BackupError> {
    let unreadable = |error: io::Error| BackupError::Damaged(error.to_string());
    let names = check(parts, path, archive)?;
    let destinations: BTreeMap<&str, PathBuf> = names
        .iter()
        .map(|name| Ok((name.as_str(), destination(parts, name)?)))
        .collect::<Result<_, BackupError>>()?;
    check_free(parts, destinations.values())?;
    archive.rewind().map_err(unreadable)?;
    let mut written = Written::default();
    let mut tar = Archive::new(&*archive);
    for entry in tar.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry_name(&entry)?;
        if let Some(to) = destinations.get(name.as_str()) {
            written.write(to, entry).map_err(BackupError::at(to))?;
        }
    }
    written.keep();
    Ok(names.len())
}

/// The names of the files of an archive that is as it was written.
fn check(parts: &BackupParts, path: &Path, archive: &File) -> Result<BTreeSet<String>, BackupError> {
    let not_ours = |_| BackupError::NotABackup(path.to_owned());
    let unreadable = |error: io::Error| BackupError::Damaged(error.to_string());
    let mut hashes = BTreeMap::new();
    let mut tar = Archive::new(archive);
    let mut entries = tar.entries().map_err(not_ours)?;
    let first = entries.next().ok_or_else(|| BackupError::NotABackup(path.to_owned()))?.map_err(not_ours)?;
    check_label(parts, path, first)?;
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(unreadable)?;
        let name = entry_name(&entry)?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(BackupError::Damaged(format!("{name} is no file")));
        }
        if name == MANIFEST {
            let manifest = read_manifest(entry)?;
            if entries.next().is_some() {
                return Err(BackupError::Damaged("there is something behind its end".to_owned()));
            }
            return compare(&manifest, &hashes).map(|()| hashes.into_keys().collect());
        }
        if hashes.len() == MAX_FILES {
            return Err(BackupError::TooMany);
        }
        let hash = copy_hashed(entry, io::sink()).map_err(unreadable)?;
        if hashes.insert(name.clone(), hash).is_some() {
            return Err(BackupError::Damaged(format!("{name} is there twice")));
        }
    }
    Err(BackupError::Damaged("its end is missing".to_owned()))
}

fn check_label(parts: &BackupParts, path: &Path, entry: impl Read) -> Result<(), BackupError> {
    let not_ours = || BackupError::NotABackup(path.to_owned());
    let text = files::read_text_limited(entry, MAX_LABEL_BYTES).map_err(|_| not_ours())?;
    let rest = text.strip_prefix("hvym-tunnel backup ").ok_or_else(not_ours)?;
    let (version, kind) = rest.trim_end().split_once(' ').ok_or_else(not_ours)?;
    match version.parse::<u32>().map_err(|_| not_ours())? {
        VERSION => {}
        version if version > VERSION => return Err(BackupError::Newer),
        _ => return Err(not_ours()),
    }
    if kind != parts.kind.as_str() {
        return Err(BackupError::OtherKind { found: kind.to_owned(), wanted: parts.kind.as_str() });
    }
    Ok(())
}

fn read_manifest(entry: tar::Entry<'_, impl Read>) -> Result<Zeroizing<String>, BackupError> {
    let size = usize::try_from(entry.size()).ok().filter(|size| *size <= MAX_MANIFEST_BYTES);
    let size = size.ok_or_else(|| BackupError::Damaged("its list of files is too long".to_owned()))?;
    files::read_text_limited(entry, size).map_err(|error| BackupError::Damaged(error.to_string()))
}

/// Whether the archive has the files of its manifest, and no others.
fn compare(manifest: &str, hashes: &BTreeMap<String, String>) -> Result<(), BackupError> {
    let listed: BTreeMap<&str, &str> =
        manifest.lines().filter_map(|line| line.split_once("  ")).map(|(hash, name)| (name, hash)).collect();
    if listed.len() != hashes.len() {
        return Err(BackupError::Damaged("files are missing".to_owned()));
    }
    let wrong = hashes.iter().find(|(name, hash)| listed.get(name.as_str()) != Some(&hash.as_str()));
    match wrong {
        Some((name, _)) => Err(BackupError::Damaged(format!("{name} is not as it was"))),
        None => Ok(()),
    }
}

fn entry_name(entry: &tar::Entry<'_, impl Read>) -> Result<String, BackupError> {
    let bytes = entry.path_bytes();
    let name =
        std::str::from_utf8(&bytes).map_err(|_| BackupError::Damaged("a name is no text".to_owned()))?;
    Ok(name.to_owned())
}

/// Where a file goes: below one of the folders, or one of the files. Nowhere else, whatever its name says.
fn destination(parts: &BackupParts, name: &str) -> Result<PathBuf, BackupError> {
    let strange = || BackupError::Damaged(format!("{name:?} belongs nowhere"));
    if let Some((_, path)) = parts.files.iter().find(|(file, _)| *file == name) {
        return Ok(path.clone());
    }
    let (first, rest) = name.split_once('/').ok_or_else(strange)?;
    let (_, folder) = parts.folders.iter().find(|(known, _)| *known == first).ok_or_else(strange)?;
    let rest = Path::new(rest);
    let is_below = rest.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_below || rest.as_os_str().is_empty() {
        return Err(strange());
    }
    Ok(folder.join(rest))
}

/// Nothing may be where a file goes, and nothing in the folders: half of one state and half of another would be neither.
fn check_free<'a>(
    parts: &BackupParts,
    destinations: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), BackupError> {
    for (_, folder) in &parts.folders {
        if let Some(other) = fs::read_dir(folder).ok().and_then(|mut entries| entries.next()) {
            return Err(BackupError::Exists(other.map_err(BackupError::at(folder))?.path()));
        }
    }
    match destinations.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(BackupError::Exists(path.clone())),
        None => Ok(()),
    }
}

/// Files that were written, and are removed again unless all of them are there.
#[derive(Default)]
struct Written(Vec<PathBuf>);

impl Written {
    fn write(&mut self, to: &Path, content: impl Read) -> io::Result<()> {
        files::create_folder_of(to)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(to)?;
        self.0.push(to.to_owned());
        copy_hashed(content, &file)?;
        file.sync_all()
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        for path in &self.0 {
            let _gone = fs::remove_file(path);
        }
    }
}
