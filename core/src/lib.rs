//! The tunnel's protocol, without any I/O.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod http1;
pub mod machine;
pub mod message;
pub mod rng;
pub mod time;
