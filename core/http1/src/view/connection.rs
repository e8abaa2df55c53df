//! What the `Connection` field of a message says (RFC 9110 section 7.6.1).

use crate::list::list_members;

/// The options of all `Connection` fields of a head.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnectionOptions {
    /// `close`: the sender ends the connection after this exchange.
    pub close: bool,
    /// `keep-alive`, which HTTP/1.0 needs to keep a connection.
    pub keep_alive: bool,
    /// `upgrade`: the `Upgrade` field is meant.
    pub upgrade: bool,
    /// How many other fields are named, which end at this hop.
    pub(crate) named: usize,
}

/// Fields that `Connection` cannot remove: without them the message would be another one, and trailer fields are forwarded.
const ESSENTIAL: [&str; 4] = ["content-length", "host", "trailer", "transfer-encoding"];

impl ConnectionOptions {
    pub(super) fn read(&mut self, value: &[u8]) {
        // What most messages say.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
            return;
        }
        for member in list_members(value).filter(|member| !member.is_empty()) {
            let is = |option: &str| member.eq_ignore_ascii_case(option.as_bytes());
            if is("close") {
                self.close = true;
            } else if is("keep-alive") {
                self.keep_alive = true;
            } else if is("upgrade") {
                self.upgrade = true;
            } else if !ESSENTIAL.into_iter().any(is) {
                self.named += 1;
            }
        }
    }
}

/// Whether one of these `Connection` fields names the field `name`, and may.
pub(crate) fn names_field<'a>(mut connection: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> bool {
    let is_named =
        connection.any(|value| list_members(value).any(|member| member.eq_ignore_ascii_case(name)));
    is_named && !ESSENTIAL.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))
}
