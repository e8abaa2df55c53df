//! What programs and people are told about the end of a link: codes of the package's interface (`js/index.d.ts`), and advice.
//!
//! Pure, and a part of the native module for Node.js too (`bindings/node`), so that both say the same.

use hvym_tunnel_core::reason::DownReason;

/// The code of a reason, as in the `down` event.
pub(crate) fn down_code(reason: &DownReason) -> &'static str {
    match reason {
        DownReason::Finished => "closed",
        DownReason::ClosedByPeer => "closed_by_relay",
        DownReason::Unreachable(_) => "relay_unreachable",
        DownReason::Lost(_) => "connection_lost",
        DownReason::Silent => "relay_silent",
        DownReason::Authentication(_) => "refused",
        DownReason::TokenTime { .. } => "clock",
        DownReason::NotAllowed(_) => "not_allowed",
        DownReason::Delegation { fault, .. } => fault.code(),
        DownReason::TimedOut(_) => "timed_out",
        DownReason::Replaced | DownReason::Conflict => "name_conflict",
        DownReason::RateLimited(_) => "rate_limited",
        DownReason::GoingAway => "relay_going_away",
        DownReason::Overloaded(_) => "relay_overloaded",
        DownReason::WrongRelay { .. } => "wrong_relay",
        DownReason::RelayKeyChanged { .. } => "relay_changed",
        DownReason::WrongHost { .. } => "wrong_host",
        DownReason::RelayUnproven(_) => "relay_unproven",
        DownReason::SignerRefused => "signer_refused",
        DownReason::SignerMismatch => "signer_mismatch",
        _ => "protocol",
    }
}

/// What the user of a page can do about a reason. The core's own hints name options of the native program.
pub(crate) fn down_hint(reason: &DownReason) -> Option<&'static str> {
    match reason {
        DownReason::Unreachable(_) => Some(
            "check the relay's URL and your network; a page on https reaches wss relays only, and its \
                 Content-Security-Policy has to name the relay in connect-src",
        ),
        DownReason::Authentication(_) => {
            Some("check that this machine's clock is right and that relayAddress is the relay's own")
        }
        DownReason::TokenTime { .. } => Some("set this machine's clock, or let it be set from the network"),
        DownReason::Replaced | DownReason::Conflict => {
            Some("another tab or program uses this identity; close it, or use another identity")
        }
        DownReason::WrongRelay { .. } => {
            Some("if the relay's key was really changed, give the new one as relayAddress")
        }
        DownReason::RelayKeyChanged { .. } => Some(
            "another relay answers at this URL; open a new tunnel if its operator says that this is right",
        ),
        DownReason::WrongHost { .. } => {
            Some("a proxy in front of the relay has to pass the Host field on as it comes")
        }
        DownReason::RelayUnproven(_) => {
            Some("do not trust this relay: it may be another one that copies an address")
        }
        DownReason::Delegation { .. } => {
            Some("ask whoever gave you the link, or the delegation, for another one")
        }
        DownReason::SignerMismatch => Some("open the account in your wallet that the address names"),
        DownReason::SignerRefused => Some("connect again and agree to the signature"),
        _ => None,
    }
}
