//! What limits a visitor's HTTP/2 connection below hyper, which bounds no frames that belong to no request.

mod frame_budget;
pub(crate) mod frame_guard;
