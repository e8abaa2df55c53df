//! The service of the system, if it is installed.

use super::check::{Check, Diagnosis};
use crate::exit::{Exit, ExitError};
use crate::service::{Scope, ServiceState, state};

/// Whether it runs, and starts by itself.
///
/// # Errors
/// Nobody reads.
pub(super) fn service(found: &mut Diagnosis) -> Result<(), ExitError> {
    const CHECK: &str = "service";
    let check = match state() {
        None => Check::skip(CHECK, "it is not installed: hvym-tunnel service install"),
        Some(ServiceState { activity: None, .. }) => {
            Check::warn(CHECK, "it is installed, and what starts services does not answer")
        }
        Some(ServiceState { scope, is_enabled, activity: Some(activity) }) => {
            let whose = if scope == Scope::User { "yours" } else { "the system's" };
            let starts = match is_enabled {
                Some(false) => "does not start by itself",
                _ => "starts by itself",
            };
            let detail = format!("{whose} is {activity}, and {starts}");
            match activity.as_str() {
                "active" | "activating" | "reloading" => Check::ok(CHECK, detail),
                _ => Check::warn(CHECK, detail).with_hint("hvym-tunnel service logs, service start"),
            }
        }
    };
    found.add(check, Exit::Unexpected)
}
