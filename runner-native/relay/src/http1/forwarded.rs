//! The client address and scheme of a request, and the fields that tell services: `X-Forwarded-*` and `Forwarded`
//! (RFC 7239).
//!
//! A visitor's own fields are ignored. A trusted proxy is believed for the address it saw, and so on along the chain
//! up to the first address that is no trusted proxy.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Hops that are used and passed on. Real chains have three or four; each costs bytes in every request.
const MAX_HOPS: usize = 16;

/// The client of a request, as the relay saw it or a trusted proxy reports.
#[derive(Clone, Debug)]
pub(crate) struct ClientInfo {
    /// The visitor, then every trusted proxy on the way, the one that connected to us last.
    chain: Vec<IpAddr>,
    /// `http` or `https`: what the visitor used.
    pub(crate) scheme: &'static str,
    /// Whether the first of the chain is the visitor, and not a trusted proxy that does not say whom it saw.
    is_known: bool,
}

impl ClientInfo {
    /// The client of a request with these fields, which came from `peer` by `scheme`.
    pub(crate) fn new(peer: IpAddr, scheme: &'static str, fields: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |hop: &IpAddr| trusted.iter().any(|net| net.contains(hop));
        let mut nearest = peer.to_canonical();
        let mut chain = vec![nearest];
        if !is_trusted(&nearest) {
            return Self { chain, scheme, is_known: true };
        }
        let elements = elements(fields);
        let mut proto = None;
        for element in elements.iter().rev() {
            if !is_trusted(&nearest) || chain.len() == MAX_HOPS {
                break;
            }
            // Written by a trusted proxy, so its address and its protocol are both believed.
            proto = element.proto;
            let Some(hop) = element.address else { break };
            nearest = hop;
            chain.push(hop);
        }
        chain.reverse();
        Self {
            chain,
            is_known: !is_trusted(&nearest),
            scheme: proto.or_else(|| last_proto(fields).filter(|_| elements.is_empty())).unwrap_or(scheme),
        }
    }

    /// The address of the visitor. `None`: it came by a trusted proxy that does not say whom it saw.
    pub(crate) fn visitor(&self) -> Option<IpAddr> {
        self.chain.first().copied().filter(|_| self.is_known)
    }

    /// Sets the fields in both formats.
    pub(crate) fn add_forwarded(&self, headers: &mut HeaderMap, host: &str) {
        let scheme = self.scheme;
        let mut addresses = String::new();
        let mut forwarded = String::with_capacity(host.len() + 64);
        for (at, hop) in self.chain.iter().enumerate() {
            if at > 0 {
                addresses.push_str(", ");
                forwarded.push_str(", ");
            }
            let address = hop.to_string();
            addresses.push_str(&address);
            let (open, close) = if hop.is_ipv6() { ("for=\"[", "]\"") } else { ("for=", "") };
            forwarded.extend([open, &address, close]);
            if at == 0 {
                // Host and scheme are the visitor's, so they stand beside it.
                forwarded.push_str(";host=\"");
                quote(host, &mut forwarded);
                forwarded.extend(["\";proto=", scheme]);
            }
        }
        let texts = [(FORWARDED_FOR, addresses), (FORWARDED_HOST, host.to_owned()), (FORWARDED, forwarded)];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
}

/// What one proxy says about the request that it received.
struct Element {
    /// `None` if it is hidden, unknown or malformed.
    address: Option<IpAddr>,
    proto: Option<&'static str>,
}

/// What the proxies say, the nearest last: from `X-Forwarded-For` and `X-Forwarded-Proto`, else from `Forwarded`. The two
/// are not mixed, because a proxy that writes one of them may pass on the other as the visitor sent it.
fn elements(fields: &HeaderMap) -> Vec<Element> {
    if fields.contains_key(FORWARDED_FOR) {
        let (addresses, protos) = (members(fields, &FORWARDED_FOR), members(fields, &FORWARDED_PROTO));
        // Some proxies append a protocol for each address, others replace the only one.
        let aligned = protos.len() == addresses.len();
        let proto_at = |at: usize| if aligned { scheme(protos[at]) } else { scheme(protos.last()?) };
        let elements = addresses.iter().enumerate();
        return elements.map(|(at, text)| Element { address: address(text), proto: proto_at(at) }).collect();
    }
    let elements = members(fields, &FORWARDED).into_iter();
    let read = |text| Element {
        address: parameter(text, "for").and_then(address),
        proto: parameter(text, "proto").and_then(scheme),
    };
    elements.map(read).collect()
}

/// The protocol that the nearest proxy names, if it says nothing else.
fn last_proto(fields: &HeaderMap) -> Option<&'static str> {
    scheme(members(fields, &FORWARDED_PROTO).last()?)
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// The members of a comma-separated field, from all its lines.
fn members<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let texts = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| split_unquoted(text, ',')).map(str::trim).collect()
}

