//! Connections to the services behind agents: HTTP/1.1 and HTTP/2 over streams of a link, their pool, and the bodies
//! that pass through them. Knows no visitor and no session.

pub(crate) mod conn;
pub(crate) mod error;
pub(crate) mod h1;
pub(crate) mod h2;
mod h2_pool;
pub(crate) mod pool;
pub(crate) mod pool_wait;
pub(crate) mod relayed;
pub(crate) mod request_upload;
pub(crate) mod response_body;
mod service_wire;
