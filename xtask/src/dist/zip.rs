//! Zip archives (PKWARE's APPNOTE.TXT), for people on Windows. Without times, so that they are the same whenever they are made.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::archive::{Entry, Packing};

/// The version of the format that has compression (4.4.3).
const VERSION: u16 = 20;
/// As files of Unix, so that their modes count (4.4.2).
const MADE_BY_UNIX: u16 = 3 << 8;
/// Names are in UTF-8 (4.4.4).
const UTF8: u16 = 1 << 11;
/// 1980-01-01, the first day there is (4.4.6).
const FIRST_DAY: u16 = (1 << 5) | 1;
const DEFLATED: u16 = 8;

/// An archive with these files.
///
/// # Errors
/// Two have one path, or they are larger than the format without its extensions takes.
pub(super) fn zip(entries: &[Entry], packing: Packing) -> Result<Vec<u8>> {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort();
    for pair in entries.windows(2) {
        ensure!(pair[0].path != pair[1].path, "{} is there twice", pair[0].path);
    }
    let level = if packing.is_fast { Compression::fast() } else { Compression::best() };
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for entry in &entries {
        let start = small(archive.len())?;
        let mut encoder = DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(&entry.content)?;
        let packed = encoder.finish()?;
        let member = member(entry, packed.len())?;
        // A local header (4.3.7), then the file.
        archive.extend(0x0403_4b50_u32.to_le_bytes());
        archive.extend(&member);
        archive.extend(entry.path.as_bytes());
        archive.extend(packed);
        let mode: u32 = if entry.is_executable { 0o100_755 } else { 0o100_644 };
        // Its entry in the central directory (4.3.12).
        directory.extend(0x0201_4b50_u32.to_le_bytes());
        directory.extend((MADE_BY_UNIX | VERSION).to_le_bytes());
        directory.extend(member);
        // No comment, the first disk, no internal attributes.
        directory.extend([0; 6]);
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(start.to_le_bytes());
        directory.extend(entry.path.as_bytes());
    }
    let count = u16::try_from(entries.len()).context("too many files")?;
    let (start, length) = (small(archive.len())?, small(directory.len())?);
    archive.extend(directory);
    // The end of it (4.3.16), on one disk and without a comment.
    archive.extend(0x0605_4b50_u32.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend(count.to_le_bytes());
    archive.extend(count.to_le_bytes());
    archive.extend(length.to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0; 2]);
    Ok(archive)
}

/// What both headers of a file say of it.
fn member(entry: &Entry, packed: usize) -> Result<Vec<u8>> {
    let mut crc = Crc::new();
    crc.update(&entry.content);
    let mut member = Vec::new();
    for number in [VERSION, UTF8, DEFLATED, 0, FIRST_DAY] {
        member.extend(number.to_le_bytes());
    }
    for number in [crc.sum(), small(packed)?, small(entry.content.len())?] {
        member.extend(number.to_le_bytes());
    }
    let name = u16::try_from(entry.path.len()).context("a long path")?;
    member.extend(name.to_le_bytes());
    // Nothing is added to the header.
    member.extend([0; 2]);
    Ok(member)
}

fn small(number: usize) -> Result<u32> {
    u32::try_from(number).context("more than 4 GiB")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_archive_is_read_by_another_program_and_does_not_depend_on_order_or_time() {
        let entries =
            [Entry::executable("a/program.exe", "x".repeat(5000)), Entry::new("a/über.txt", "text")];
        let packed = |entries: &[Entry], epoch| zip(entries, Packing { epoch, is_fast: false });
        let archive = packed(&entries, 7).expect("an archive");
        let [one, two] = entries.clone();
        assert_eq!(archive, packed(&[two, one], 8).expect("an archive"));
        packed(&[entries[0].clone(), entries[0].clone()], 7).expect_err("twice");

        let path = std::env::temp_dir().join(format!("hvym-tunnel-xtask-{}.zip", std::process::id()));
        std::fs::write(&path, archive).expect("the temporary folder takes a file");
        let script = "import sys, zipfile\n\
                      z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None\n\
                      print([(i.filename, i.file_size, oct(i.external_attr >> 16)) for i in z.infolist()])";
        let output = Command::new("python3").arg("-c").arg(script).arg(&path).output();
        std::fs::remove_file(&path).expect("the file can be removed");
        let said = String::from_utf8(output.expect("there is Python").stdout).expect("text");
        assert_eq!(said.trim(), "[('a/program.exe', 5000, '0o100755'), ('a/über.txt', 4, '0o100644')]");
    }
}
