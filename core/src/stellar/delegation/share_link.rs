//! Share links: a URL whose fragment has a key, and a delegation that lets that key call one service for a while.
//!
//! Whoever has the link has the key. The fragment of a URL is not sent to any server (RFC 3986 section 3.5).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::SigningKey;
use thiserror::Error;

use super::{
    Delegation, DelegationError, MAX_TEXT_BYTES, Scopes, SignatureForm, SignedDelegation, VerifiedDelegation,
};
use crate::stellar::address::Address;
use crate::stellar::signature::Signature;
use crate::text::split_once;

/// What the fragment begins with.
const MARK: &str = "#share=";
/// Of the form, the seed and the signature, which stand before the text.
const HEAD_BYTES: usize = 1 + 32 + 64;
/// Maximum size of a link in bytes: the fragment, and a URL before it.
const MAX_LINK_BYTES: usize = 8 * 1024;

/// A share link that was read: its delegation is signed by its owner, and the key is the one that it names.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareLink {
    seed: [u8; 32],
    delegation: VerifiedDelegation,
    /// Whether the relay is reached by TLS.
    tls: bool,
}

/// Why a text is not a share link. It never repeats the text.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ShareLinkError {
    /// Not `http(s)://...#share=...`, or what follows is cut off.
    #[error("this is not a whole share link: it begins with https:// and has #share= in it")]
    Malformed,
    /// Its delegation is not one, or was not signed by its owner.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// Its delegation does not let its key call one service at one relay.
    #[error("the delegation in this link is not one to call one service at one relay")]
    NotOneService,
}

impl ShareLink {
    /// The link of `delegation`, to be called at `https://` or `http://` with the key of `seed`.
    ///
    /// # Errors
    /// What [`ShareLink::parse`] would refuse.
    pub fn new(seed: [u8; 32], delegation: SignedDelegation, tls: bool) -> Result<Self, ShareLinkError> {
        let delegation = delegation.verify()?;
        let Delegation { services, relay, may, .. } = delegation.delegation();
        let is_one = matches!(&services[..], [service] if !service.contains('/'));
        if !is_one || relay.is_none() || *may != Scopes::CALL {
            return Err(ShareLinkError::NotOneService);
        }
        let key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        delegation.check_key(Address::from_public_key(key))?;
        Ok(Self { seed, delegation, tls })
    }

    /// Reads a link. What stands between scheme and fragment is for browsers, and does not count.
    ///
    /// # Errors
    /// [`ShareLinkError`].
    pub fn parse(link: &str) -> Result<Self, ShareLinkError> {
        let malformed = || ShareLinkError::Malformed;
        let link = Some(link.trim()).filter(|link| link.len() <= MAX_LINK_BYTES).ok_or_else(malformed)?;
        let (url, share) = split_once(link, MARK).ok_or_else(malformed)?;
        let tls = match split_once(url, "://") {
            Some(("https", _)) => true,
            Some(("http", _)) => false,
            _ => return Err(malformed()),
        };
        let bytes = Base64UrlUnpadded::decode_vec(share).map_err(|_| malformed())?;
        let (head, text) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(malformed)?;
        let (form, head) = (form(head[0]).ok_or_else(malformed)?, &head[1..]);
        let (Some((seed, _)), Some((_, signature))) = (head.split_first_chunk(), head.split_last_chunk())
        else {
            return Err(malformed());
        };
        let text = core::str::from_utf8(text).map_err(|_| malformed())?;
        let delegation = text.parse::<Delegation>()?.signed(Signature(*signature), form);
        Self::new(*seed, delegation, tls)
    }

    /// The link, as a page of `host`. Whoever reads it has the key.
    pub fn url(&self, host: &str) -> String {
        let SignedDelegation { delegation, signature, form } = self.delegation.signed();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + MAX_TEXT_BYTES);
        bytes.push(match form {
            SignatureForm::Raw => 0,
            SignatureForm::Sep53 => 1,
        });
        bytes.extend_from_slice(&self.seed);
        bytes.extend_from_slice(&signature.0);
        bytes.extend_from_slice(alloc::format!("{delegation}").as_bytes());
        let scheme = if self.tls { "https" } else { "http" };
        alloc::format!("{scheme}://{host}/{MARK}{}", Base64UrlUnpadded::encode_string(&bytes))
    }

    /// The seed of the key, which is a secret.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// What the key may do.
    pub fn delegation(&self) -> &VerifiedDelegation {
        &self.delegation
    }

    /// The account whose service it is.
    pub fn owner(&self) -> Address {
        self.delegation.delegation().owner
    }

    /// The service.
    pub fn service(&self) -> &str {
        self.delegation.delegation().services.first().map_or("", String::as_str)
    }

    /// Where the relay is: host, and port unless it is the usual one.
    pub fn relay(&self) -> &str {
        self.delegation.delegation().relay.as_deref().unwrap_or_default()
    }

    /// Whether the relay is reached by TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }
}

fn form(byte: u8) -> Option<SignatureForm> {
    match byte {
        0 => Some(SignatureForm::Raw),
        1 => Some(SignatureForm::Sep53),
        _ => None,
    }
}

/// Without the key.
impl fmt::Debug for ShareLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareLink").field("delegation", self.delegation.delegation()).finish_non_exhaustive()
    }
}
