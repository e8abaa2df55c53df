//! The folder that outlives a restart: the key of the account, the certificates with their keys, and what was ordered lately.
//!
//! A file that cannot be used is set aside and told.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::files;
use hvym_tunnel_net::state_dir::{StateDir, is_damaged};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::account::AccountKey;
use crate::certificate::{IssuedCertificate, new_key};
use crate::schedule::Record;

/// The longest file that is read: a chain has some 8 KiB, and the records of a thousand certificates have less than this.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// The longest name of the folder of one authority.
const MAX_FOLDER_CHARACTERS: usize = 120;

const ACCOUNT: &str = "account.pem";
const RECORDS: &str = "schedule.json";
const CERTIFICATES: &str = "certificates";

/// A file or folder that cannot be read or written.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{path}: {message}")]
pub struct StoreError {
    /// Which.
    pub path: String,
    /// The system's message.
    pub message: String,
}

impl StoreError {
    fn new(path: &Path, error: &io::Error) -> Self {
        Self { path: path.display().to_string(), message: words(error) }
    }
}

/// A file that could not be used, and was renamed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{file} cannot be used: {reason}; it was renamed to {kept}")]
pub struct DamagedFile {
    /// Its name before.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
    /// Its name now.
    pub kept: String,
}

/// The folder of one certificate authority.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: StateDir,
}

impl Store {
    /// The folder of the authority with this directory, below `state`. Another one has other accounts and certificates.
    pub(crate) fn open(state: &Path, directory: &str) -> Result<Self, StoreError> {
        let name = directory.split_once("://").map_or(directory, |(_, rest)| rest);
        let letter = |letter: char| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => letter,
            _ => '_',
        };
        let name: String = name.chars().take(MAX_FOLDER_CHARACTERS).map(letter).collect();
        let folder = state.join("acme").join(format!("at-{name}"));
        let inside = folder.join(CERTIFICATES).join("x");
        files::create_folder_of(&inside).map_err(|error| StoreError::new(&folder, &error))?;
        Ok(Self { folder: StateDir::new(folder) })
    }

    /// The key of the account, which is made if there is none.
    pub(crate) fn account(&self, damaged: &mut Vec<DamagedFile>) -> Result<AccountKey, StoreError> {
        if let Some(text) = self.read(ACCOUNT)? {
            match AccountKey::from_pem(&text) {
                Some(key) => return Ok(key),
                None => damaged.push(self.set_aside(ACCOUNT, "it has no private key of an account")?),
            }
        }
        let unusable = |error: String| StoreError::new(&self.folder.path(ACCOUNT), &io::Error::other(error));
        let text = new_key().map_err(unusable)?;
        self.write(ACCOUNT, text.as_bytes())?;
        AccountKey::from_pem(&text)
            .ok_or_else(|| unusable("the new key cannot be read: this is a bug".to_owned()))
    }

    /// The first names of the certificates that are kept.
    pub(crate) fn certificates(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.folder.path(CERTIFICATES);
        let entries = fs::read_dir(&folder).map_err(|error| StoreError::new(&folder, &error))?;
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // Drafts begin with a dot.
            name.strip_suffix(".pem").filter(|name| !name.starts_with('.')).map(str::to_owned)
        });
        Ok(names.collect())
    }

    /// The certificate for `names`, whose first one it is called by, if it is there and can be used.
    pub(crate) fn certificate(
        &self,
        names: &[String],
        damaged: &mut Vec<DamagedFile>,
    ) -> Result<Option<IssuedCertificate>, StoreError> {
        let file = file_of(names.first().map_or("", String::as_str));
        let Some(text) = self.read(&file)? else { return Ok(None) };
        match IssuedCertificate::from_pem(&text, names) {
            Ok(certificate) => Ok(Some(certificate)),
            Err(reason) => {
                damaged.push(self.set_aside(&file, &reason)?);
                Ok(None)
            }
        }
    }

    /// Keeps a certificate with its key.
    pub(crate) fn keep(&self, name: &str, pem: &str) -> Result<(), StoreError> {
        self.write(&file_of(name), pem.as_bytes())
    }

    /// Removes a certificate that has ended.
    pub(crate) fn remove(&self, name: &str) {
        // One that is still there is removed the next time.
        let _gone = self.folder.remove(file_of(name));
    }

    pub(crate) fn records(
        &self,
        damaged: &mut Vec<DamagedFile>,
    ) -> Result<BTreeMap<String, Record>, StoreError> {
        let Some(text) = self.read(RECORDS)? else { return Ok(BTreeMap::new()) };
        match serde_json::from_str(&text) {
            Ok(records) => Ok(records),
            Err(_) => {
                damaged.push(self.set_aside(RECORDS, "it is no list of orders")?);
                Ok(BTreeMap::new())
            }
        }
    }

    pub(crate) fn keep_records(&self, records: &BTreeMap<String, Record>) -> Result<(), StoreError> {
        let text = serde_json::to_vec(records).unwrap_or_default();
        self.write(RECORDS, &text)
    }

    /// A text; one that is none is damaged, which whoever reads it says.
    fn read(&self, file: &str) -> Result<Option<Zeroizing<String>>, StoreError> {
        match self.folder.read_text(file, MAX_FILE_BYTES) {
            Err(error) if is_damaged(&error) => Ok(Some(Zeroizing::default())),
            read => read.map_err(|error| StoreError::new(&self.folder.path(file), &error)),
        }
    }

    fn write(&self, file: &str, content: &[u8]) -> Result<(), StoreError> {
        self.folder.write(file, content).map_err(|error| StoreError::new(&self.folder.path(file), &error))
    }

    fn set_aside(&self, file: &str, reason: &str) -> Result<DamagedFile, StoreError> {
        let path = self.folder.path(file);
        let kept = self.folder.set_aside(file).map_err(|error| StoreError::new(&path, &error))?;
        let text = |path: &Path| path.display().to_string();
        Ok(DamagedFile { file: text(&path), reason: reason.to_owned(), kept: text(&kept) })
    }
}

