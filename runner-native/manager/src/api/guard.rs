//! Who may use the API: which host names and origins are let in, and what needs the token.
//!
//! Any page in a browser of this machine can send requests here, by this machine's address or by a host name of its own that leads
//! here (DNS rebinding). So the `Host` must be this machine's, and an `Origin` must be on the list.

use std::net::{IpAddr, Ipv4Addr};

use data_encoding::BASE64URL_NOPAD;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::uri::{Authority, Uri};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Fields by which browsers say what a request is for (Fetch Metadata). No other program sends them.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// How a page shows the token where it can set no field: as a subprotocol of a WebSocket.
const TOKEN_PROTOCOL: &str = "token-";

/// What a request needs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AccessLevel {
    /// The token, unless reading is open.
    LocalRead,
    /// The token, unless the program is one of the same user.
    LocalControl,
    /// The token.
    Token,
}

/// Why a request is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// It came by another host name.
    Host,
    /// It came from a page that is not let in.
    Origin,
    /// It shows no token, or a wrong one.
    Token,
    /// It came from afar, and is for programs of this machine.
    Remote,
}

/// The rules.
pub(super) struct RequestGuard {
    pub(super) allowed_hosts: Vec<String>,
    pub(super) allowed_origins: Vec<String>,
    pub(super) local_read: bool,
    pub(super) token: ApiToken,
}

impl RequestGuard {
    /// Whether a request that came by TCP to the address `local` is let in, as far as its fields tell; and the origin that may read
    /// the response.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check_source<'a>(
        &self,
        uri: &Uri,
        fields: &'a HeaderMap,
        local: IpAddr,
    ) -> Result<Option<&'a str>, Refusal> {
        let mut hosts = fields.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or(Refusal::Host)?;
        let named = uri.authority().map(Authority::as_str);
        let is_ours = |host: &str| self.is_allowed_host(host, local);
        if hosts.next().is_some() || !is_ours(host) || !named.is_none_or(is_ours) {
            return Err(Refusal::Host);
        }
        let mut origins = fields.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(None) };
        let origin = origin.to_str().map_err(|_| Refusal::Origin)?;
        // The API's own pages; its host name was checked above.
        let scheme = if local.is_loopback() { "http://" } else { "https://" };
        let is_own = origin.strip_prefix(scheme).is_some_and(|authority| authority == host);
        let is_listed = self.allowed_origins.iter().any(|pattern| matches_origin(pattern, origin));
        if origins.next().is_some() || !(is_own || is_listed) {
            Err(Refusal::Origin)
        } else {
            Ok(Some(origin))
        }
    }

    /// Whether a request that an agent of this process forwards is let in: by one of `hosts`, the names by which relays lead to the
    /// dashboard, or by a name of the machine where somebody has forwarded it to a port. A page there says that it is of that name.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check_forwarded(&self, fields: &HeaderMap, hosts: &[String]) -> Result<(), Refusal> {
        let mut named = fields.get_all(HOST).iter();
        let host = named.next().and_then(|host| host.to_str().ok()).ok_or(Refusal::Host)?;
        let name = without_port(host);
        // No other server is ever asked for these (RFC 6761 section 6.3).
        let is_local = name.to_ascii_lowercase().ends_with(".localhost");
        let is_ours = is_local
            || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
            || self.is_allowed_host(host, IpAddr::V4(Ipv4Addr::LOCALHOST));
        if named.next().is_some() || !is_ours {
            return Err(Refusal::Host);
        }
        let is_own = |origin: &HeaderValue| {
            let origin = origin.to_str().unwrap_or_default();
            let authority = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        };
        if fields.get_all(ORIGIN).iter().all(is_own) { Ok(()) } else { Err(Refusal::Origin) }
    }

    /// Whether a request may do what needs `level`. One that came from another machine, which is not `is_local`, always needs the
    /// token. `is_same_user` says whether its program is one of this user; it is asked only
    /// where that would help.
    ///
    /// # Errors
    /// The token is needed, and not shown.
    pub(super) fn check_access(
        &self,
        level: AccessLevel,
        fields: &HeaderMap,
        is_local: bool,
        is_same_user: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        if let Some(shown) = shown_token(fields) {
            return if self.token.matches(shown) { Ok(()) } else { Err(Refusal::Token) };
        }
        let is_open = match level {
            AccessLevel::LocalRead => self.local_read,
            AccessLevel::LocalControl => !is_from_browser(fields) && is_same_user(),
            AccessLevel::Token => false,
        };
        if is_open && is_local { Ok(()) } else { Err(Refusal::Token) }
    }

    /// A name leads wherever its owner wants, and an address to itself.
    fn is_allowed_host(&self, authority: &str, local: IpAddr) -> bool {
        let host = without_port(authority);
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost")
            || literal.parse().is_ok_and(|ip: IpAddr| ip.is_loopback() || ip == local)
            || self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// `authority` without the port, if it has one.
fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => &authority[..at],
        _ => authority,
    }
}

