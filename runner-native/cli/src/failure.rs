//! Which exit code and which hint each error of the libraries has, in the words of the command line.

mod agent;
mod delegation;
mod dial;
mod identity;
mod relay;
mod settings;

pub(crate) use agent::ended;
pub(crate) use dial::{link_hint, problem_hint};
