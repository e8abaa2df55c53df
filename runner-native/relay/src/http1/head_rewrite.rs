//! Rewrites the heads of requests and responses between visitor and service.
//!
//! Path, query, `Host` and every end-to-end field are kept. It knows no stream and no session. No `Via` is added,
//! because some servers stop compressing for requests with one.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery};
use http::{StatusCode, Uri, Version, request, response};
use hvym_http1::{
    ForwardedBlock, HOP_BY_HOP, MessageKind, content_length, is_reserved_field, list_members,
    without_shared_domain,
};
use thiserror::Error;

/// Why a request names no host (RFC 9112 section 3.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum HostError {
    /// There is none, or it is no text.
    #[error("the request names no host")]
    Missing,
    /// The host is ambiguous.
    #[error("the request names more than one host")]
    Several,
}

/// The host a request is for. In HTTP/1.1 an absolute target beats the `Host` field, and replaces it (RFC 9112
/// section 3.2.2); in HTTP/2 it is `:authority`, from which `Host` must not differ (RFC 9113 section 8.3.1).
pub(crate) fn settle_host(head: &mut request::Parts) -> Result<String, HostError> {
    let mut named = head.headers.get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return Err(HostError::Several);
    }
    let Some(authority) = head.uri.authority().map(without_user) else {
        let host = first.and_then(|value| value.to_str().ok()).filter(|host| !host.is_empty());
        return host.map(str::to_owned).ok_or(HostError::Missing);
    };
    let differs = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if head.version == Version::HTTP_2 && first.is_some_and(differs) {
        return Err(HostError::Several);
    }
    let value = HeaderValue::try_from(&authority).map_err(|_| HostError::Missing)?;
    head.headers.insert(HOST, value);
    Ok(authority)
}

fn without_user(authority: &Authority) -> String {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
}

/// Rewrites a visitor's head for the service. Returns the protocol of the upgrade, if one is requested.
pub(crate) fn rewrite_request(head: &mut request::Parts, forwarded: &ForwardedBlock) -> Option<HeaderValue> {
    let upgrade = upgrade(&head.headers).filter(|_| head.version == Version::HTTP_11);
    let trailers = lists(&head.headers, &TE, "trailers");
    let chunked = head.headers.contains_key(TRANSFER_ENCODING);
    strip(&mut head.headers, MessageKind::Request);
    let lengths = head.headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    match content_length(lengths) {
        // Both together indicate request smuggling (RFC 9112 section 6.1).
        _ if chunked => drop(head.headers.remove(CONTENT_LENGTH)),
        // Equal lengths become one.
        Ok(Some(length)) => drop(head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
        Ok(None) | Err(_) => {}
    }
    remove_claims(&mut head.headers);
    if let Some(protocol) = &upgrade {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol.clone());
    } else if trailers {
        head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(&mut head.headers);
    for (name, value) in forwarded.fields() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            head.headers.insert(name, value);
        }
    }
    head.version = Version::HTTP_11;
    let target = head.uri.path_and_query().cloned();
    head.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    upgrade
}

/// Rewrites a visitor's trailers for the service: without the fields that are removed from heads, and without framing
/// fields (RFC 9110 section 6.5.1).
pub(crate) fn toward_service_last(trailers: &mut HeaderMap) {
    strip(trailers, MessageKind::Request);
    remove_claims(trailers);
    for name in [CONTENT_LENGTH, HOST, TRAILER, COOKIE, http::header::AUTHORIZATION] {
        trailers.remove(name);
    }
}

/// HTTP/2 may cut cookies into several fields, which HTTP/1.1 must see as one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, whole);
    }
}

/// Rewrites a service's head for the visitor. Cookies for all hosts below `relay_domain` become cookies of one.
pub(crate) fn rewrite_response(head: &mut response::Parts, relay_domain: &str) {
    // Both statuses are about an upgrade, and say nothing without the field.
    let keeps = matches!(head.status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED);
    let protocol = head.headers.get(UPGRADE).filter(|_| keeps).cloned();
    strip(&mut head.headers, MessageKind::Response);
    if let Entry::Occupied(mut cookies) = head.headers.entry(SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            let own = without_shared_domain(cookie.as_bytes(), relay_domain);
            if let Some(own) = own.and_then(|own| HeaderValue::from_bytes(&own).ok()) {
                *cookie = own;
            }
        }
    }
    if let Some(protocol) = protocol {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol);
    }
    head.version = Version::HTTP_11;
}

