//! The client of a request: its address and scheme, as the proxy saw them or as a trusted proxy reports them in
//! `X-Forwarded-*` or `Forwarded` (RFC 7239).
//!
//! A visitor's own fields are ignored. A trusted proxy is believed for the address it saw, and so on along the chain up to
//! the first address that is no trusted proxy.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Hops that are used and passed on. Real chains have three or four; each costs bytes in every request.
const MAX_HOPS: usize = 16;

/// What a visitor used to reach the first proxy.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum UrlScheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl UrlScheme {
    /// As in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            UrlScheme::Http => "http",
            UrlScheme::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            UrlScheme::Http => 80,
            UrlScheme::Https => 443,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [UrlScheme::Http, UrlScheme::Https]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

/// The client of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientInfo {
    chain: Vec<IpAddr>,
    scheme: UrlScheme,
}

impl ClientInfo {
    /// The client of a request with these fields, which came from `peer` by `scheme`.
    pub fn new<'a>(
        peer: IpAddr,
        scheme: UrlScheme,
        fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Self {
        let mut nearest = peer.to_canonical();
        let mut chain = vec![nearest];
        if !is_trusted(nearest) {
            return Self { chain, scheme };
        }
        let elements = elements(fields.clone());
        let mut proto = None;
        for element in elements.iter().rev() {
            if !is_trusted(nearest) || chain.len() == MAX_HOPS {
                break;
            }
            // Written by a trusted proxy, so its address and its protocol are both believed.
            proto = element.proto;
            let Some(hop) = element.address else { break };
            nearest = hop;
            chain.push(hop);
        }
        chain.reverse();
        // A proxy may name the protocol and nothing else.
        let alone = || members(fields, "x-forwarded-proto").last().copied().and_then(UrlScheme::parse);
        let named = proto.or_else(|| if elements.is_empty() { alone() } else { None });
        Self { chain, scheme: named.unwrap_or(scheme) }
    }

    /// The visitor's address.
    pub fn address(&self) -> IpAddr {
        self.chain[0]
    }

    /// The visitor's address, then every trusted proxy on the way, the one that connected to us last.
    pub fn chain(&self) -> &[IpAddr] {
        &self.chain
    }

    /// What the visitor used.
    pub const fn scheme(&self) -> UrlScheme {
        self.scheme
    }
}

/// What one proxy says about the request that it received.
struct Element {
    /// `None` if it is hidden, unknown or malformed.
    address: Option<IpAddr>,
    proto: Option<UrlScheme>,
}

/// What the proxies say, the nearest last: from `X-Forwarded-For` and `X-Forwarded-Proto`, else from `Forwarded`. The two
/// are not mixed, because a proxy that writes one of them may pass on the other as the visitor sent it.
fn elements<'a>(mut fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Vec<Element> {
    let all = fields.clone();
    if fields.any(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for")) {
        let addresses = members(all.clone(), "x-forwarded-for");
        let protos = members(all, "x-forwarded-proto");
        // Some proxies append a protocol for each address, others replace the only one.
        let aligned = protos.len() == addresses.len();
        let proto_at = |at: usize| UrlScheme::parse(if aligned { protos[at] } else { protos.last()? });
        let elements = addresses.iter().enumerate();
        return elements.map(|(at, text)| Element { address: address(text), proto: proto_at(at) }).collect();
    }
    let read = |text| Element {
        address: parameter(text, "for").and_then(address),
        proto: parameter(text, "proto").and_then(UrlScheme::parse),
    };
    members(all, "forwarded").into_iter().map(read).collect()
}

/// The members of a comma-separated field, from all its lines.
fn members<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>, name: &str) -> Vec<&'a str> {
    let named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let texts =
        named.filter_map(|(_, value)| core::str::from_utf8(value).ok().filter(|text| text.is_ascii()));
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
