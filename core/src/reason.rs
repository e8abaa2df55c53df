//! Why a link ended: one vocabulary for both sides, for close codes, for the retry rule and for people.
//!
//! The same reason is what a side decides and what the other side is told: [`DownReason::close`] puts it on
//! the wire, [`DownReason::from_close`] reads it back.

mod delegation_fault;

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use thiserror::Error;

use crate::message::Close;
use crate::text::split_once;
use crate::time::{UnixTime, Validity};

pub use delegation_fault::DelegationFault;

/// What one existing server says of a wrong token, of one that it does not serve, and of one that is in use.
const UNKNOWN_TOKEN: &str = "the token is wrong or disabled, or another agent is connected with it";

/// Codes of `auth_failed` for a token that is refused for its times.
const TOKEN_EXPIRED: &str = "token_expired";
const TOKEN_FROM_FUTURE: &str = "token_from_future";

/// Stands between the code and the text of a close because of a delegation.
const DELEGATION_SEPARATOR: &str = ": ";

/// Why a link is down. Texts that came from the peer are kept as it sent them.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DownReason {
    /// This side asked for it.
    #[error("closed")]
    Finished,
    /// The other side ended the link in good order.
    #[error("the other side closed the connection")]
    ClosedByPeer,
    /// No connection could be made at all; the text is the runner's.
    #[error("the relay cannot be reached{}", Detail(.0))]
    Unreachable(String),
    /// The transport ended without a close; the text is the runner's.
    #[error("the connection was lost{}", Detail(.0))]
    Lost(String),
    /// Nothing arrived for the keepalive interval and timeout together.
    #[error("the other side stopped answering")]
    Silent,
    /// 4000: a message that is not of this protocol.
    #[error("malformed message{}", Detail(.0))]
    Malformed(String),
    /// 4001: a message of this protocol, at the wrong moment.
    #[error("message out of order{}", Detail(.0))]
    OutOfOrder(String),
    /// 4002: the token, the challenge or the signature was refused.
    #[error("authentication failed{}", Detail(.0))]
    Authentication(String),
    /// 4002: the token was refused for its times. It was made for this login, so the clocks of both sides disagree. The
    /// agent dials again, because clocks are set: by time synchronization after a start or a sleep, or by a person.
    #[error("the clocks of both sides disagree: {error}")]
    TokenTime {
        /// On which side of the token's validity period the relay's clock is.
        validity: Validity,
        /// The relay's text.
        error: String,
        /// The relay's clock, if it says so.
        relay_time: Option<UnixTime>,
    },
    /// The relay knows agents by tokens and did not take this one, because another agent is connected with it; or it
    /// does not say whether that is why. It may go away: what is connected may be this agent's own link, not yet missed.
    #[error("{}", if *known { "another agent is connected with this token" } else { UNKNOWN_TOKEN })]
    TokenInUse {
        /// Whether the relay says so.
        known: bool,
    },
    /// 4003: authenticated, but not allowed what was asked for.
    #[error("not allowed{}", Detail(.0))]
    NotAllowed(String),
    /// 4011: the delegation that the login is made with does not allow it, or not any more.
    #[error("{error}")]
    Delegation {
        /// What is wrong with it.
        fault: DelegationFault,
        /// For a person.
        error: String,
    },
    /// 4008: the other side did not answer in time.
    #[error("timed out{}", Detail(.0))]
    TimedOut(String),
    /// 4009: a newer session of the same identity took over.
    #[error("replaced by a newer connection of the same identity")]
    Replaced,
    /// 4009, of a login: another session of the same identity is there, and the relay keeps it.
    #[error("another agent is connected with this identity, and the relay keeps the older one")]
    Conflict,
    /// 4010: the session that this link was to join is not here, or takes no further link.
    #[error("the session to join is not here{}", Detail(.0))]
    UnknownSession(String),
    /// 4029: too many attempts.
    #[error("too many attempts{}", Detail(.0))]
    RateLimited(String),
    /// 1001: the relay is going away.
    #[error("the relay is going away")]
    GoingAway,
    /// 1002: the byte stream broke the rules of Yamux.
    #[error("protocol error{}", Detail(.0))]
    Protocol(String),
    /// 1009: a message larger than the limit.
    #[error("message too large{}", Detail(.0))]
    TooLarge(String),
    /// 1013: the other side has no room now.
    #[error("overloaded{}", Detail(.0))]
    Overloaded(String),
    /// The relay is not the one this agent was told to trust, so nothing was signed for it.
    #[error("the relay says it is {found}, but {pinned} is expected")]
    WrongRelay {
        /// The address this agent was configured with.
        pinned: String,
        /// The address the relay named.
        found: String,
    },
    /// The relay has another key than when it was dialled before, so nothing was signed for it.
    #[error("the relay at {host} has another key than before: {found}, and no longer {known}")]
    RelayKeyChanged {
        /// The authority that was dialled.
        host: String,
        /// The address that answered there before.
        known: String,
        /// The address the relay named.
        found: String,
    },
    /// The relay was reached by another name than the one that was dialled, so nothing was signed for it.
    #[error("{dialled} was dialled, but the relay was reached as \"{found}\"")]
    WrongHost {
        /// The authority that was dialled.
        dialled: String,
        /// The one that the relay named; empty if it named none.
        found: String,
    },
    /// The relay does not prove that it holds its key, so nothing was signed for it.
    #[error("the relay does not prove that it is {0}")]
    RelayUnproven(String),
    /// The signer said no.
    #[error("the signer refused to sign the login")]
    SignerRefused,
    /// The signature is not of the key that the identity names.
    #[error("the signer used another key than the identity's")]
    SignerMismatch,
    /// A close code this protocol does not know.
    #[error("closed with code {code}{}", Detail(.reason))]
    Unknown {
        /// The close code.
        code: u16,
        /// The reason that came with it.
        reason: String,
    },
}

