//! Errors as JavaScript sees them: `TunnelError` with a code for programs, a message and an optional hint for people.
//!
//! Codes are part of the package's interface (`js/index.d.ts`). This file knows no stream, socket or agent state.

use std::fmt::Display;

use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::mux::StreamError;
use hvym_tunnel_core::reason::DownReason;
use wasm_bindgen::prelude::*;

use crate::down::{down_code, down_hint};

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
