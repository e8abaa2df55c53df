//! Secrets that a relay's operator shares with agents of other systems: tokens and keys, read from files that others
//! cannot read.
//!
//! No `Debug` and no message shows one. A token is kept as its hash, which is all that a comparison needs.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::files;
use crate::passphrase::PassphraseSource;
use crate::sealed::{self, SealedError, SealedFile};

/// Maximum size of a file with one secret, in bytes. RSA keys are the longest, with about 3 KiB.
const MAX_BYTES: usize = 16 * 1024;

/// Secret bytes; wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why a file's secret cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// Others could have copied it.
    #[error("{path} can be read by others (mode {mode:04o}), so it may not hold a secret: chmod 600 {path}")]
    TooOpen {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is empty.
    #[error("{path} is empty")]
    Empty {
        /// The file.
        path: String,
    },
    /// It is sealed, and stays so.
    #[error("cannot unlock {path}: {error}")]
    Sealed {
        /// The file.
        path: String,
        /// Why.
        error: SealedError,
    },
}

impl Secret {
    /// The content of a file of at most 16 KiB, without the white space around it.
    ///
    /// # Errors
    /// [`SecretError`] says what is wrong with the file, never what was in it.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        Self::read(path, MAX_BYTES)
    }

    fn read(path: &Path, max_bytes: usize) -> Result<Self, SecretError> {
        let shown = || path.display().to_string();
        let unreadable =
            |error: io::Error| SecretError::Unreadable { path: shown(), reason: error.to_string() };
        let file = File::open(path).map_err(unreadable)?;
        if let Some(mode) = files::mode_for_others(&file).map_err(unreadable)? {
            return Err(SecretError::TooOpen { path: shown(), mode });
        }
        let bytes = files::read_limited(file, max_bytes).map_err(unreadable)?;
        match bytes.trim_ascii() {
            [] => Err(SecretError::Empty { path: shown() }),
            secret => Ok(Self(Zeroizing::new(secret.to_vec()))),
        }
    }

    /// As [`Secret::from_file`]; a sealed file is opened with a passphrase of `source`.
    ///
    /// # Errors
    /// As for [`Secret::from_file`], and [`SecretError::Sealed`].
    pub fn from_sealed_file(path: &Path, source: &PassphraseSource) -> Result<Self, SecretError> {
        let content = Self::read(path, sealed::MAX_FILE_BYTES)?;
        if !sealed::is_sealed(content.bytes()) {
            return Self::from_file(path);
        }
        let shown = path.display().to_string();
        // Of a file that is damaged: where its last line ends is a part of it.
        let whole = [content.bytes(), b"\n"].concat();
        let opened = SealedFile::parse(&whole).and_then(|file| file.open_with(source, &shown));
        match opened {
            Ok(secret) => Ok(Self(secret)),
            Err(error) => Err(SecretError::Sealed { path: shown, error }),
        }
    }

    /// The secret itself.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The hash of a token, to compare tokens with.
#[derive(Clone)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of this token.
    pub fn new(token: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(hash)
    }

    /// Whether both are of the same token; takes the same time if not.
    pub fn matches(&self, other: &Fingerprint) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl Eq for Fingerprint {}

/// A short token could be guessed from its hash.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let shown = format!("{:?} {:?}", Secret::from("hush"), Fingerprint::new(b"hush"));
        assert_eq!(shown, "Secret(..) Fingerprint(..)");
    }

    #[test]
    fn a_token_is_recognised_by_its_hash_alone() {
        assert_eq!(Fingerprint::new(b"one"), Fingerprint::new(b"one"));
        assert_ne!(Fingerprint::new(b"one"), Fingerprint::new(b"on"));
    }
}
