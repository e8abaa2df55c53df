//! The relays that an agent has found without being told their addresses: a file with a line for each, as SSH keeps known hosts.
//!
//! It knows no login. Who writes a relay down has had its key proved.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use hvym_tunnel_core::stellar::Address;
use thiserror::Error;

use crate::files;
use crate::key::shown;

/// The largest file, bytes. A line has about 80, and nobody dials thirteen thousand relays.
const MAX_BYTES: usize = 1024 * 1024;
/// The name of the file, beside that of an identity.
const FILE_NAME: &str = "known_relays";
const HEADER: &str =
    "# Relays by the host that was dialled, and their addresses. See `hvym-tunnel relays`.\n";

/// A relay that was found: the authority that was dialled, and who answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownRelay {
    /// Host, and port where that is not the usual one.
    pub host: String,
    /// Who proved to be there.
    pub address: Address,
}

/// The file of known relays. It need not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownRelays {
    path: PathBuf,
}

/// Why known relays cannot be read or written.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KnownRelaysError {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Others may write it, and so have an agent believe another relay.
    #[error("{path} is open to others (mode {mode:04o})")]
    TooOpen {
        /// Which file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// A line is no host and address.
    #[error("{path}: line {line} is not a host and an address")]
    Malformed {
        /// Which file.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {reason}")]
    Unwritable {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

impl KnownRelays {
    /// The file at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file beside that of an identity.
    pub fn beside(identity: &Path) -> Self {
        Self { path: identity.with_file_name(FILE_NAME) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every known relay, in the order in which they were found.
    ///
    /// # Errors
    /// The file cannot be read, others may write it, or a line is malformed.
    pub fn list(&self) -> Result<Vec<KnownRelay>, KnownRelaysError> {
        let path = || shown(&self.path);
        let unreadable =
            |error: io::Error| KnownRelaysError::Unreadable { path: path(), reason: error.to_string() };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        if let Some(mode) = files::mode_for_others(&file).map_err(unreadable)? {
            return Err(KnownRelaysError::TooOpen { path: path(), mode });
        }
        let text = files::read_text_limited(file, MAX_BYTES).map_err(unreadable)?;
        let mut relays = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = || KnownRelaysError::Malformed { path: path(), line: number + 1 };
            let mut words = line.split_ascii_whitespace();
            let (Some(host), Some(address), None) = (words.next(), words.next(), words.next()) else {
                return Err(malformed());
            };
            let address = address.parse().map_err(|_| malformed())?;
            relays.push(KnownRelay { host: host.to_owned(), address });
        }
        Ok(relays)
    }

    /// Who answered at `host` before.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub fn find(&self, host: &str) -> Result<Option<Address>, KnownRelaysError> {
        Ok(self.list()?.into_iter().find(|known| known.host == host).map(|known| known.address))
    }

    /// Writes down who answered at `host`, unless somebody is known there.
    ///
    /// # Errors
    /// As for [`Self::list`], or the file cannot be written.
    pub fn remember(&self, host: &str, address: Address) -> Result<(), KnownRelaysError> {
        let mut relays = self.list()?;
        if relays.iter().any(|known| known.host == host) {
            return Ok(());
        }
        relays.push(KnownRelay { host: host.to_owned(), address });
        self.write(&relays)
    }

    /// Forgets who answered at `host`. Returns whether somebody was known there.
    ///
    /// # Errors
    /// As for [`Self::remember`].
    pub fn forget(&self, host: &str) -> Result<bool, KnownRelaysError> {
        let mut relays = self.list()?;
        let before = relays.len();
        relays.retain(|known| known.host != host);
        if relays.len() == before {
            return Ok(false);
        }
        self.write(&relays).map(|()| true)
    }

    /// The file appears whole or not at all. Of two programs that write at once, what one found may be lost, and is found again.
    fn write(&self, relays: &[KnownRelay]) -> Result<(), KnownRelaysError> {
        let mut text = HEADER.to_owned();
        for KnownRelay { host, address } in relays {
            writeln!(text, "{host} {address}").expect("a string takes every write");
        }
        files::keep(&self.path, text.as_bytes()).map_err(|error| KnownRelaysError::Unwritable {
            path: shown(&self.path),
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hvym-tunnel-{name}-{}", std::process::id()));
            Folder(path)
        }

        fn relays(&self) -> KnownRelays {
            KnownRelays::beside(&self.0.join("identity.key"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    const ONE: Address = Address::from_public_key([1; 32]);
    const TWO: Address = Address::from_public_key([2; 32]);

    #[test]
    fn the_first_who_answers_at_a_host_is_kept_until_it_is_forgotten() {
        let folder = Folder::new("known");
        let relays = folder.relays();
        assert_eq!((relays.list(), relays.find("a.example")), (Ok(Vec::new()), Ok(None)));
        assert_eq!(relays.forget("a.example"), Ok(false));
        relays.remember("a.example", ONE).expect("written");
        relays.remember("a.example:8443", TWO).expect("written");
        relays.remember("a.example", TWO).expect("nothing to write");
        assert_eq!(relays.find("a.example"), Ok(Some(ONE)));
        assert_eq!(relays.find("a.example:8443"), Ok(Some(TWO)));
        assert_eq!(relays.list().map(|all| all.len()), Ok(2));
        assert_eq!((relays.forget("a.example"), relays.find("a.example")), (Ok(true), Ok(None)));
        relays.remember("a.example", TWO).expect("written");
        assert_eq!(relays.find("a.example"), Ok(Some(TWO)));
        assert_eq!(std::fs::read_dir(&folder.0).expect("a folder").count(), 1, "drafts were left behind");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_write_or_that_says_something_else_is_an_error() {
        use std::os::unix::fs::PermissionsExt;

        let folder = Folder::new("known-open");
        let relays = folder.relays();
        relays.remember("a.example", ONE).expect("written");
        let mode = std::fs::metadata(relays.path()).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(relays.path(), std::fs::Permissions::from_mode(0o620)).expect("ours");
        assert!(matches!(relays.find("a.example"), Err(KnownRelaysError::TooOpen { mode: 0o620, .. })));
        std::fs::set_permissions(relays.path(), std::fs::Permissions::from_mode(0o600)).expect("ours");
        for (text, line) in [("a.example", 1), ("\n# x\na.example G1\n", 3), ("a b c\n", 1)] {
            std::fs::write(relays.path(), text).expect("ours");
            assert!(
                matches!(relays.list(), Err(KnownRelaysError::Malformed { line: found, .. }) if found == line),
                "{text}"
            );
        }
        let longest = format!("{}{}\n", "#".repeat(MAX_BYTES - 1), "");
        std::fs::write(relays.path(), &longest).expect("ours");
        assert_eq!(relays.list(), Ok(Vec::new()));
        std::fs::write(relays.path(), format!("#{longest}")).expect("ours");
        assert!(matches!(relays.list(), Err(KnownRelaysError::Unreadable { .. })));
    }
}
