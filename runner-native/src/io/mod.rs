//! The driver of any core machine: sockets, clock and executor. It knows no control message and no frame.

pub(crate) mod alarm;
pub(crate) mod clock;
pub(crate) mod driver;
pub(crate) mod executor;
mod gauge;
pub(crate) mod hyper;
pub(crate) mod pipe;
pub(crate) mod proxy;
#[cfg_attr(not(target_os = "linux"), path = "readiness_elsewhere.rs")]
pub(crate) mod readiness;
pub(crate) mod scratch;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod tls;
