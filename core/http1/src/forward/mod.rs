//! Heads and trailer fields as a proxy forwards them.

mod body_forwarder;
mod client_info;
mod field_writer;
mod forwarded_block;
mod host_mapping;
mod request;
mod response;
mod set_cookie;
mod trailers;

pub use body_forwarder::BodyForwarder;
pub use client_info::{ClientInfo, UrlScheme};
pub use forwarded_block::ForwardedBlock;
pub use host_mapping::{HostMapping, UrlOrigin};
pub use request::{ForwardedFields, RequestParts, RequestRewrite, write_request_head};
pub use response::{ResponseRewrite, framing_toward};
pub use set_cookie::without_shared_domain;
pub use trailers::{MessageKind, is_reserved_field, is_trailer_forwarded, trailer_fields};