/// The `Upgrade` field, if `Connection` says that it is meant (RFC 9110 section 7.8). A service that changed to
/// HTTP/2 would be asked by the visitor alone, with nothing of what we say and refuse (RFC 9113 section 3.1).
fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    if !lists(headers, &CONNECTION, "upgrade") || lists(headers, &UPGRADE, "h2c") {
        return None;
    }
    headers.get(UPGRADE).cloned()
}

/// Whether a request wants to leave HTTP with its connection.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> bool {
    upgrade(headers).is_some()
}

/// Whether a comma-separated field lists `token`, in any case, with or without parameters.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let members = |value: &HeaderValue| {
        list_members(value.as_bytes()).any(|member| {
            let word = member.split(|byte| *byte == b';').next().unwrap_or_default();
            word.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
        })
    };
    headers.get_all(name).iter().any(members)
}

/// Removes what ends at this hop: what `Connection` names, then what always does.
fn strip(headers: &mut HeaderMap, kind: MessageKind) {
    let mut named: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for word in list_members(value.as_bytes()) {
            // A message without these is another message; no honest sender names them.
            named.extend(
                HeaderName::from_bytes(word).ok().filter(|n| ![HOST, CONTENT_LENGTH, TRAILER].contains(n)),
            );
        }
    }
    // Between a visitor and a service there is no proxy to log in to, but one may have said what went wrong (RFC 9209). CGI
    // takes `Proxy` for the variable `HTTP_PROXY`.
    named.extend(headers.keys().filter(|name| is_of_proxy(name.as_str(), kind)).cloned());
    for name in named {
        headers.remove(name);
    }
    // `Trailer` stays, because trailer fields are forwarded.
    for name in HOP_BY_HOP.into_iter().filter(|name| *name != "trailer") {
        headers.remove(name);
    }
}

fn is_of_proxy(name: &str, kind: MessageKind) -> bool {
    let is_status = name == "proxy-status" && kind == MessageKind::Response;
    (name == "proxy" || name.starts_with("proxy-")) && !is_status
}

