//! HTTP/1.1 messages: what is accepted, what is refused, and what an observer reports.

mod body;
mod body_forwarder;
mod client_info;
mod forwarded_request;
mod forwarded_response;
mod head;
mod limits;
mod message;
mod request_view;
mod tap;
mod tap_cuts;
