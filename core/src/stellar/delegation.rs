//! Delegations: the key of an owner lets another key act for it, with limits, until a time.
//!
//! A delegation is a text that its owner signs, either its bytes or, as wallets do, as a message (SEP-53). It has one
//! canonical form, so the text that was signed and what was read from it cannot differ. Only [`SignedDelegation::verify`]
//! makes a [`VerifiedDelegation`]. This module knows neither clocks nor what was revoked.
//!
//! ```
//! use ed25519_dalek::{Signer, SigningKey};
//! use hvym_tunnel_core::stellar::delegation::{Delegation, DelegationId, Scopes, SignatureForm};
//! use hvym_tunnel_core::stellar::{Address, Scope, Signature};
//! use hvym_tunnel_core::time::UnixTime;
//!
//! # fn main() -> Result<(), hvym_tunnel_core::stellar::delegation::DelegationError> {
//! let key = SigningKey::from_bytes(&[7; 32]);
//! let owner = Address::from_public_key(key.verifying_key().to_bytes());
//! # let device = Address::from_public_key(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
//! let delegation = Delegation {
//!     owner,
//!     key: device,
//!     may: Scopes::AGENT,
//!     services: vec!["web".to_owned()],
//!     relay: None,
//!     from: UnixTime::from_secs(1_767_225_600),
//!     until: UnixTime::from_secs(1_769_904_000),
//!     id: DelegationId([1; 16]),
//! };
//! delegation.check()?;
//! let signature = Signature(key.sign(delegation.to_string().as_bytes()).to_bytes());
//! let verified = delegation.signed(signature, SignatureForm::Raw).verify()?;
//! assert!(verified.check_scope(Scope::Agent).is_ok());
//! assert!(verified.check_service("db").is_err());
//! # Ok(())
//! # }
//! ```

mod error;
mod share_link;
mod signed;
mod text;
mod timestamp;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};

use super::address::Address;
use super::scope::Scope;
use super::signature::Signature;
use crate::time::UnixTime;
pub use error::DelegationError;
pub use share_link::{ShareLink, ShareLinkError};
pub use signed::{SEP53_PREFIX, SignatureForm, SignedDelegation, VerifiedDelegation};
pub use timestamp::Timestamp;

/// Maximum size of the text in bytes. A usual one has 350. It travels in a token, which may have 8 KiB in base64, and in the
/// header of a stream, which may have 4 KiB.
pub const MAX_TEXT_BYTES: usize = 2 * 1024;
/// Maximum time from `from` to `until`: a year, also one with a leap day. What is lost is good for no longer, and a relay
/// remembers for no longer what was revoked.
pub const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 3600);

/// What an owner lets a key do, before it is signed. `Display` is the text to sign, `FromStr` reads it back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delegation {
    /// The account that lets another one act for it.
    pub owner: Address,
    /// The account whose key may act.
    pub key: Address,
    /// The logins that it may make.
    pub may: Scopes,
    /// The services of the owner that it may serve or call, and as `G.../service` those of others that it may call in the
    /// owner's name, in the order of the text; if empty, all.
    pub services: Vec<String>,
    /// The relay where it is good, as it is dialled: host, and port unless it is the usual one. `None`: any.
    pub relay: Option<String>,
    /// When its time begins.
    pub from: UnixTime,
    /// When its time is over. At this second it is not valid any more.
    pub until: UnixTime,
    /// By what it is revoked.
    pub id: DelegationId,
}

impl Delegation {
    /// Whether the limits make sense, and the text is the one of these limits.
    ///
    /// # Errors
    /// [`DelegationError::Malformed`].
    pub fn check(&self) -> Result<(), DelegationError> {
        text::check(self)
    }

    /// With the signature of the owner, which is not checked yet.
    pub fn signed(self, signature: Signature, form: SignatureForm) -> SignedDelegation {
        SignedDelegation { delegation: self, signature, form }
    }
}

impl fmt::Display for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}

impl FromStr for Delegation {
    type Err = DelegationError;

    /// Reads the canonical text, and no other.
    fn from_str(text: &str) -> Result<Self, DelegationError> {
        text::parse(text)
    }
}

/// The kinds of login that a delegation allows; at least one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Scopes {
    /// [`Scope::Agent`].
    pub agent: bool,
    /// [`Scope::Call`].
    pub call: bool,
}

impl Scopes {
    /// [`Scope::Agent`] alone.
    pub const AGENT: Self = Self { agent: true, call: false };
    /// [`Scope::Call`] alone.
    pub const CALL: Self = Self { agent: false, call: true };
    /// Both.
    pub const ALL: Self = Self { agent: true, call: true };

    /// Whether `scope` is among them; [`Scope::Api`] never is.
    pub const fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Agent => self.agent,
            Scope::Call => self.call,
            // Of what an owner may, only logins can be delegated.
            Scope::Api => false,
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.agent, self.call) {
            (true, true) => "agent,call",
            (true, false) => "agent",
            (false, true) => "call",
            (false, false) => "",
        })
    }
}

impl FromStr for Scopes {
    type Err = DelegationError;

    fn from_str(text: &str) -> Result<Self, DelegationError> {
        [Self::ALL, Self::AGENT, Self::CALL]
            .into_iter()
            .find(|scopes| scopes.to_string() == text)
            .ok_or(DelegationError::Malformed("may is agent, call, or agent,call"))
    }
}

/// The name by which a delegation is revoked: 16 random bytes.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelegationId(pub [u8; 16]);

impl fmt::Display for DelegationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for DelegationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DelegationId {
    type Err = DelegationError;

    /// Reads 22 characters of base64url, whose last four bits are zero.
    fn from_str(text: &str) -> Result<Self, DelegationError> {
        let mut id = [0; 16];
        match Base64UrlUnpadded::decode(text, &mut id) {
            Ok(bytes) if bytes.len() == 16 => Ok(DelegationId(id)),
            _ => Err(DelegationError::Malformed("an id is 16 bytes in base64url without padding")),
        }
    }
}
