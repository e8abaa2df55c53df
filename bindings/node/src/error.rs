//! Errors as JavaScript sees them, with the codes of the package (`index.d.ts`), and the border that no panic crosses.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hvym_tunnel_agent::AgentError;
use hvym_tunnel_net::error_text;

use crate::down::{down_code, down_hint};

/// Its status is the code, which JavaScript has as the member `code`. No secret is in its text.
pub(crate) type Error = napi::Error<String>;

/// An error with this code.
pub(crate) fn new(code: &str, message: impl Display) -> Error {
    Error::new(code.to_owned(), message.to_string())
}

/// Why an agent does not do what it is asked.
pub(crate) fn of_agent(error: &AgentError) -> Error {
    let (code, message, _) = of_end(error);
    new(&code, message)
}

/// Why an agent ended: a code, what happened, and what to do about it.
pub(crate) fn of_end(error: &AgentError) -> (String, String, Option<&'static str>) {
    let (code, hint) = match error {
        AgentError::Ended(reason) | AgentError::Unreachable { reason, .. } => {
            (down_code(reason), down_hint(reason))
        }
        AgentError::ServiceRefused { code, .. } => (code.as_str(), None),
        AgentError::Url(_) => ("foreign_url", None),
        AgentError::Closed => ("closed", None),
        AgentError::Settings(_) => ("invalid", None),
        _ => ("unsupported", None),
    };
    (code.to_owned(), error.to_string(), hint)
}

/// Runs the body of a call. A panic in it is an error with the code `panic`.
pub(crate) fn guarded<T>(body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(new("panic", error_text::of_panic(&*panic))))
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_core::reason::DownReason;

    use super::*;

    #[test]
    fn a_panic_is_an_error_and_does_not_cross_the_border() {
        let error = guarded::<()>(|| panic!("bug {}", 2)).expect_err("it panics");
        assert_eq!((error.status.as_str(), error.reason.as_str()), ("panic", "bug 2"));
        assert_eq!(guarded(|| Ok(1)).expect("no panic"), 1);
    }

    #[test]
    fn the_end_of_a_link_has_the_code_and_the_advice_of_the_package() {
        let (code, message, hint) = of_end(&AgentError::Ended(DownReason::Replaced));
        assert_eq!((code.as_str(), message), ("name_conflict", DownReason::Replaced.to_string()));
        assert!(hint.is_some());
        assert_eq!(of_end(&AgentError::Closed).0, "closed");
    }
}