/// The parts of `text` between separators that stand outside of quoted strings (RFC 9110 section 5.6.4).
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return character == separator && !quoted,
        }
        false
    })
}

/// One parameter of an element of `Forwarded`, without its quotes.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = split_unquoted(element, ';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"'))
}

/// An address with or without a port and brackets, as proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address: IpAddr = bare.parse().or_else(|_| text.parse().map(|at: SocketAddr| at.ip())).ok()?;
    Some(address.to_canonical())
}

/// Writes text as it stands inside a quoted string (RFC 9110 section 5.6.4).
fn quote(text: &str, into: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        let (plain, special) = rest.split_at(at);
        into.push_str(plain);
        into.push('\\');
        into.push_str(&special[..1]);
        rest = &special[1..];
    }
    into.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "2001:db8::/32"].iter().map(|net| net.parse().expect("a network")).collect();
        let origin = ClientInfo::new(peer.parse().expect("an address"), "http", &headers, &trusted);
        let mut said = HeaderMap::new();
        origin.add_forwarded(&mut said, "h");
        said
    }

    #[test]
    fn an_ipv6_visitor_is_bracketed_and_a_mapped_one_is_ipv4() {
        let v6 = told("2001:db9::1", &[]);
        assert_eq!(v6[FORWARDED], "for=\"[2001:db9::1]\";host=\"h\";proto=http");
        assert_eq!(v6[FORWARDED_FOR], "2001:db9::1");
        assert_eq!(told("::ffff:192.0.2.1", &[])[FORWARDED_FOR], "192.0.2.1");
    }

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        let claims = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")];
        let said = told("192.0.2.1", &claims);
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["192.0.2.1", "http"]);
        let said = told("10.0.0.1", &claims);
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["198.51.100.1, 10.0.0.1", "https"]);
    }

    #[test]
    fn the_visitor_is_the_nearest_one_nobody_vouches_for() {
        let said = told(
            "10.0.0.1",
            &[
                ("x-forwarded-for", "6.6.6.6, 198.51.100.1"),
                ("x-forwarded-for", "10.0.0.3:4711 , [2001:db8::5]:1"),
            ],
        );
        assert_eq!(said[FORWARDED_FOR], "198.51.100.1, 10.0.0.3, 2001:db8::5, 10.0.0.1");
        assert_eq!(
            said[FORWARDED],
            "for=198.51.100.1;host=\"h\";proto=http, for=10.0.0.3, for=\"[2001:db8::5]\", for=10.0.0.1"
        );
        // What is no address ends what can be believed.
        let said = told("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.3")]);
        assert_eq!(said[FORWARDED_FOR], "10.0.0.3, 10.0.0.1");
    }

    #[test]
    fn a_proxy_may_write_the_standard_spelling() {
        let fields = [("forwarded", "for=6.6.6.6, For=\"[2001:DB9::7]:80\";proto=HTTPS;by=10.0.0.9")];
        let said = told("10.0.0.1", &fields);
        assert_eq!(said[FORWARDED_FOR], "2001:db9::7, 10.0.0.1");
        assert_eq!(said[FORWARDED_PROTO], "https");
    }

    #[test]
    fn address_and_protocol_are_those_of_one_element() {
        // The visitor wrote the first element; the trusted proxy appended the second.
        let said = told("10.0.0.1", &[("forwarded", "for=6.6.6.6;proto=https, for=203.0.113.9;proto=http")]);
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["203.0.113.9, 10.0.0.1", "http"]);
        // Of two trusted proxies the outer one saw the visitor.
        let chain = "for=6.6.6.6;proto=http, for=203.0.113.9;proto=https, for=10.0.0.3;proto=http";
        let said = told("10.0.0.1", &[("forwarded", chain)]);
        assert_eq!(
            [&said[FORWARDED_FOR], &said[FORWARDED_PROTO]],
            ["203.0.113.9, 10.0.0.3, 10.0.0.1", "https"]
        );
        // An element without a protocol does not take that of another one.
        let said = told("10.0.0.1", &[("forwarded", "for=6.6.6.6;proto=https, for=203.0.113.9")]);
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["203.0.113.9, 10.0.0.1", "http"]);
        let said = told(
            "10.0.0.1",
            &[("forwarded", "proto=http;for=6.6.6.6"), ("forwarded", "proto=https;for=_hidden")],
        );
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["10.0.0.1", "https"]);
    }

    #[test]
    fn protocols_belong_to_addresses_if_there_is_one_for_each() {
        let fields =
            |protos| [("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.3"), ("x-forwarded-proto", protos)];
        let proto = |protos| told("10.0.0.1", &fields(protos))[FORWARDED_PROTO].clone();
        assert_eq!(proto("http, https, http"), "https");
        assert_eq!(proto("https, http, https"), "http");
        assert_eq!(proto("https"), "https");
        assert_eq!(proto("http, https"), "https");
        assert_eq!(proto("gopher"), "http");
        assert_eq!(told("10.0.0.1", &[("x-forwarded-proto", "https")])[FORWARDED_PROTO], "https");
    }

    #[test]
    fn one_field_is_believed_and_the_other_one_is_the_visitors() {
        let own = ("forwarded", "for=6.6.6.6;proto=https");
        let said = told("10.0.0.1", &[own, ("x-forwarded-for", "203.0.113.9")]);
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["203.0.113.9, 10.0.0.1", "http"]);
        let said =
            told("10.0.0.1", &[("x-forwarded-proto", "https"), ("forwarded", "for=203.0.113.9;proto=http")]);
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["203.0.113.9, 10.0.0.1", "http"]);
    }

    #[test]
    fn a_quoted_host_cannot_begin_an_element() {
        let written = r#"for=203.0.113.9;host="a\", for=6.6.6.6;proto=https";proto=http"#;
        let said = told("10.0.0.1", &[("forwarded", written)]);
        assert_eq!([&said[FORWARDED_FOR], &said[FORWARDED_PROTO]], ["203.0.113.9, 10.0.0.1", "http"]);
    }

    #[test]
    fn a_visitor_is_known_unless_the_nearest_trusted_proxy_says_nothing_of_it() {
        let trusted: [IpNet; 1] = ["10.0.0.0/8".parse().expect("a network")];
        let visitor = |peer: &str, said: &'static str| {
            let mut fields = HeaderMap::new();
            fields.append("x-forwarded-for", HeaderValue::from_static(said));
            let client = ClientInfo::new(peer.parse().expect("an address"), "http", &fields, &trusted);
            client.visitor().map(|ip| ip.to_string())
        };
        assert_eq!(visitor("192.0.2.1", "6.6.6.6").as_deref(), Some("192.0.2.1"));
        assert_eq!(visitor("10.0.0.1", "6.6.6.6, 203.0.113.9").as_deref(), Some("203.0.113.9"));
        assert_eq!(visitor("10.0.0.1", "203.0.113.9, 10.0.0.2").as_deref(), Some("203.0.113.9"));
        for silent in ["unknown", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"] {
            assert_eq!(visitor("10.0.0.1", silent), None, "{silent}");
        }
    }

    #[test]
    fn a_chain_has_an_end() {
        let long = vec!["10.0.0.1"; 1000].join(",");
        let said = told("10.0.0.1", &[("x-forwarded-for", &long)]);
        assert_eq!(said[FORWARDED_FOR].to_str().expect("text").split(',').count(), MAX_HOPS);
    }
}
