//! Errors as JavaScript sees them: `TunnelError` with a code for programs, a message and an optional hint for people.
//!
//! Codes are part of the package's interface (`js/index.d.ts`). This file knows no stream, socket or agent state.

use std::fmt::Display;

use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::mux::StreamError;
use hvym_tunnel_core::reason::DownReason;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./error.js")]
extern "C" {
    /// The package's error class, `js/error.js`.
    #[derive(Clone)]
    pub(crate) type TunnelError;
    #[wasm_bindgen(constructor)]
    fn new(code: &str, message: &str, hint: Option<&str>) -> TunnelError;
}

/// An error without a hint.
pub(crate) fn tunnel_error(code: &str, message: &str) -> JsValue {
    TunnelError::new(code, message, None).into()
}

/// An error whose hint, if there is one, says what the user can do.
pub(crate) fn tunnel_error_with_hint(code: &str, message: &str, hint: Option<&str>) -> JsValue {
    TunnelError::new(code, message, hint).into()
}

/// An error with the message of `error`. Not generic, so that it is compiled once.
pub(crate) fn tunnel_error_from(code: &str, error: &dyn Display) -> JsValue {
    tunnel_error(code, &error.to_string())
}

/// The error for the end of a link.
pub(crate) fn down_error(reason: &DownReason) -> JsValue {
    tunnel_error_with_hint(down_code(reason), &reason.to_string(), down_hint(reason))
}

/// The error for a stream that was reset, or whose link was lost.
pub(crate) fn stream_error(error: &StreamError) -> JsValue {
    tunnel_error_from("stream_lost", error)
}

/// The error for a stream that could not be opened.
pub(crate) fn open_error(error: &OpenStreamError) -> JsValue {
    let code = match error {
        OpenStreamError::NotUp => "not_connected",
        OpenStreamError::Header(_) => "bad_target",
        _ => "too_many",
    };
    tunnel_error_from(code, error)
}

/// The error for received bytes that are not valid HTTP/1.1.
pub(crate) fn http_error(error: &dyn Display) -> JsValue {
    tunnel_error_from("bad_http", error)
}

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
