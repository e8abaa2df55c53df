//! DNS labels as names, and the stricter rule for those that share a label with the name of an owner.

use thiserror::Error;

use crate::stellar::Address;
use crate::text::split_once;

/// Characters of a DNS label (RFC 1035 section 2.3.4).
const MAX_LABEL_CHARACTERS: usize = 63;
/// Characters of a service name: `<service>--<short>` has 58, and a name of 21 characters still fits beside it.
pub const MAX_SERVICE_CHARACTERS: usize = 40;
/// The service at an owner's bare name, wherever it is bound.
pub const BARE_SERVICE: &str = "web";
/// Before `--` it marks a label in Punycode (RFC 5890 section 2.3.1), which browsers decode, or refuse.
const PUNYCODE: &str = "xn";

/// Why a text cannot name an agent that has no identity.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum LabelError {
    /// Not 1 to 63 of `a-z`, `0-9` and `-`, or a `-` at an end.
    #[error("a name is 1 to 63 of a-z, 0-9 and '-', with no '-' at either end")]
    NotALabel,
    /// It would shadow the name of an identity.
    #[error("a Stellar address belongs to whoever has its key, and cannot be a name")]
    LooksLikeAnAddress,
}

/// Whether `name` is one lower-case DNS label (RFC 1035 section 2.3.1, digits first allowed) and no address.
///
/// # Errors
/// What is wrong with it.
pub fn check_label(name: &str) -> Result<(), LabelError> {
    if !is_label(name) {
        return Err(LabelError::NotALabel);
    }
    if Address::from_label(name).is_ok() {
        return Err(LabelError::LooksLikeAnAddress);
    }
    Ok(())
}

/// Whether `name` can be a service's, in front of `--` and the name of its owner.
pub fn check_service(name: &str) -> bool {
    let is_short = name.len() <= MAX_SERVICE_CHARACTERS;
    is_label(name) && is_short && split_once(name, "--").is_none() && name != PUNYCODE
}

pub(super) fn is_label(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = name.starts_with('-') || name.ends_with('-');
    matches!(name.len(), 1..=MAX_LABEL_CHARACTERS) && !edge && name.bytes().all(legal)
}
