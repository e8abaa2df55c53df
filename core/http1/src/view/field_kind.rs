//! Which field names mean something to a proxy.
//!
//! It looks at names alone; what is done with a field is decided by who reads or forwards it.

/// What a field is to a proxy.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum FieldKind {
    /// Nothing: it is forwarded as it is.
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Cookie,
    SetCookie,
    Authorization,
    /// `WWW-Authenticate`.
    Challenge,
    /// `Proxy-Authenticate`.
    ProxyChallenge,
    /// `Keep-Alive`.
    KeepAlive,
    /// Meant for the next hop, and without a meaning here (RFC 9110 section 7.6.1).
    HopByHop,
    /// `Proxy` and `Proxy-...` of a request: there is no proxy to log in to between a visitor and a service, and CGI
    /// takes `Proxy` for the variable `HTTP_PROXY`.
    Proxy,
    /// Another name of which CGI makes the variable of a field that frames a message or ends at a hop: `Transfer_Encoding`.
    Alias,
    /// `Proxy-Status`, which a response may carry through (RFC 9209).
    ProxyStatus,
    /// What only a relay may say: `Forwarded`, `X-Forwarded-...` and the relay's own.
    Claim,
    /// The address of a visitor, as other proxies write it.
    ClientAddress,
    /// An absolute URL of the service or the visitor, in one of the fields that [`HostMapping`](crate::HostMapping) maps.
    Url,
    Date,
}

/// Names that only a relay may set, because services and other relays trust them.
const CLAIMS: [&str; 3] = ["forwarded", "x-stellar-address", "x-custom-domain"];

/// Names in which content delivery networks and other proxies write the visitor's address, and in which web frameworks look for it.
const CLIENT_ADDRESSES: [&str; 16] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded-for",
    "true-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-real-ip",
];

/// Names with `-` of fields that frame a message or end at a hop, but for `Proxy-...`.
const OF_THE_MESSAGE: [&str; 3] = ["content-length", "keep-alive", "transfer-encoding"];

impl FieldKind {
    /// The kind of the field `name`, a token.
    pub(crate) fn classify(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return FieldKind::Other };
        match (first | 0x20, name.len()) {
            (b'h', 4) if is(name, b"host") => FieldKind::Host,
            (b'c', 6) if is(name, b"cookie") => FieldKind::Cookie,
            (b'c', 10) if is(name, b"connection") => FieldKind::Connection,
            (b'c', 14) if is(name, b"content-length") => FieldKind::ContentLength,
            (b'c', 16) if is(name, b"content-location") => FieldKind::Url,
            (b'd', 4) if is(name, b"date") => FieldKind::Date,
            (b'd', 11) if is(name, b"destination") => FieldKind::Url,
            (b'e', 6) if is(name, b"expect") => FieldKind::Expect,
            (b'k', 10) if is(name, b"keep-alive") => FieldKind::KeepAlive,
            (b'l', 8) if is(name, b"location") => FieldKind::Url,
            (b'o', 6) if is(name, b"origin") => FieldKind::Url,
            (b'r', 7) if is(name, b"referer") || is(name, b"refresh") => FieldKind::Url,
            (b's', 10) if is(name, b"set-cookie") => FieldKind::SetCookie,
            (b't', 2) if is(name, b"te") => FieldKind::Te,
            (b't', 7) if is(name, b"trailer") => FieldKind::Trailer,
            (b't', 8) if is(name, b"trailers") => FieldKind::HopByHop,
            (b't', 17) if is(name, b"transfer-encoding") => FieldKind::TransferEncoding,
            (b'u', 7) if is(name, b"upgrade") => FieldKind::Upgrade,
            (b'a', 13) if is(name, b"authorization") => FieldKind::Authorization,
            (b'a', 27) if is(name, b"access-control-allow-origin") => FieldKind::Url,
            (b'w', 16) if is(name, b"www-authenticate") => FieldKind::Challenge,
            (b'p', 5) if is(name, b"proxy") => FieldKind::Proxy,
            (b'p', 6..) if has_variable_prefix(name, b"proxy-") => proxy(name),
            (b'c' | b'f' | b'k' | b't' | b'x', 9..) => claim(name),
            _ => FieldKind::Other,
        }
    }
}

/// Whether a token is `known`, which has letters and `-` alone: other characters that differ from these in the same bit are not in
/// tokens.
fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    let Some(name) = name.as_array::<N>() else { return false };
    name.iter().zip(known).fold(0, |difference, (a, b)| difference | ((a | 0x20) ^ b)) == 0
}

#[inline(never)]
fn proxy(name: &[u8]) -> FieldKind {
    if is(name, b"proxy-status") {
        FieldKind::ProxyStatus
    } else if is(name, b"proxy-authenticate") {
        FieldKind::ProxyChallenge
    } else if is(name, b"proxy-connection")
        || is(name, b"proxy-authentication-info")
        || is(name, b"proxy-authorization")
    {
        FieldKind::HopByHop
    } else {
        FieldKind::Proxy
    }
}