/// The file of a certificate, below the folder.
fn file_of(name: &str) -> String {
    format!("{CERTIFICATES}/{name}.pem")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hvym-tunnel-acme-{name}-{}", std::process::id()));
            let _before = fs::remove_dir_all(&path);
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn pem(name: &str) -> String {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        format!("{}{}", made.key_pair.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart_for_its_owner_alone() {
        let folder = Folder::new("kept");
        let (mut damaged, names) = (Vec::new(), ["a.test".to_owned()]);
        let store = Store::open(&folder.0, "https://ca.example:14000/dir").expect("a folder");
        let key = store.account(&mut damaged).expect("a key").key_authorization("t");
        store.keep("a.test", &pem("a.test")).expect("a file");
        let records = BTreeMap::from([("a.test".to_owned(), Record { failures: 2, ..Record::default() })]);
        store.keep_records(&records).expect("a file");

        let store = Store::open(&folder.0, "https://ca.example:14000/dir").expect("a folder");
        assert_eq!(store.account(&mut damaged).expect("a key").key_authorization("t"), key);
        assert_eq!(store.certificates(), Ok(names.to_vec()));
        assert!(store.certificate(&names, &mut damaged).expect("a file").is_some());
        assert_eq!(store.records(&mut damaged), Ok(records));
        assert_eq!(damaged, []);
        #[cfg(unix)]
        for path in
            [file_of("a.test"), ACCOUNT.to_owned(), RECORDS.to_owned()].map(|file| store.folder.path(file))
        {
            let file = fs::File::open(&path).expect("a file");
            assert_eq!(files::mode_for_others(&file).expect("its mode"), None, "{}", path.display());
        }
        let other = Store::open(&folder.0, "https://ca.example:14000/staging").expect("a folder");
        assert_eq!(other.certificates(), Ok(vec![]));
        assert_ne!(other.account(&mut damaged).expect("a key").key_authorization("t"), key);
    }

    #[test]
    fn a_file_that_is_torn_is_set_aside_and_told() {
        let folder = Folder::new("torn");
        let (mut damaged, names) = (Vec::new(), ["a.test".to_owned()]);
        let store = Store::open(&folder.0, "https://ca.example/dir").expect("a folder");
        let torn = pem("a.test");
        for content in [&torn.as_bytes()[..torn.len() / 2], b"", b"\xff\xfe", &vec![b'x'; MAX_FILE_BYTES + 1]]
        {
            for path in [file_of("a.test"), ACCOUNT.to_owned(), RECORDS.to_owned()]
                .map(|file| store.folder.path(file))
            {
                fs::write(path, content).expect("a file");
            }
            let before = damaged.len();
            assert!(store.certificate(&names, &mut damaged).expect("a folder").is_none());
            assert!(store.records(&mut damaged).expect("a folder").is_empty());
            // Half of the text has a whole key, which is as good for an account.
            assert!(store.account(&mut damaged).is_ok());
            assert!(damaged.len() >= before + 2, "{damaged:?}");
            for file in &damaged[before..] {
                assert!(!Path::new(&file.file).exists() || file.file.ends_with(ACCOUNT));
                assert!(Path::new(&file.kept).exists());
                assert!(!file.to_string().contains("BEGIN"), "{file}");
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = Store::open(Path::new("/dev/null"), "https://ca.example/dir").expect_err("no folder");
        assert!(error.to_string().starts_with("/dev/null/acme/at-ca.example_dir: "), "{error}");
    }
}
