//! The short label of an address: 80 bits of a hash of its key, short enough to share a DNS label with a service.

use core::fmt;

use sha2::{Digest, Sha256};

use crate::stellar::{Address, strkey};

/// Hashed ahead of the key, so that no other protocol's hash of a key is a label.
const CONTEXT: &[u8] = b"hvym-tunnel name v1";

/// The first 16 characters of the lower-case base32 (RFC 4648 section 6) of a SHA-256. To find a second key for one takes
/// 2^80 tries.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortLabel([u8; Self::CHARACTERS]);

impl ShortLabel {
    /// Characters of a short label: two groups of base32, 80 bits.
    pub const CHARACTERS: usize = 16;

    /// The label of this address.
    pub fn new(address: &Address) -> Self {
        let hash = Sha256::new().chain_update(CONTEXT).chain_update(address.public_key()).finalize();
        let mut text = [0; Self::CHARACTERS];
        for (bytes, characters) in hash.as_slice().chunks_exact(5).zip(text.chunks_exact_mut(8)) {
            strkey::encode_group(bytes, characters);
        }
        text.make_ascii_lowercase();
        Self(text)
    }

    /// The label that is this text, in lower case; `None` if none is.
    pub fn parse(text: &str) -> Option<Self> {
        let text: [u8; Self::CHARACTERS] = text.as_bytes().try_into().ok()?;
        text.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ShortLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ShortLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
