//! Archives that are as they were written, and archives that are not.

use std::fs;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::*;

/// A folder of this test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-backup-{name}-{}", std::process::id()));
        let _before = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a folder takes a file");
    }

    /// A relay whose state and identity are below this folder of it.
    fn relay(&self, name: &str) -> BackupParts {
        BackupParts {
            kind: BackupKind::Relay,
            folders: vec![("state", self.path(name).join("state"))],
            files: vec![("relay.key", self.path(name).join("key"))],
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn backed_up(parts: &BackupParts, to: &Path) -> Result<usize, BackupError> {
    smol::block_on(back_up(parts, to))
}

#[test]
fn what_is_backed_up_is_restored_elsewhere_and_nothing_is_overwritten() {
    let folder = Folder::new("whole");
    let name = "n".repeat(200);
    for (name, content) in [
        ("a/key".to_owned(), &b"secret"[..]),
        ("a/state/names.json".to_owned(), b"{}"),
        (format!("a/state/certificates/{name}.pem"), &[b'c'; 70_000]),
        ("a/state/.names.json.0123456789abcdef".to_owned(), b"a draft"),
        ("a/state/empty".to_owned(), b""),
    ] {
        folder.write(&name, content);
    }
    #[cfg(unix)]
    drop(std::os::unix::net::UnixListener::bind(folder.path("a/state/control.sock")).expect("a socket"));
    let file = folder.path("relay.tar");
    assert_eq!(backed_up(&folder.relay("a"), &file).expect("a backup"), 4);
    assert_eq!(restore(&folder.relay("b"), &file).expect("nothing is there"), 4);
    for name in ["key", "state/names.json", &format!("state/certificates/{name}.pem"), "state/empty"] {
        let [before, after] = ["a", "b"].map(|relay| folder.path(relay).join(name));
        assert_eq!(fs::read(&before).expect("it is there"), fs::read(&after).expect("it is restored"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(fs::metadata(&after).expect("it is there").mode() & 0o777, 0o600);
        }
    }
    assert_eq!(fs::read_dir(folder.path("b/state")).expect("a folder").count(), 3);
    assert!(matches!(backed_up(&folder.relay("a"), &file), Err(BackupError::Exists(_))));
    assert!(matches!(restore(&folder.relay("b"), &file), Err(BackupError::Exists(_))));
    // One file that is in the way is enough, wherever it is.
    folder.write("c/key", b"another");
    assert!(matches!(restore(&folder.relay("c"), &file), Err(BackupError::Exists(_))));
    folder.write("d/state/other", b"another");
    assert!(matches!(restore(&folder.relay("d"), &file), Err(BackupError::Exists(_))));
    assert!(!folder.path("c/state").exists() && !folder.path("d/key").exists());
    let agent = BackupParts { kind: BackupKind::Agent, ..folder.relay("e") };
    assert!(matches!(restore(&agent, &file), Err(BackupError::OtherKind { .. })));
    assert!(matches!(backed_up(&folder.relay("f"), &folder.path("f.tar")), Err(BackupError::Nothing(_))));
    assert!(!folder.path("f.tar").exists());
}

#[test]
fn an_identity_in_the_state_folder_is_kept_once() {
    let folder = Folder::new("inside");
    folder.write("a/state/relay.key", b"secret");
    let inside = |name: &str| {
        let mut parts = folder.relay(name);
        parts.files[0].1 = folder.path(name).join("state/relay.key");
        parts
    };
    let file = folder.path("relay.tar");
    assert_eq!(backed_up(&inside("a"), &file).expect("a backup"), 1);
    assert_eq!(restore(&inside("b"), &file).expect("nothing is there"), 1);
    assert_eq!(fs::read(folder.path("b/state/relay.key")).expect("it is there"), b"secret");
}

#[test]
fn every_changed_byte_and_every_missing_end_is_noticed() {
    let folder = Folder::new("damaged");
    folder.write("a/key", b"secret");
    folder.write("a/state/names.json", b"{\"names\": []}");
    let file = folder.path("relay.tar");
    backed_up(&folder.relay("a"), &file).expect("a backup");
    let good = fs::read(&file).expect("it is there");
    let damaged = folder.path("damaged.tar");
    // A block of 512 bytes for each head and each content: the contents are what hashes are about.
    for at in (0..good.len()).step_by(37).filter(|at| good[*at] != 0 && at / 512 % 2 == 1) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&damaged, bytes).expect("a folder");
        assert!(restore(&folder.relay("b"), &damaged).is_err(), "byte {at}");
    }
    for length in (0..good.len() - 1024).step_by(512) {
        fs::write(&damaged, &good[..length]).expect("a folder");
        assert!(restore(&folder.relay("b"), &damaged).is_err(), "{length} bytes");
    }
    assert!(!folder.path("b").exists());
    fs::write(&damaged, "anything").expect("a folder");
    assert!(matches!(restore(&folder.relay("b"), &damaged), Err(BackupError::NotABackup(_))));
}

/// An archive of these names and contents, with the hashes of the contents, and this first file.
fn made(path: &Path, header: &str, files: &[(&str, EntryType)]) {
    let mut tar = Builder::new(fs::File::create(path).expect("a folder"));
    let mut append = |name: &str, kind: EntryType, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        // As no builder would write it.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, content).expect("room");
    };
    append(LABEL, EntryType::Regular, header.as_bytes());
    let mut manifest = String::new();
    for (name, kind) in files {
        append(name, *kind, b"x");
        let hash = archive::copy_hashed(&b"x"[..], std::io::sink()).expect("a sink");
        manifest.push_str(&format!("{hash}  {name}\n"));
    }
    append(MANIFEST, EntryType::Regular, manifest.as_bytes());
    tar.finish().expect("room");
}

#[test]
fn a_name_that_leads_elsewhere_is_no_name_of_a_backup() {
    const RELAY: &str = "hvym-tunnel backup 1 relay\n";
    let folder = Folder::new("names");
    let (file, regular) = (folder.path("made.tar"), EntryType::Regular);
    made(&file, RELAY, &[("state/fine", regular)]);
    assert_eq!(restore(&folder.relay("a"), &file).expect("it is fine"), 1);
    for name in [
        "state/../../escaped",
        "/escaped",
        "state//escaped/../../x",
        "state/",
        "state",
        "other/x",
        "../escaped",
        "state/./../../escaped",
    ] {
        made(&file, RELAY, &[(name, regular)]);
        assert!(restore(&folder.relay("b"), &file).is_err(), "{name}");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Directory, EntryType::Fifo] {
        made(&file, RELAY, &[("state/x", kind)]);
        assert!(restore(&folder.relay("b"), &file).is_err(), "{kind:?}");
    }
    made(&file, RELAY, &[("state/x", regular), ("state/x", regular)]);
    assert!(restore(&folder.relay("b"), &file).is_err(), "twice");
    made(&file, "hvym-tunnel backup 2 relay\n", &[("state/x", regular)]);
    assert!(matches!(restore(&folder.relay("b"), &file), Err(BackupError::Newer)));
    for header in ["", "hvym-tunnel backup 0 relay\n", "hvym-tunnel backup x relay\n", "something else\n"] {
        made(&file, header, &[("state/x", regular)]);
        assert!(matches!(restore(&folder.relay("b"), &file), Err(BackupError::NotABackup(_))), "{header}");
    }
    assert!(!folder.path("b").exists() && !folder.path("escaped").exists());
}