/// What the peer or the runner said, behind a colon; nothing if it said nothing.
struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// Whether, and how soon, an agent dials again after a [`DownReason`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Dialling again would end the same way until a person changes something.
    Never,
    /// Within a second: the other side asked for it.
    Soon,
    /// After the back-off delay.
    Backoff,
}

impl DownReason {
    /// What goes on the wire when this side ends a link for this reason.
    pub fn close(&self) -> Close {
        let text = |text: &String| Cow::Owned(text.clone());
        let (code, reason) = match self {
            DownReason::Finished | DownReason::ClosedByPeer => (1000, "".into()),
            DownReason::Unreachable(t) | DownReason::Lost(t) => (1001, text(t)),
            DownReason::Silent => (4008, "no answer to pings".into()),
            DownReason::Malformed(t) => (4000, text(t)),
            DownReason::OutOfOrder(t) => (4001, text(t)),
            DownReason::Authentication(t) => (4002, text(t)),
            DownReason::TokenTime { error, .. } => (4002, text(error)),
            DownReason::NotAllowed(t) => (4003, text(t)),
            DownReason::TimedOut(t) => (4008, text(t)),
            DownReason::Replaced | DownReason::Conflict => (4009, self.to_string().into()),
            DownReason::UnknownSession(t) => (4010, text(t)),
            DownReason::Delegation { fault, error } => {
                (4011, Cow::Owned(format!("{}{DELEGATION_SEPARATOR}{error}", fault.code())))
            }
            DownReason::RateLimited(t) => (4029, text(t)),
            DownReason::GoingAway => (1001, self.to_string().into()),
            DownReason::Protocol(t) => (1002, text(t)),
            DownReason::TooLarge(t) => (1009, text(t)),
            DownReason::Overloaded(t) => (1013, text(t)),
            DownReason::WrongRelay { .. } | DownReason::RelayKeyChanged { .. } => {
                (4002, "wrong relay address".into())
            }
            DownReason::WrongHost { .. } => (4002, "another host was dialled".into()),
            DownReason::RelayUnproven(_) => (4002, "the relay's proof is missing or wrong".into()),
            DownReason::SignerRefused | DownReason::SignerMismatch => (4002, self.to_string().into()),
            DownReason::TokenInUse { .. } => (1000, "".into()),
            // RFC 6455 section 7.4: of the codes we do not know ourselves, only these may travel.
            DownReason::Unknown { code: code @ 3000..=4999, reason } => (*code, text(reason)),
            DownReason::Unknown { reason, .. } => (1000, text(reason)),
        };
        Close::new(code, reason)
    }

