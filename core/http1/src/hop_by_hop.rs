//! Fields that are meant for the next hop only and that a proxy must not forward (RFC 9110 section 7.6.1).

use alloc::string::String;
use alloc::vec::Vec;

use crate::headers::Headers;
use crate::list::list_members;

/// Fields that are removed at each hop, whether or not `Connection` names them. `TE` and `Trailer` describe the coding of
/// one connection (RFC 2616 section 13.5.1 spelled the latter `Trailers`); the `Proxy-Auth...` fields are for the next
/// proxy (RFC 9110 section 11.7).
pub const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// Fields that `Connection` cannot remove: without them the message would be another one.
const ESSENTIAL: [&str; 2] = ["content-length", "host"];

impl Headers {
    /// Removes the fields that are meant for one connection: those that `Connection` names, and [`HOP_BY_HOP`]
    /// (RFC 9110 section 7.6.1). `Content-Length` and `Host` stay even if they are named.
    pub fn strip_hop_by_hop(&mut self) {
        let named: Vec<String> = self
            .all("connection")
            .flat_map(list_members)
            .filter_map(|name| core::str::from_utf8(name).ok())
            .filter(|name| !ESSENTIAL.iter().any(|kept| kept.eq_ignore_ascii_case(name)))
            .map(String::from)
            .collect();
        for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
            self.remove(name);
        }
    }
}
