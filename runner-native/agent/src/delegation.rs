//! A delegation by which an agent acts for another identity, read from a file.

use std::fs::File;
use std::path::{Path, PathBuf};

use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::{DelegationError, SignedDelegation};
use hvym_tunnel_net::files;
use hvym_tunnel_net::key;
use thiserror::Error;

/// Maximum size of a delegation's file in bytes: 2 KiB of text, quoted, and a signature.
const MAX_FILE_BYTES: usize = 8 * 1024;

/// Why an agent cannot act by a delegation.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DelegationFileError {
    /// The file cannot be read.
    #[error("cannot read the delegation in {}: {reason}", key::shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// What it holds is not a delegation, is not signed by its owner, or is for another key than the agent's identity.
    #[error(transparent)]
    Refused(#[from] DelegationError),
}

/// The delegation in this file.
///
/// # Errors
/// [`DelegationFileError`].
pub(crate) fn load(path: &Path) -> Result<SignedDelegation, DelegationFileError> {
    let unreadable = |error: std::io::Error| DelegationFileError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    let text = files::read_text_limited(file, MAX_FILE_BYTES).map_err(unreadable)?;
    Ok(SignedDelegation::from_json(text.trim().as_bytes())?)
}

/// Whether the key of `address` can act by this delegation. What else it allows, the relay says.
///
/// # Errors
/// [`DelegationFileError::Refused`].
pub(crate) fn check(signed: &SignedDelegation, address: Address) -> Result<(), DelegationFileError> {
    signed.clone().verify()?.check_key(address)?;
    Ok(())
}
