//! The text of a delegation: ten lines at most, in one order, of which `services` and `relay` may be missing. Lines end with
//! a line feed, but for the last one.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::timestamp::{self, LAST, Timestamp};
use super::{Delegation, DelegationError, MAX_LIFETIME, MAX_TEXT_BYTES};
use crate::stellar::address::Address;
use crate::time::UnixTime;

/// The first line: what the text is, and which version of it.
const TITLE: &str = "hvym-tunnel delegation v2";
/// Maximum length of a service's name: a DNS label (RFC 1035 section 2.3.4).
const MAX_SERVICE_BYTES: usize = 63;
/// Maximum length of the relay's authority: a DNS name of 253 characters, a colon and a port.
const MAX_RELAY_BYTES: usize = 259;

pub(super) fn write(delegation: &Delegation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Delegation { owner, key, may, services, relay, from, until, id } = delegation;
    write!(f, "{TITLE}\nowner: {owner}\nkey: {key}\nmay: {may}")?;
    for (at, service) in services.iter().enumerate() {
        write!(f, "{}{service}", if at == 0 { "\nservices: " } else { "," })?;
    }
    if let Some(relay) = relay {
        write!(f, "\nrelay: {relay}")?;
    }
    write!(f, "\nfrom: {}\nuntil: {}\nid: {id}", Timestamp(*from), Timestamp(*until))
}

pub(super) fn parse(text: &str) -> Result<Delegation, DelegationError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(TOO_LONG);
    }
    let mut lines = Lines { rest: Some(text) };
    if lines.next() != Some(TITLE) {
        return Err(DelegationError::Malformed("the first line is not that of a delegation of version 2"));
    }
    let delegation = Delegation {
        owner: address(lines.required("owner: ")?)?,
        key: address(lines.required("key: ")?)?,
        may: lines.required("may: ")?.parse()?,
        services: lines.optional("services: ").map_or_else(Vec::new, services),
        relay: lines.optional("relay: ").map(String::from),
        from: time(lines.required("from: ")?)?,
        until: time(lines.required("until: ")?)?,
        id: lines.required("id: ")?.parse()?,
    };
    if lines.rest.is_some() {
        return Err(DelegationError::Malformed("there is something after the id"));
    }
    check(&delegation)?;
    // An address in another case, a date that does not exist: one text for each delegation, which is the one that was signed.
    if delegation.to_string() != text {
        return Err(DelegationError::Malformed("it is not written in the canonical form"));
    }
    Ok(delegation)
}

const TOO_LONG: DelegationError = DelegationError::Malformed("it has more than 2 KiB");

pub(super) fn check(delegation: &Delegation) -> Result<(), DelegationError> {
    let Delegation { owner, key, may, services, relay, from, until, .. } = delegation;
    let is_repeated = services.iter().enumerate().any(|(index, service)| services[..index].contains(service));
    let fault = if owner == key {
        "owner and key are the same"
    } else if !may.agent && !may.call {
        "it allows nothing"
    } else if !services.iter().all(|service| is_service(service)) {
        "a service is not a name of 1 to 63 of a-z, 0-9 and '-', or one after an address and '/'"
    } else if is_repeated {
        "a service is named twice"
    } else if relay.as_ref().is_some_and(|relay| !is_authority(relay)) {
        "the relay is not a host name in lower case, or one with a port"
    } else if until <= from {
        "it ends before it begins"
    } else if until.as_secs() - from.as_secs() > MAX_LIFETIME.as_secs() {
        "it is valid for more than a year"
    } else if *until > LAST {
        "its end has no year of four digits"
    } else if delegation.to_string().len() > MAX_TEXT_BYTES {
        return Err(TOO_LONG);
    } else {
        return Ok(());
    };
    Err(DelegationError::Malformed(fault))
}

/// A service of the owner, or `G.../service` of somebody else.
fn is_service(text: &str) -> bool {
    let (whose, name) = text.split_once('/').map_or((None, text), |(whose, name)| (Some(whose), name));
    let is_canonical = |text: &str| text.parse::<Address>().is_ok_and(|address| address.to_string() == text);
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    whose.is_none_or(is_canonical) && matches!(name.len(), 1..=MAX_SERVICE_BYTES) && name.bytes().all(legal)
}

/// Whether `text` has the characters of an authority (RFC 3986 section 3.2) without user, in lower case.
fn is_authority(text: &str) -> bool {
    let legal = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']')
    };
    matches!(text.len(), 1..=MAX_RELAY_BYTES) && text.bytes().all(legal)
}

fn services(names: &str) -> Vec<String> {
    names.split(',').map(String::from).collect()
}

fn address(text: &str) -> Result<Address, DelegationError> {
    text.parse().map_err(|_| DelegationError::Malformed("owner and key are Stellar addresses (G...)"))
}

fn time(text: &str) -> Result<UnixTime, DelegationError> {
    timestamp::parse(text)
        .ok_or(DelegationError::Malformed("from and until are times like 2026-01-01T00:00:00Z"))
}

/// The lines that are left.
struct Lines<'a> {
    rest: Option<&'a str>,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let (line, rest) = match rest.split_once('\n') {
            Some((line, rest)) => (line, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(line)
    }

    /// The value of the next line, if it begins with `name`.
    fn optional(&mut self, name: &str) -> Option<&'a str> {
        self.rest?.starts_with(name).then(|| self.next())??.strip_prefix(name)
    }

    fn required(&mut self, name: &str) -> Result<&'a str, DelegationError> {
        self.optional(name)
            .ok_or(DelegationError::Malformed("a line is missing, unknown, or in another place"))
    }
}