    /// What a close from the other side means.
    pub fn from_close(close: &Close) -> Self {
        let text = || close.reason.clone().into_owned();
        match close.code {
            // What an existing server of tunely says to those whom it sends away for good; there is no code for it.
            1000 if close.reason == "New connection (force)" => DownReason::Replaced,
            1000 if matches!(&*close.reason, "token rotated" | "tunnel revoked") => {
                DownReason::Authentication(text())
            }
            // 1005 is what a runner sees when the other side gave no code.
            1000 | 1005 => DownReason::ClosedByPeer,
            // 1012 is what one existing relay sends at shutdown (RFC 6455 registry: service restart).
            1001 | 1012 => DownReason::GoingAway,
            1002 => DownReason::Protocol(text()),
            1009 => DownReason::TooLarge(text()),
            1013 => DownReason::Overloaded(text()),
            Close::ABNORMAL => DownReason::Lost(text()),
            4000 => DownReason::Malformed(text()),
            4001 => DownReason::OutOfOrder(text()),
            4002 => Self::from_refusal(text()),
            // Existing HVYM relays have one code for both.
            4003 if close.reason == "New connection from same address" => DownReason::Replaced,
            4003 => DownReason::NotAllowed(text()),
            4008 => DownReason::TimedOut(text()),
            4009 if close.reason == DownReason::Conflict.to_string() => DownReason::Conflict,
            4009 => DownReason::Replaced,
            4010 => DownReason::UnknownSession(text()),
            4011 => Self::from_delegation_close(&close.reason),
            4029 => DownReason::RateLimited(text()),
            code => DownReason::Unknown { code, reason: text() },
        }
    }

    /// A close because of a delegation, whose text begins with the code.
    fn from_delegation_close(reason: &str) -> Self {
        let known = split_once(reason, DELEGATION_SEPARATOR)
            .and_then(|(code, error)| Some((DelegationFault::from_code(code)?, error)));
        match known {
            Some((fault, error)) => DownReason::Delegation { fault, error: error.to_owned() },
            None => DownReason::NotAllowed(reason.to_owned()),
        }
    }

    /// The reason behind an `auth_failed` message, from its machine-readable code. `time` is the relay's clock.
    pub fn from_auth_failed(code: Option<&str>, error: &str, time: Option<UnixTime>) -> Self {
        let token_time = |validity, error| DownReason::TokenTime { validity, error, relay_time: time };
        let error = error.to_owned();
        if let Some(fault) = code.and_then(DelegationFault::from_code) {
            return DownReason::Delegation { fault, error };
        }
        match code {
            Some(TOKEN_EXPIRED) => token_time(Validity::Expired, error),
            Some(TOKEN_FROM_FUTURE) => token_time(Validity::NotYetValid, error),
            Some("malformed") => DownReason::Malformed(error),
            Some("order") => DownReason::OutOfOrder(error),
            Some("not_allowed") => DownReason::NotAllowed(error),
            Some("rate_limited") => DownReason::RateLimited(error),
            Some("conflict") => DownReason::Conflict,
            Some("unknown_session") => DownReason::UnknownSession(error),
            Some("overloaded") => DownReason::Overloaded(error),
            // Existing HVYM relays have no codes; these are their words.
            None if error == "Rate limited" => DownReason::RateLimited(error),
            None if error.starts_with("Service not allowed") => DownReason::NotAllowed(error),
            _ => Self::from_refusal(error),
        }
    }

    /// The reason behind a refusal that has a text only. Relays without codes for it say in words that a token was refused
    /// for its times, and most of them what their clock says.
    fn from_refusal(error: String) -> Self {
        let validity = match &*error {
            text if text.starts_with("Token expired") => Validity::Expired,
            text if text.starts_with("Token issued in the future") => Validity::NotYetValid,
            text if text.starts_with("Token not valid before") => Validity::NotYetValid,
            _ => return DownReason::Authentication(error),
        };
        // Split by characters: the standard library's search for a text is 2 KB of the browser package.
        let clock = error.split(['(', ')']).find_map(|part| part.strip_prefix("current time: "));
        let relay_time = clock.and_then(|seconds| seconds.parse().ok()).map(UnixTime::from_secs);
        DownReason::TokenTime { validity, error, relay_time }
    }

