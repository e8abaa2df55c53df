//! On systems other than Linux nothing is heard of routes and clocks: whoever wants to know must look from time to time.

use std::io;

/// There are none here.
#[derive(Debug)]
pub struct HostEvents;

impl HostEvents {
    /// Listens from now on.
    ///
    /// # Errors
    /// Always: this system has none.
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until something has happened.
    pub async fn next(&mut self) {
        std::future::pending().await
    }
}
