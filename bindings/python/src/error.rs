//! Errors as Python exceptions, each with a code that programs may rely on and a text for people.

use hvym_tunnel_agent::AgentError;
use hvym_tunnel_json::code;
use hvym_tunnel_net::key::KeyError;
use hvym_tunnel_relay::RelayError;
use pyo3::prelude::*;

/// An exception of the package with this code.
pub(crate) fn exception(py: Python<'_>, code: &str, message: impl ToString) -> PyErr {
    let made = py
        .import("hvym_tunnel.errors")
        .and_then(|errors| errors.getattr("from_code"))
        .and_then(|from_code| from_code.call1((code, message.to_string())));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A value that was given and is wrong.
pub(crate) fn invalid(py: Python<'_>, message: impl ToString) -> PyErr {
    exception(py, code::INVALID, message)
}

pub(crate) fn of_key(py: Python<'_>, error: &KeyError) -> PyErr {
    exception(py, code::of_key(error), error)
}

pub(crate) fn of_agent(py: Python<'_>, error: &AgentError) -> PyErr {
    exception(py, code::of_agent(error), error)
}

pub(crate) fn of_relay(py: Python<'_>, error: &RelayError) -> PyErr {
    exception(py, code::of_relay(error), error)
}
