//! What went wrong, as JavaScript sees it: a code for programs, a sentence for people, and what to do.

use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::mux::StreamError;
use hvym_tunnel_core::reason::DownReason;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./error.js")]
extern "C" {
    /// The error class of the package.
    #[derive(Clone)]
    pub(crate) type TunnelError;
    #[wasm_bindgen(constructor)]
    fn new(code: &str, message: &str, hint: Option<&str>) -> TunnelError;
}

/// An error with a code and a sentence.
pub(crate) fn fault(code: &str, message: &str) -> JsValue {
    TunnelError::new(code, message, None).into()
}

/// The same, with what to do about it.
pub(crate) fn fault_with_hint(code: &str, message: &str, hint: Option<&str>) -> JsValue {
    TunnelError::new(code, message, hint).into()
}

/// Why the link ended.
pub(crate) fn of_down(reason: &DownReason) -> JsValue {
    fault_with_hint(code_of(reason), &reason.to_string(), hint_of(reason))
}

/// Why a stream broke.
pub(crate) fn of_stream(error: &StreamError) -> JsValue {
    fault("stream_lost", &error.to_string())
}

/// Why a stream could not be opened.
pub(crate) fn of_open(error: &OpenStreamError) -> JsValue {
    let code = match error {
        OpenStreamError::NotUp => "not_connected",
        OpenStreamError::Header(_) => "bad_target",
        OpenStreamError::Refused(_) | OpenStreamError::SendBufferFull => "too_many",
    };
    fault(code, &error.to_string())
}

/// What came is not HTTP/1.1.
pub(crate) fn of_http(error: &impl std::error::Error) -> JsValue {
    fault("bad_http", &error.to_string())
}

/// The word for a reason; part of the interface.
pub(crate) fn code_of(reason: &DownReason) -> &'static str {
    match reason {
        DownReason::Finished => "closed",
        DownReason::ClosedByPeer => "closed_by_relay",
        DownReason::Unreachable(_) => "relay_unreachable",
        DownReason::Lost(_) => "connection_lost",
        DownReason::Silent => "relay_silent",
        DownReason::Authentication(_) => "refused",
        DownReason::NotAllowed(_) => "not_allowed",
        DownReason::TimedOut(_) => "timed_out",
        DownReason::Replaced => "name_conflict",
        DownReason::RateLimited(_) => "rate_limited",
        DownReason::GoingAway => "relay_going_away",
        DownReason::Overloaded(_) => "relay_overloaded",
        DownReason::WrongRelay { .. } => "wrong_relay",
        DownReason::SignerRefused => "signer_refused",
        DownReason::SignerMismatch => "signer_mismatch",
        _ => "protocol",
    }
}

/// What to do about it, in the words of a page: the core's speak of a program's options.
pub(crate) fn hint_of(reason: &DownReason) -> Option<&'static str> {
    match reason {
        DownReason::Unreachable(_) => {
            Some("check the relay's URL and your network; a page on https reaches wss relays only")
        }
        DownReason::Authentication(_) => {
            Some("check that this machine's clock is right and that relayAddress is the relay's own")
        }
        DownReason::Replaced => {
            Some("another tab or program uses this identity; close it, or use another identity")
        }
        DownReason::WrongRelay { .. } => {
            Some("if the relay's key was really changed, give the new one as relayAddress")
        }
        DownReason::SignerMismatch => Some("open the account in your wallet that the address names"),
        DownReason::SignerRefused => Some("connect again and agree to the signature"),
        _ => None,
    }
}