/// Whether an origin is one that `pattern` names. A `*` at its end stands for any port, the scheme's own too.
fn matches_origin(pattern: &str, origin: &str) -> bool {
    let Some(prefix) = pattern.strip_suffix(":*") else { return pattern.eq_ignore_ascii_case(origin) };
    let Some(rest) =
        origin.get(prefix.len()..).filter(|_| origin[..prefix.len()].eq_ignore_ascii_case(prefix))
    else {
        return false;
    };
    rest.is_empty()
        || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

fn is_from_browser(fields: &HeaderMap) -> bool {
    fields.contains_key(ORIGIN) || fields.contains_key(SEC_FETCH_SITE)
}

/// The token that a request shows, in a field or as a subprotocol.
fn shown_token(fields: &HeaderMap) -> Option<&str> {
    if let Some(field) = fields.get(AUTHORIZATION) {
        // One that is not understood is a wrong one.
        let shown = field.to_str().ok().and_then(|field| field.split_once(' '));
        return Some(
            shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token),
        );
    }
    token_protocol(fields).and_then(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL))
}

/// The subprotocol that carries the token, which the answer must repeat.
pub(super) fn token_protocol(fields: &HeaderMap) -> Option<&str> {
    let offered = fields.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|field| field.to_str().ok());
    offered
        .flat_map(|field| field.split(','))
        .map(str::trim)
        .find(|protocol| protocol.starts_with(TOKEN_PROTOCOL))
}

/// The secret of the API, never shown.
pub(super) struct ApiToken(Zeroizing<String>);

impl ApiToken {
    /// Random bytes of a new one.
    const BYTES: usize = 32;

    /// One that nobody knows yet.
    pub(super) fn generate() -> Self {
        let seed = Zeroizing::new(hvym_tunnel_net::clock::seed());
        Self(Zeroizing::new(BASE64URL_NOPAD.encode(&seed[..Self::BYTES])))
    }

