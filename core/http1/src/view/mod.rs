//! Heads read where they lie: one scan, a table of offsets, no copy.

pub(crate) mod connection;
mod error;
pub(crate) mod field_kind;
pub(crate) mod field_lines;
pub(crate) mod field_table;
mod request;
mod response;
pub(crate) mod start_line;
mod target;
mod upgrade;

pub use connection::ConnectionOptions;
pub use error::{RequestError, ResponseError};
pub use field_table::{FieldTable, Fields};
pub use request::RequestView;
pub use response::ResponseView;
pub use upgrade::is_upgrade_offered;
