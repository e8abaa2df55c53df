//! The state of one visitor's connection.

pub(crate) mod in_flight;
