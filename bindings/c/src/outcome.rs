//! What calls return, and the border that no panic crosses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hvym_tunnel_json::code;
use hvym_tunnel_net::error_text;

use crate::error::{self, Error};

/// What a call returns. What is negative is an error: hvym_tunnel_error_code() and hvym_tunnel_error_message() say more about
/// the last one of this thread.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HvymTunnelResult {
    /// Done.
    Ok = 0,
    /// Not yet: the time to wait is over, or the relay has not taken the service.
    NotYet = 1,
    /// There will be no more events.
    Ended = 2,
    /// An argument is wrong: NULL, not UTF-8, JSON that is not understood.
    Invalid = -1,
    /// It could not be done.
    Failed = -2,
    /// A fault of this library. The handle must be freed and not be used for anything else.
    Panicked = -3,
}

/// Runs the body of a call. No panic leaves it, and its error is kept for the thread.
pub(crate) fn guarded(body: impl FnOnce() -> Result<HvymTunnelResult, Error>) -> HvymTunnelResult {
    let (error, result) = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(result)) => return result,
        Ok(Err(error)) if error.code == code::INVALID => (error, HvymTunnelResult::Invalid),
        Ok(Err(error)) => (error, HvymTunnelResult::Failed),
        Err(panic) => (Error::new("panic", error_text::of_panic(&*panic)), HvymTunnelResult::Panicked),
    };
    error::remember(&error);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_does_not_cross_the_border() {
        assert_eq!(guarded(|| panic!("a bug")), HvymTunnelResult::Panicked);
        assert_eq!(guarded(|| panic!("bug {}", 2)), HvymTunnelResult::Panicked);
        assert_eq!(error::last(), Some(("panic".to_owned(), "bug 2".to_owned())));
    }

    #[test]
    fn what_the_caller_did_wrong_differs_from_what_went_wrong() {
        assert_eq!(guarded(|| Err(Error::invalid("x"))), HvymTunnelResult::Invalid);
        assert_eq!(guarded(|| Err(Error::new("closed", "x"))), HvymTunnelResult::Failed);
        assert_eq!(guarded(|| Ok(HvymTunnelResult::NotYet)), HvymTunnelResult::NotYet);
        assert_eq!(error::last(), Some(("closed".to_owned(), "x".to_owned())), "it is not forgotten");
    }
}