    /// The machine-readable code of the `auth_failed` that announces this reason.
    pub fn auth_failed_code(&self) -> &'static str {
        match self {
            DownReason::Malformed(_) => "malformed",
            DownReason::OutOfOrder(_) => "order",
            DownReason::NotAllowed(_) => "not_allowed",
            DownReason::RateLimited(_) => "rate_limited",
            DownReason::Replaced | DownReason::Conflict => "conflict",
            DownReason::UnknownSession(_) => "unknown_session",
            DownReason::Delegation { fault, .. } => fault.code(),
            DownReason::Overloaded(_) => "overloaded",
            DownReason::TokenTime { validity: Validity::Expired, .. } => TOKEN_EXPIRED,
            DownReason::TokenTime { validity: Validity::NotYetValid, .. } => TOKEN_FROM_FUTURE,
            _ => "authentication",
        }
    }

    /// Whether an agent dials again.
    pub fn retry(&self) -> Retry {
        match self {
            DownReason::Finished
            | DownReason::Authentication(_)
            | DownReason::NotAllowed(_)
            | DownReason::Replaced
            | DownReason::Conflict
            | DownReason::WrongRelay { .. }
            | DownReason::RelayKeyChanged { .. }
            | DownReason::WrongHost { .. }
            | DownReason::RelayUnproven(_)
            | DownReason::SignerRefused
            | DownReason::SignerMismatch => Retry::Never,
            // Clocks are set, and its time comes.
            DownReason::Delegation { fault: DelegationFault::NotYet, .. } => Retry::Backoff,
            DownReason::Delegation { .. } => Retry::Never,
            // One message costs the link; the next visitor should not pay for it. Again and again it is waited longer.
            DownReason::GoingAway | DownReason::TooLarge(_) => Retry::Soon,
            _ => Retry::Backoff,
        }
    }

    /// What a person can do about it, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            DownReason::Unreachable(_) => "check the relay's URL, your network and any proxy",
            DownReason::Authentication(_) => {
                "check that this machine's clock is right and that the relay address is the relay's own"
            }
            DownReason::TokenTime { .. } => "set this machine's clock, or let it be set from the network",
            DownReason::NotAllowed(text) if text.starts_with("Service not allowed") => {
                "choose a service that the relay allows, or ask its operator"
            }
            // The relay's own words say what to do.
            DownReason::NotAllowed(_) => return None,
            DownReason::Delegation { fault: DelegationFault::NotYet, .. } => {
                "set this machine's clock, or wait until the delegation begins"
            }
            DownReason::Delegation { .. } => "ask the owner of the account for another delegation",
            DownReason::Replaced | DownReason::Conflict => {
                "another agent uses this identity; stop it, or give this one its own with `hvym-tunnel identity new`"
            }
            DownReason::WrongRelay { .. } => {
                "if the relay's key was really changed, pass the new one with --relay-address"
            }
            DownReason::RelayKeyChanged { .. } => {
                "if its operator changed the key, forget the old one with `hvym-tunnel relays forget`"
            }
            DownReason::WrongHost { .. } => {
                "let a proxy in front of the relay pass the Host field on as it comes; without one, do not trust this relay"
            }
            DownReason::RelayUnproven(_) => "do not trust it: it may be another one that copies the address",
            DownReason::RateLimited(_) => "wait a few minutes before trying again",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_closes_with_the_other_side_reads_back() {
        for reason in [
            DownReason::Malformed("a".into()),
            DownReason::OutOfOrder("b".into()),
            DownReason::Authentication("c".into()),
            DownReason::NotAllowed("d".into()),
            DownReason::TimedOut("e".into()),
            DownReason::Replaced,
            DownReason::Conflict,
            DownReason::RateLimited("f".into()),
            DownReason::UnknownSession("j".into()),
            DownReason::Delegation { fault: DelegationFault::Revoked, error: "k: l".into() },
            DownReason::GoingAway,
            DownReason::Protocol("g".into()),
            DownReason::TooLarge("h".into()),
            DownReason::Overloaded("i".into()),
        ] {
            assert_eq!(DownReason::from_close(&reason.close()), reason);
        }
    }

    #[test]
    fn a_token_refused_for_its_times_is_no_final_refusal_whoever_says_it() {
        let now = Some(UnixTime::from_secs(1_767_225_600));
        for (error, validity) in [
            ("Token expired at 1767220000 (current time: 1767225600)", Validity::Expired),
            (
                "Token issued in the future at 1867220000 (current time: 1767225600): check",
                Validity::NotYetValid,
            ),
            ("Token not valid before 1867220000 (current time: 1767225600)", Validity::NotYetValid),
        ] {
            let expected = DownReason::TokenTime { validity, error: error.into(), relay_time: now };
            assert_eq!(DownReason::from_auth_failed(None, error, None), expected);
            assert_eq!(DownReason::from_auth_failed(Some("authentication"), error, None), expected);
            assert_eq!(DownReason::from_close(&expected.close()), expected);
            let code = Some(expected.auth_failed_code());
            assert_eq!(DownReason::from_auth_failed(code, error, now), expected);
            assert_eq!(expected.retry(), Retry::Backoff);
        }
        let unknown = DownReason::from_auth_failed(Some("token_expired"), "another language", None);
        assert!(matches!(unknown, DownReason::TokenTime { relay_time: None, .. }));
        let forged = DownReason::from_auth_failed(None, "Signature verification failed", now);
        assert_eq!(forged.retry(), Retry::Never);
    }

    #[test]
    fn a_delegation_that_is_refused_says_why_and_only_one_that_has_not_begun_is_tried_again() {
        for (code, retry) in [
            ("delegation_revoked", Retry::Never),
            ("delegation_expired", Retry::Never),
            ("delegation_not_yet", Retry::Backoff),
        ] {
            let reason = DownReason::from_auth_failed(Some(code), "no", None);
            assert_eq!((reason.auth_failed_code(), reason.retry()), (code, retry));
            assert_eq!(DownReason::from_close(&reason.close()), reason);
        }
        let unknown = DownReason::from_close(&Close::new(4011, "of a later version"));
        assert_eq!(unknown, DownReason::NotAllowed("of a later version".into()));
    }

    #[test]
    fn a_newcomer_that_is_refused_is_told_so_and_not_that_it_was_replaced() {
        let refused = DownReason::from_auth_failed(Some("conflict"), "", None);
        assert_eq!((&refused, refused.retry()), (&DownReason::Conflict, Retry::Never));
        assert!(refused.to_string().contains("keeps the older one") && refused.hint().is_some());
        assert_eq!(DownReason::from_close(&DownReason::Replaced.close()), DownReason::Replaced);
    }

    #[test]
    fn a_reason_of_which_nothing_more_is_known_does_not_end_in_a_colon() {
        assert_eq!(DownReason::Lost(String::new()).to_string(), "the connection was lost");
        assert_eq!(DownReason::Lost("cut".into()).to_string(), "the connection was lost: cut");
        let unknown = |reason: &str| DownReason::Unknown { code: 4444, reason: reason.into() }.to_string();
        assert_eq!(
            (unknown("").as_str(), unknown("x").as_str()),
            ("closed with code 4444", "closed with code 4444: x")
        );
    }

    #[test]
    fn a_link_that_one_message_ended_is_dialled_again_at_once() {
        assert_eq!(DownReason::from_close(&Close::new(1009, "frame exceeds limit")).retry(), Retry::Soon);
    }

    #[test]
    fn a_replaced_agent_does_not_fight_back() {
        assert_eq!(DownReason::Replaced.retry(), Retry::Never);
        let forced = DownReason::from_close(&Close::new(1000, "New connection (force)"));
        assert_eq!(forced, DownReason::Replaced);
        assert_eq!(DownReason::from_close(&Close::new(1000, "tunnel revoked")).retry(), Retry::Never);
        assert_eq!(DownReason::from_close(&Close::new(1000, "bye")), DownReason::ClosedByPeer);
        assert_eq!(DownReason::from_close(&Close::new(4009, "")).retry(), Retry::Never);
    }
}
