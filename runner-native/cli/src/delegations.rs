//! The delegations that were made here, kept in a file beside the identity, so that they can be listed and revoked.
//!
//! The file has no secret in it; it says to whom its owner gave what, so it is for its owner alone. Knows no network.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hvym_tunnel_core::stellar::delegation::{Delegation, DelegationId, SignedDelegation};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::files;
use hvym_tunnel_net::key;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Delegations that are kept at once. A person makes a few; a script that makes one for each job has them expire.
const MAX_KEPT: usize = 1000;
/// Maximum size of the file in bytes: each delegation has 2 KiB of text at most, and is quoted.
const MAX_FILE_BYTES: usize = MAX_KEPT * 4 * 1024;
/// What the file's name ends with, in place of `key`.
const EXTENSION: &str = "delegations";

/// Why the list cannot be read or written.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum DelegationListError {
    /// The system refused.
    #[error("cannot use the list of delegations {path}: {reason}")]
    Inaccessible {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// A line is not one of ours.
    #[error("line {line} of {path} is not a delegation that was made here")]
    Malformed {
        /// The file.
        path: String,
        /// Which, from 1 on.
        line: usize,
    },
    /// [`MAX_KEPT`] are in use.
    #[error("{path} has {MAX_KEPT} delegations that are not over, and takes no more")]
    Full {
        /// The file.
        path: String,
    },
}

/// A delegation, and where it was revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeptDelegation {
    pub(crate) signed: SignedDelegation,
    /// The relays that were told, by host.
    pub(crate) revoked_at: Vec<String>,
}

impl KeptDelegation {
    /// What is delegated.
    pub(crate) fn delegation(&self) -> &Delegation {
        &self.signed.delegation
    }
}

/// A line of the file.
#[derive(Deserialize, Serialize)]
struct ListLine {
    delegation: serde_json::Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked_at: Vec<String>,
}

/// The list in one file.
#[derive(Debug)]
pub(crate) struct DelegationList {
    path: PathBuf,
    kept: Vec<KeptDelegation>,
}

impl DelegationList {
    /// Reads the list beside the identity in `identity`; an absent file is an empty list.
    ///
    /// # Errors
    /// [`DelegationListError::Inaccessible`] and [`DelegationListError::Malformed`].
    pub(crate) fn beside(identity: &Path) -> Result<Self, DelegationListError> {
        let path = identity.with_extension(EXTENSION);
        let inaccessible = |error: io::Error| inaccessible(&path, &error);
        let text = match File::open(&path) {
            Ok(file) => files::read_text_limited(file, MAX_FILE_BYTES).map_err(inaccessible)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, kept: Vec::new() });
            }
            Err(error) => return Err(inaccessible(error)),
        };
        let mut kept = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let malformed = || DelegationListError::Malformed { path: key::shown(&path), line: index + 1 };
            let ListLine { delegation, revoked_at } = serde_json::from_str(line).map_err(|_| malformed())?;
            let signed =
                SignedDelegation::from_json(delegation.to_string().as_bytes()).map_err(|_| malformed())?;
            kept.push(KeptDelegation { signed, revoked_at });
        }
        Ok(Self { path, kept })
    }

    /// Those that are not over, in the order in which they were made.
    pub(crate) fn current(&self, now: UnixTime) -> impl Iterator<Item = &KeptDelegation> {
        self.kept.iter().filter(move |kept| now < kept.delegation().until)
    }

    /// Adds a delegation, and forgets those that are over.
    ///
    /// # Errors
    /// [`DelegationListError::Full`] and [`DelegationListError::Inaccessible`]; nothing has changed then.
    pub(crate) fn add(mut self, signed: SignedDelegation, now: UnixTime) -> Result<(), DelegationListError> {
        self.kept.retain(|kept| now < kept.delegation().until);
        if self.kept.len() >= MAX_KEPT {
            return Err(DelegationListError::Full { path: key::shown(&self.path) });
        }
        self.kept.push(KeptDelegation { signed, revoked_at: Vec::new() });
        self.write()
    }

    /// The delegation of this id, if it was made here and is not forgotten.
    pub(crate) fn find(&self, id: DelegationId) -> Option<&KeptDelegation> {
        self.kept.iter().find(|kept| kept.delegation().id == id)
    }

    /// Remembers that `relay` was told to take a delegation for revoked.
    ///
    /// # Errors
    /// [`DelegationListError::Inaccessible`].
    pub(crate) fn mark_revoked(mut self, id: DelegationId, relay: &str) -> Result<(), DelegationListError> {
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.delegation().id == id) else { return Ok(()) };
        if !kept.revoked_at.iter().any(|known| known == relay) {
            kept.revoked_at.push(relay.to_owned());
        }
        self.write()
    }

    fn write(&self) -> Result<(), DelegationListError> {
        let mut text = Vec::new();
        for KeptDelegation { signed, revoked_at } in &self.kept {
            let delegation = serde_json::from_str(&signed.to_json()).expect("a claim is JSON");
            let line = ListLine { delegation, revoked_at: revoked_at.clone() };
            serde_json::to_writer(&mut text, &line).expect("a vector takes every write");
            writeln!(text).expect("a vector takes every write");
        }
        files::keep(&self.path, &text).map_err(|error| inaccessible(&self.path, &error))
    }
}

fn inaccessible(path: &Path, error: &io::Error) -> DelegationListError {
    DelegationListError::Inaccessible { path: key::shown(path), reason: error.to_string() }
}
