//! What the bindings of other languages say and hear: settings and events as JSON, errors as words.
//!
//! Settings have the names of the libraries' own groups, so a new setting needs no code in a binding. It knows no language,
//! starts nothing and reads no file.

pub mod agent;
pub mod code;
pub mod relay;
pub mod relay_options;
pub mod service;
