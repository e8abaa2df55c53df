//! What calls return, and the error of the last call of each thread.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

use hvym_tunnel_agent::AgentError;
use hvym_tunnel_json::code;
use hvym_tunnel_net::key::KeyError;
use hvym_tunnel_relay::RelayError;

/// Why a call did not do what was asked.
#[derive(Debug)]
pub(crate) struct Error {
    /// What programs know it by.
    pub(crate) code: &'static str,
    /// What people read. No secret is in it.
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn new(code: &'static str, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }

    /// A value that was given and is wrong.
    pub(crate) fn invalid(message: impl ToString) -> Self {
        Self::new(code::INVALID, message)
    }
}

impl From<&KeyError> for Error {
    fn from(error: &KeyError) -> Self {
        Self::new(code::of_key(error), error)
    }
}

impl From<&AgentError> for Error {
    fn from(error: &AgentError) -> Self {
        Self::new(code::of_agent(error), error)
    }
}

impl From<&RelayError> for Error {
    fn from(error: &RelayError) -> Self {
        Self::new(code::of_relay(error), error)
    }
}

/// The code and the message as C reads them.
struct LastError {
    code: CString,
    message: CString,
}

thread_local! {
    static LAST: RefCell<Option<LastError>> = const { RefCell::new(None) };
}

/// Keeps `error` for [`last_code`] and [`last_message`] of this thread.
pub(crate) fn remember(error: &Error) {
    let last = LastError { code: c_text(error.code.to_owned()), message: c_text(error.message.clone()) };
    LAST.with_borrow_mut(|kept| *kept = Some(last));
}

/// What programs know the last error of this thread by; empty if there was none.
pub(crate) fn last_code() -> *const c_char {
    LAST.with_borrow(|kept| kept.as_ref().map_or(c"", |last| last.code.as_c_str()).as_ptr())
}

/// The text of the last error of this thread; empty if there was none.
pub(crate) fn last_message() -> *const c_char {
    LAST.with_borrow(|kept| kept.as_ref().map_or(c"", |last| last.message.as_c_str()).as_ptr())
}

/// The code and the message of the last error of this thread.
#[cfg(test)]
pub(crate) fn last() -> Option<(String, String)> {
    let text = |text: &CString| text.to_string_lossy().into_owned();
    LAST.with_borrow(|kept| kept.as_ref().map(|last| (text(&last.code), text(&last.message))))
}

/// The text for C. A NUL ends a text there, so those inside are left out; JSON has none.
pub(crate) fn c_text(mut text: String) -> CString {
    text.retain(|c| c != '\0');
    CString::new(text).unwrap_or_default()
}

/// The text from C.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn utf8<'a>(text: &'a CStr, what: &str) -> Result<&'a str, Error> {
    text.to_str().map_err(|_| Error::invalid(format!("{what} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_nul_is_passed_without_it() {
        assert_eq!(c_text("a\0b".to_owned()).as_c_str(), c"ab");
    }

    #[test]
    fn each_thread_has_its_own_last_error() {
        remember(&Error::invalid("here"));
        assert_eq!(std::thread::spawn(last).join().expect("it ends"), None);
        assert_eq!(last(), Some(("invalid".to_owned(), "here".to_owned())));
    }
}