#[inline(never)]
fn claim(name: &[u8]) -> FieldKind {
    if has_variable_prefix(name, b"x-forwarded-") || CLAIMS.iter().any(|known| is_variable(name, known)) {
        FieldKind::Claim
    } else if CLIENT_ADDRESSES.iter().any(|known| is_variable(name, known)) {
        FieldKind::ClientAddress
    } else if OF_THE_MESSAGE.iter().any(|known| is_variable(name, known)) {
        FieldKind::Alias
    } else {
        FieldKind::Other
    }
}

/// Whether CGI makes one variable of both names: every character but letters and digits becomes `_` (RFC 3875 section
/// 4.1.18 names `-`, servers do it to all).
fn is_variable(name: &[u8], known: &str) -> bool {
    name.len() == known.len() && has_variable_prefix(name, known.as_bytes())
}

fn has_variable_prefix(name: &[u8], known: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| match b {
        b'-' => !a.is_ascii_alphanumeric(),
        _ => a.eq_ignore_ascii_case(b),
    };
    name.len() >= known.len() && name.iter().zip(known).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_differs_from_a_known_one_in_one_letter_is_another() {
        for known in [
            "host",
            "cookie",
            "connection",
            "content-length",
            "content-location",
            "date",
            "destination",
            "expect",
            "keep-alive",
            "location",
            "origin",
            "referer",
            "refresh",
            "set-cookie",
            "te",
            "trailer",
            "trailers",
            "transfer-encoding",
            "upgrade",
            "authorization",
            "access-control-allow-origin",
            "www-authenticate",
            "proxy",
        ] {
            assert_ne!(FieldKind::classify(known.as_bytes()), FieldKind::Other, "{known}");
            for at in 0..known.len() {
                let mut name = known.as_bytes().to_vec();
                name[at] = b'q';
                assert_eq!(FieldKind::classify(&name), FieldKind::Other, "{known} without letter {at}");
            }
            // Two letters that differ in the same bit.
            for at in 1..known.len().saturating_sub(1) {
                let mut name = known.as_bytes().to_vec();
                (name[at], name[at + 1]) = (name[at] ^ 1, name[at + 1] ^ 1);
                assert_eq!(FieldKind::classify(&name), FieldKind::Other, "{known} from letter {at}");
            }
        }
    }

    #[test]
    fn names_are_known_in_any_case() {
        for (name, kind) in [
            ("HOST", FieldKind::Host),
            ("content-Length", FieldKind::ContentLength),
            ("Transfer-Encoding", FieldKind::TransferEncoding),
            ("tE", FieldKind::Te),
            ("Trailers", FieldKind::HopByHop),
            ("Referer", FieldKind::Url),
            ("Refresh", FieldKind::Url),
            ("Referee", FieldKind::Other),
            ("Proxy", FieldKind::Proxy),
            ("Proxy-Anything", FieldKind::Proxy),
            ("Proxy-", FieldKind::Proxy),
            ("Proxy-Status", FieldKind::ProxyStatus),
            ("Proxy-Authenticate", FieldKind::ProxyChallenge),
            ("WWW-Authenticate", FieldKind::Challenge),
            ("Proxy-Connection", FieldKind::HopByHop),
            ("Proxy-Authentication-Info", FieldKind::HopByHop),
            ("Proxy-Authorization", FieldKind::HopByHop),
            ("Access-Control-Allow-Origin", FieldKind::Url),
            ("", FieldKind::Other),
        ] {
            assert_eq!(FieldKind::classify(name.as_bytes()), kind, "{name}");
        }
    }

    #[test]
    fn a_claim_is_known_however_a_program_writes_its_separators() {
        for name in
            ["X-Forwarded-For", "x_forwarded_proto", "X-Forwarded_Anything", "X.Forwarded~Port", "Forwarded"]
        {
            assert_eq!(FieldKind::classify(name.as_bytes()), FieldKind::Claim, "{name}");
        }
        for name in [
            "X_Real_IP",
            "x-real-ip",
            "CF-Connecting_IP",
            "Client.IP",
            "X_Original_Forwarded_For",
            "X-Forwarded",
        ] {
            assert_eq!(FieldKind::classify(name.as_bytes()), FieldKind::ClientAddress, "{name}");
        }
        for name in ["XForwardedFor", "X-Real-IPs", "X0Forwarded0For", "X-Original-Host", "Clientsip"] {
            assert_eq!(FieldKind::classify(name.as_bytes()), FieldKind::Other, "{name}");
        }
    }

    #[test]
    fn a_name_that_cgi_takes_for_one_of_the_message_is_known() {
        for name in ["Transfer_Encoding", "transfer.encoding", "Content_Length", "KEEP_ALIVE"] {
            assert_eq!(FieldKind::classify(name.as_bytes()), FieldKind::Alias, "{name}");
        }
        for name in ["Proxy_Authorization", "proxy_connection", "PROXY~X"] {
            assert_eq!(FieldKind::classify(name.as_bytes()), FieldKind::Proxy, "{name}");
        }
        for name in ["TransferEncoding", "Content_Lengths", "Content_Type", "Keep0Alive", "Proxyx"] {
            assert_eq!(FieldKind::classify(name.as_bytes()), FieldKind::Other, "{name}");
        }
    }
}
