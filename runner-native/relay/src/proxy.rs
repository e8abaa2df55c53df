//! Passes requests on to agents.

pub(crate) mod forward;
pub(crate) mod upgrade;
