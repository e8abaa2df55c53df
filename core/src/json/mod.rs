//! A small JSON reader and writer for control messages: objects of strings, integers, booleans and arrays of strings
//! (RFC 8259).
//!
//! One scanner serves all messages; derived deserializers would add a fifth to the size of the browser package. It
//! builds no tree and reads no floating point numbers.

mod field;
mod scanner;
mod writer;

pub use field::JsonError;
pub(crate) use field::{Field, FieldReader, fields};
pub(crate) use writer::{Object, Value, to_json};
