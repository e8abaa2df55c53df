//! Who asks, and how services are told: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! A visitor's own claims are worth nothing. A proxy that the operator trusts is believed for the visitor it saw, and
//! so on along the chain; what stands before the first address nobody vouches for is a claim again.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Hops that are believed and passed on. Real chains have three or four; each costs bytes in every request.
const MAX_HOPS: usize = 16;

/// Who asks, as the relay itself saw it or a trusted proxy says.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The visitor, then every trusted proxy on the way, the one that connected to us last.
    chain: Vec<IpAddr>,
    /// `http` or `https`: what the visitor used.
    pub(super) scheme: &'static str,
}

impl Origin {
    /// Who is behind a request with these fields, that came from `peer` by `scheme`.
    pub(super) fn new(peer: IpAddr, scheme: &'static str, fields: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |hop: &IpAddr| trusted.iter().any(|net| net.contains(hop));
        let mut nearest = peer.to_canonical();
        let mut chain = vec![nearest];
        if !is_trusted(&nearest) {
            return Self { chain, scheme };
        }
        let mut told = hops(fields);
        while is_trusted(&nearest)
            && chain.len() < MAX_HOPS
            && let Some(Some(hop)) = told.pop()
        {
            nearest = hop;
            chain.push(hop);
        }
        chain.reverse();
        Self { chain, scheme: proto(fields).unwrap_or(scheme) }
    }

    /// Says who asks, in both spellings that services know.
    pub(super) fn introduce(&self, headers: &mut HeaderMap, host: &str) {
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

/// The members of a comma-separated field, from all its lines.
fn members<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let texts = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).collect()
}

/// Whom the proxies saw, the nearest last. `None` is what is no address.
fn hops(fields: &HeaderMap) -> Vec<Option<IpAddr>> {
    if fields.contains_key(FORWARDED_FOR) {
        return members(fields, &FORWARDED_FOR).into_iter().map(address).collect();
    }
    let elements = members(fields, &FORWARDED).into_iter();
    elements.map(|element| address(parameter(element, "for")?)).collect()
}

/// What the nearest proxy says the visitor used.
fn proto(fields: &HeaderMap) -> Option<&'static str> {
    let told = members(fields, &FORWARDED_PROTO).pop();
    let told = told.or_else(|| {
        members(fields, &FORWARDED).into_iter().find_map(|element| parameter(element, "proto"))
    })?;
    ["http", "https"].into_iter().find(|scheme| told.eq_ignore_ascii_case(scheme))
}

/// One parameter of an element of `Forwarded`, without its quotes.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
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
        let origin = Origin::new(peer.parse().expect("an address"), "http", &headers, &trusted);
        let mut said = HeaderMap::new();
        origin.introduce(&mut said, "h");
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
    fn a_chain_has_an_end() {
        let long = vec!["10.0.0.1"; 1000].join(",");
        let said = told("10.0.0.1", &[("x-forwarded-for", &long)]);
        assert_eq!(said[FORWARDED_FOR].to_str().expect("text").split(',').count(), MAX_HOPS);
    }
}