    /// That of a file; `None` if it is too short to be one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_one = text.len() >= Self::BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_one.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    fn matches(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "an-api-token-of-thirty-two-bytes";
    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const LAN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5));

    fn guard() -> RequestGuard {
        RequestGuard {
            allowed_hosts: vec!["box.lan".to_owned()],
            allowed_origins: vec![
                "http://localhost:*".to_owned(),
                "https://app.cloudtolocalllm.online".to_owned(),
            ],
            local_read: true,
            token: ApiToken::parse(TOKEN).expect("long enough"),
        }
    }

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
            })
            .collect()
    }

    fn source(pairs: &[(&'static str, &str)]) -> Result<Option<String>, Refusal> {
        let fields = fields(pairs);
        let uri = Uri::from_static("/api/status");
        guard().check_source(&uri, &fields, LOCAL).map(|origin| origin.map(str::to_owned))
    }

    #[test]
    fn only_host_names_of_this_machine_and_those_listed_are_let_in() {
        for host in [
            "localhost:8765",
            "LOCALHOST",
            "127.0.0.1:8765",
            "127.9.9.9",
            "[::1]:8765",
            "[::1]",
            "box.lan:1",
            "Box.lan",
        ] {
            assert_eq!(source(&[("host", host)]), Ok(None), "{host}");
        }
        for host in [
            "evil.example:8765",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "[::2]:8765",
            "0.0.0.0",
            "xbox.lan",
        ] {
            assert_eq!(source(&[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(source(&[]), Err(Refusal::Host));
        let mut twice = fields(&[("host", "localhost")]);
        twice.append(HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(guard().check_source(&Uri::from_static("/"), &twice, LOCAL), Err(Refusal::Host));
        let absolute = Uri::from_static("http://evil.example/api/status");
        let named = fields(&[("host", "localhost")]);
        assert_eq!(guard().check_source(&absolute, &named, LOCAL), Err(Refusal::Host));
    }

    #[test]
    fn other_machines_come_by_the_address_and_see_pages_of_it() {
        let source = |pairs: &[(&'static str, &str)]| {
            let (fields, uri) = (fields(pairs), Uri::from_static("/"));
            guard().check_source(&uri, &fields, LAN).is_ok()
        };
        assert!(source(&[("host", "192.168.1.5:8765")]) && !source(&[("host", "192.168.1.6:8765")]));
        assert!(source(&[("host", "192.168.1.5:8765"), ("origin", "https://192.168.1.5:8765")]));
        assert!(!source(&[("host", "192.168.1.5:8765"), ("origin", "http://192.168.1.5:8765")]));
        assert!(!source(&[("host", "192.168.1.5:8765"), ("origin", "https://192.168.1.6:8765")]));
    }

    #[test]
    fn only_pages_of_listed_origins_and_our_own_are_let_in() {
        let of = |origin| source(&[("host", "127.0.0.1:8765"), ("origin", origin)]).is_ok();
        for origin in [
            "http://localhost:3000",
            "http://localhost",
            "https://app.cloudtolocalllm.online",
            "http://127.0.0.1:8765",
        ] {
            assert!(of(origin), "{origin}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://localhost:3000.evil.example",
            "http://localhost:",
            "http://localhost:+1",
            "http://localhost:99999",
            "http://localhost:*",
            "https://localhost:3000",
            "http://127.0.0.1:8766",
            "https://app.cloudtolocalllm.online.evil.example",
            "https://127.0.0.1:8765",
            "http://127.0.0.1",
        ] {
            assert!(!of(origin), "{origin}");
        }
    }

    #[test]
    fn what_an_agent_forwards_comes_by_a_name_of_the_dashboard_and_from_its_own_page() {
        let hosts = ["manager--abc.tunnel.example".to_owned()];
        let check = |pairs: &[(&'static str, &str)]| guard().check_forwarded(&fields(pairs), &hosts);
        for host in [
            "manager--abc.tunnel.example",
            "Manager--abc.Tunnel.example:8443",
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "manager--abc.localhost:4896",
            "box.lan",
        ] {
            assert_eq!(check(&[("host", host)]), Ok(()), "{host}");
            for scheme in ["http", "https"] {
                let own = format!("{scheme}://{host}");
                assert_eq!(check(&[("host", host), ("origin", &own)]), Ok(()), "{own}");
            }
            for origin in ["null", "", "https://evil.example", "https://web--abc.tunnel.example", host] {
                let refused = check(&[("host", host), ("origin", origin)]);
                assert_eq!(refused, Err(Refusal::Origin), "{host} {origin}");
            }
        }
        for host in [
            "evil.example:8080",
            "manager--abc.evil.example:8080",
            "manager--abd.tunnel.example",
            "localhost.evil.example",
            "",
        ] {
            assert_eq!(check(&[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(check(&[]), Err(Refusal::Host));
    }

    #[test]
    fn what_changes_something_needs_the_token() {
        let check = |level, pairs: &[(&'static str, &str)], is_same_user| {
            guard().check_access(level, &fields(pairs), true, || is_same_user).is_ok()
        };
        let bearer = format!("Bearer {TOKEN}");
        let shown: [(&'static str, &str); 1] = [("authorization", &bearer)];
        let protocol = format!("hvym, token-{TOKEN}");
        for level in [AccessLevel::LocalRead, AccessLevel::LocalControl, AccessLevel::Token] {
            assert!(check(level, &shown, false), "{level:?}");
            assert!(check(level, &[("sec-websocket-protocol", &protocol)], false));
            for wrong in ["Bearer x", "Basic abc", "Bearer", ""] {
                assert!(!check(level, &[("authorization", wrong)], true), "{level:?} {wrong}");
            }
        }
        assert!(check(AccessLevel::LocalRead, &[], false));
        assert!(!check(AccessLevel::Token, &[], true));
        assert!(check(AccessLevel::LocalControl, &[], true) && !check(AccessLevel::LocalControl, &[], false));
        for page in [("origin", "http://localhost:3000"), ("sec-fetch-site", "same-origin")] {
            assert!(!check(AccessLevel::LocalControl, &[page], true), "a page is no program of its user");
        }
        let closed = RequestGuard { local_read: false, ..guard() };
        let refused = Err(Refusal::Token);
        assert_eq!(closed.check_access(AccessLevel::LocalRead, &fields(&[]), true, || true), refused);
        let from_another = |level, pairs: &[(&'static str, &str)]| {
            guard().check_access(level, &fields(pairs), false, || true)
        };
        assert_eq!(from_another(AccessLevel::LocalRead, &[]), refused);
        assert_eq!(from_another(AccessLevel::LocalControl, &[]), refused);
        assert_eq!(from_another(AccessLevel::Token, &shown), Ok(()));
    }

    #[test]
    fn a_token_is_long_enough_and_of_visible_characters() {
        assert!(ApiToken::parse(&format!(" {TOKEN}\n")).is_some_and(|token| token.text() == TOKEN));
        for wrong in ["", &TOKEN[1..], "an api token of thirty-two bytes."] {
            assert!(ApiToken::parse(wrong).is_none(), "{wrong}");
        }
        assert_ne!(ApiToken::generate().text(), ApiToken::generate().text());
    }
}
