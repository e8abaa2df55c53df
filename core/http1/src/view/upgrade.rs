//! Which protocols a connection may change to (RFC 9110 section 7.8).

use crate::list::list_members;

/// Whether `chosen`, the `Upgrade` field of a `101` response, names protocols that `offered`, that of the request, names, and nothing else. A
/// server must not change to another one, which would not be the client's to understand.
pub fn is_upgrade_offered(offered: &[u8], chosen: &[u8]) -> bool {
    let is_offered =
        |protocol: &[u8]| list_members(offered).any(|known| known.eq_ignore_ascii_case(protocol));
    let mut protocols = list_members(chosen).filter(|protocol| !protocol.is_empty()).peekable();
    protocols.peek().is_some() && protocols.all(is_offered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_was_offered() {
        for (offered, chosen, expected) in [
            ("websocket", "websocket", true),
            ("websocket", "WebSocket", true),
            ("a/1, websocket", "websocket", true),
            ("a/1,\tB/2", "b/2, A/1", true),
            ("websocket", "h2c", false),
            ("websocket", "websocket, h2c", false),
            ("a/1", "a/2", false),
            ("a/1", "a", false),
            ("websocket", "", false),
            ("a,,b", " , ", false),
        ] {
            assert_eq!(
                is_upgrade_offered(offered.as_bytes(), chosen.as_bytes()),
                expected,
                "{offered:?} {chosen:?}"
            );
        }
    }
}
