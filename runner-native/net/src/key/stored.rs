//! A file of an identity as it lies there, open or sealed: whose secret it is, without the secret.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use hvym_tunnel_core::stellar::Address;
use zeroize::Zeroizing;

use super::{Identity, KeyError, MAX_FILE_BYTES, open, put, shown};
use crate::files;
use crate::passphrase::PassphraseSource;
use crate::sealed::{SealedError, SealedFile, is_sealed};

/// The content of the file.
pub struct StoredIdentity {
    /// Whose secret it is; of a sealed file, whose it says that it is.
    pub address: Address,
    /// Whether a passphrase is needed.
    pub is_sealed: bool,
    content: Zeroizing<Vec<u8>>,
}

impl StoredIdentity {
    /// What lies at `path`, whatever the file's permissions.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn at(path: &Path) -> Result<Self, KeyError> {
        Self::read(path, open(path)?)
    }

    pub(super) fn read(path: &Path, file: File) -> Result<Self, KeyError> {
        let content = files::read_limited(file, MAX_FILE_BYTES).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => KeyError::NotSecret { place: shown(path) },
            _ => KeyError::Unreadable { path: shown(path), reason: error.to_string() },
        })?;
        if !is_sealed(&content) {
            let address = Identity::decode(&content, &shown(path))?.address();
            return Ok(Self { address, is_sealed: false, content });
        }
        let damaged = |error| KeyError::Sealed { path: shown(path), error };
        let claimed = SealedFile::parse(&content).map_err(damaged)?.address();
        let address = claimed.and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| KeyError::NotSecret { place: shown(path) })?;
        Ok(Self { address, is_sealed: true, content })
    }

    /// The key pair.
    pub(super) fn open(&self, path: &Path, passphrase: &PassphraseSource) -> Result<Identity, KeyError> {
        if !self.is_sealed {
            return Identity::decode(&self.content, &shown(path));
        }
        let failed = |error: SealedError| KeyError::Sealed { path: shown(path), error };
        let sealed = SealedFile::parse(&self.content).map_err(failed)?;
        let secret = sealed.open_with(passphrase, &shown(path)).map_err(failed)?;
        let identity = Identity::decode(&secret, &shown(path))?;
        if identity.address() != self.address {
            return Err(KeyError::OtherAddress { path: shown(path), claimed: self.address.to_string() });
        }
        Ok(identity)
    }

    /// Writes it, as it is, to `path`, over whatever was there.
    ///
    /// # Errors
    /// [`KeyError::Unwritable`]
    pub fn copy_to(&self, path: &Path) -> Result<(), KeyError> {
        put(path, &self.content, true)
    }

    /// Keeps it, which is about to be replaced at `path`, in a file beside it that only its owner may read: under its address.
    /// Where that file is.
    ///
    /// # Errors
    /// As for [`Self::copy_to`].
    pub fn back_up(&self, path: &Path) -> Result<PathBuf, KeyError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.bak", self.address));
        let backup = path.with_file_name(name);
        self.copy_to(&backup)?;
        Ok(backup)
    }
}
