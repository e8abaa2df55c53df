//! Archives that are the same whenever and wherever they are made: files in order, of nobody, of one time.

use std::io::Write;

use anyhow::{Result, ensure};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// A file in an archive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    /// Relative, with `/`.
    pub(super) path: String,
    pub(super) content: Vec<u8>,
    pub(super) is_executable: bool,
}

impl Entry {
    pub(super) fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: content.into(), is_executable: false }
    }

    pub(super) fn executable(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { is_executable: true, ..Self::new(path, content) }
    }
}

/// What is the same in all archives that are made at once.
#[derive(Copy, Clone, Debug)]
pub(super) struct Packing {
    /// The time of all files, in seconds since 1970.
    pub(super) epoch: u64,
    /// Whether speed counts for more than size.
    pub(super) is_fast: bool,
}

/// A compressed tar archive with these files, and the folders that they are in.
///
/// # Errors
/// Two have one path.
pub(super) fn tar_gz(entries: &[Entry], packing: Packing) -> Result<Vec<u8>> {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort();
    for pair in entries.windows(2) {
        ensure!(pair[0].path != pair[1].path, "{} is there twice", pair[0].path);
    }
    let mut tar = Builder::new(Vec::new());
    let mut folders: Vec<String> = Vec::new();
    for entry in entries {
        for (at, _) in entry.path.match_indices('/') {
            let folder = &entry.path[..=at];
            if !folders.iter().any(|known| known == folder) {
                append(&mut tar, folder, EntryType::Directory, 0o755, &[], packing)?;
                folders.push(folder.to_owned());
            }
        }
        let mode = if entry.is_executable { 0o755 } else { 0o644 };
        append(&mut tar, &entry.path, EntryType::Regular, mode, &entry.content, packing)?;
    }
    let level = if packing.is_fast { Compression::fast() } else { Compression::best() };
    compress(&tar.into_inner()?, level)
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
    packing: Packing,
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_mtime(packing.epoch);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    tar.append_data(&mut header, path, content)?;
    Ok(())
}

/// Without a name and a time in its head.
pub(super) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    compress(content, Compression::best())
}

fn compress(content: &[u8], level: Compression) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), level);
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

/// An archive of ar(5), as Debian packages are.
pub(super) fn ar(members: &[(&str, &[u8])], epoch: u64) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let head = format!("{name:<16}{epoch:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", content.len());
        archive.extend_from_slice(head.as_bytes());
        archive.extend_from_slice(content);
        if content.len() % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_the_same_in_whatever_order_its_files_are_found() {
        let [one, two] = ["a/b/two", "a/one"].map(|path| Entry::new(path, path));
        let packed = |entries: &[&Entry], epoch| {
            let entries: Vec<Entry> = entries.iter().map(|entry| (*entry).clone()).collect();
            tar_gz(&entries, Packing { epoch, is_fast: false })
        };
        let first = packed(&[&one, &two], 7).expect("an archive");
        assert_eq!(first, packed(&[&two, &one], 7).expect("an archive"));
        assert_ne!(first, packed(&[&two, &one], 8).expect("an archive"));
        packed(&[&one, &one], 7).expect_err("twice");
        let read = flate2::read::GzDecoder::new(&first[..]);
        let mut archive = tar::Archive::new(read);
        let paths = archive.entries().expect("entries").map(|entry| {
            let entry = entry.expect("an entry");
            assert_eq!(entry.header().uid().expect("a number"), 0);
            String::from_utf8_lossy(&entry.path_bytes()).into_owned()
        });
        assert_eq!(paths.collect::<Vec<_>>(), ["a/", "a/b/", "a/b/two", "a/one"]);
    }

    #[test]
    fn members_of_an_ar_archive_begin_at_even_places() {
        let archive = ar(&[("one", b"x"), ("two", b"yy")], 7);
        assert_eq!(archive.len(), 8 + 60 + 2 + 60 + 2);
        assert_eq!(&archive[8..24], b"one             ");
        assert_eq!(&archive[66..72], b"`\nx\ntw");
    }
}