/// Removes the fields that only the relay may set, and those that a service takes for others.
fn remove_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &&HeaderName| is_reserved_field(name.as_str());
    let names: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use hvym_http1::{ClientInfo, UrlScheme};

    use super::*;

    fn head(uri: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn forwarded(host: &str) -> ForwardedBlock {
        let peer = "203.0.113.7".parse().expect("an address");
        let client = ClientInfo::new(peer, UrlScheme::Https, std::iter::empty(), |_| false);
        ForwardedBlock::new(&client, host)
    }

    fn fields(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect()
    }

    #[test]
    fn what_the_connection_names_ends_at_this_hop() {
        let mut head = head(
            "/",
            &[
                ("host", "h"),
                ("connection", "close, X-Private"),
                ("connection", "Host, content-length"),
                ("x-private", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-authorization", "secret"),
                ("te", "gzip"),
                ("content-length", "3"),
                ("accept", "*/*"),
            ],
        );
        assert_eq!(rewrite_request(&mut head, &forwarded("h")), None);
        let left: Vec<&str> =
            head.headers.keys().map(HeaderName::as_str).filter(|name| !name.contains("forwarded")).collect();
        assert_eq!(left, ["host", "content-length", "accept"]);
    }

    #[test]
    fn a_visitor_cannot_say_who_it_is() {
        let mut head = head(
            "/",
            &[
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-for", "10.0.0.2"),
                ("x-forwarded-prefix", "/admin"),
                ("forwarded", "for=10.0.0.1"),
                ("x-real-ip", "10.0.0.1"),
                ("x-original-forwarded-for", "10.0.0.1"),
                ("x-stellar-address", "G"),
                ("x-custom-domain", "d"),
                ("transfer_encoding", "chunked"),
                ("content.length", "3"),
                ("proxy_authorization", "Basic x"),
            ],
        );
        rewrite_request(&mut head, &forwarded("a.example:8080"));
        assert_eq!(
            fields(&head.headers),
            [
                ("x-forwarded-for", "203.0.113.7"),
                ("x-forwarded-host", "a.example:8080"),
                ("x-forwarded-port", "8080"),
                ("x-forwarded-proto", "https"),
                ("forwarded", "for=203.0.113.7;proto=https"),
            ]
        );
    }

    #[test]
    fn path_and_query_stay_byte_for_byte() {
        for target in ["/a%2Fb//c/./..?q=%3F&+=%20", "//x", "/", "/?", "/%zz"] {
            let mut head = head(target, &[("host", "h")]);
            rewrite_request(&mut head, &forwarded("h"));
            assert_eq!(head.uri.to_string(), target);
        }
        let mut absolute = head("http://user@other.example:81/p%2F?q", &[("host", "h")]);
        assert_eq!(settle_host(&mut absolute).as_deref(), Ok("other.example:81"));
        assert_eq!(absolute.headers[HOST], "other.example:81");
        rewrite_request(&mut absolute, &forwarded("other.example:81"));
        assert_eq!(absolute.uri.to_string(), "/p%2F?q");
    }

    #[test]
    fn one_host_is_wanted() {
        assert_eq!(settle_host(&mut head("/", &[])), Err(HostError::Missing));
        assert_eq!(settle_host(&mut head("/", &[("host", "")])), Err(HostError::Missing));
        assert_eq!(settle_host(&mut head("/", &[("host", "a"), ("host", "a")])), Err(HostError::Several));
        assert_eq!(settle_host(&mut head("/", &[("host", "a:1")])).as_deref(), Ok("a:1"));
    }

    #[test]
    fn an_upgrade_is_passed_on_only_when_the_connection_means_it() {
        let mut meant = head("/", &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(rewrite_request(&mut meant, &forwarded("h")), Some(HeaderValue::from_static("websocket")));
        assert_eq!(
            (&meant.headers[CONNECTION], &meant.headers[UPGRADE]),
            (&"upgrade".parse().expect("a value"), &"websocket".parse().expect("a value"))
        );
        for fields in [&[("upgrade", "chat")][..], &[("connection", "Upgrade"), ("upgrade", "chat, h2c")]] {
            let mut stray = head("/", fields);
            assert_eq!(rewrite_request(&mut stray, &forwarded("h")), None);
            assert!(!stray.headers.contains_key(UPGRADE));
        }
    }

    #[test]
    fn an_authority_and_a_host_are_one() {
        let mut same = head("https://a.example/", &[("host", "A.example")]);
        same.version = Version::HTTP_2;
        assert_eq!(settle_host(&mut same).as_deref(), Ok("a.example"));
        let mut other = head("https://a.example/", &[("host", "b.example")]);
        other.version = Version::HTTP_2;
        assert_eq!(settle_host(&mut other), Err(HostError::Several));
    }

    #[test]
    fn crumbs_of_a_cookie_become_one() {
        let mut head = head("/", &[("cookie", "a=1"), ("cookie", "b=2")]);
        rewrite_request(&mut head, &forwarded("h"));
        assert_eq!(head.headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn trailers_cannot_say_what_a_head_may_not() {
        let mut trailers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "6.6.6.6"),
            ("content_length", "3"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("host", "b"),
            ("cookie", "session=1"),
            ("authorization", "Bearer t"),
            ("proxy-authorization", "Basic t"),
            ("trailer", "grpc-status"),
            ("grpc-status", "0"),
        ] {
            trailers.insert(name, HeaderValue::from_static(value));
        }
        toward_service_last(&mut trailers);
        assert_eq!(fields(&trailers), [("grpc-status", "0")]);
    }

    #[test]
    fn equal_lengths_become_one() {
        let mut head = head("/", &[("content-length", "3"), ("content-length", "3, 03"), ("proxy", "evil")]);
        rewrite_request(&mut head, &ForwardedBlock::empty());
        assert_eq!(fields(&head.headers), [("content-length", "3")]);
    }

    #[test]
    fn a_length_beside_chunks_is_dropped() {
        let mut head = head("/", &[("transfer-encoding", "chunked"), ("content-length", "3")]);
        rewrite_request(&mut head, &forwarded("h"));
        assert!(!head.headers.contains_key(CONTENT_LENGTH) && !head.headers.contains_key(TRANSFER_ENCODING));
    }

    #[test]
    fn cookies_of_a_response_stay_separate_and_with_their_host() {
        let response = Response::builder()
            .header("set-cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
            .header("set-cookie", "b=2; Domain=.relay.example; Path=/")
            .header("set-cookie", "c=3; Domain=a.relay.example")
            .header("proxy-status", "a; error=b")
            .header("proxy-authenticate", "Basic")
            .header("connection", "close")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c");
        let mut head = response.body(()).expect("a response").into_parts().0;
        rewrite_response(&mut head, "relay.example");
        assert_eq!(
            fields(&head.headers),
            [
                ("set-cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
                ("set-cookie", "b=2; Path=/"),
                ("set-cookie", "c=3; Domain=a.relay.example"),
                ("proxy-status", "a; error=b"),
            ]
        );
    }
}
