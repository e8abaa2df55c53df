//! The fields that tell a service who its visitor is, written once for all requests of a connection.

use alloc::string::String;
use core::fmt::Write as _;
use core::net::IpAddr;
use core::ops::Range;

use super::client_info::{ClientInfo, UrlScheme};
use crate::syntax::is_token;

/// Room for the names of the fields, port and scheme.
const FIXED_BYTES: usize = 160;
/// Room for an address with what separates it from the next. Longer ones are rare.
const MAX_HOP_BYTES: usize = 24;

/// `X-Forwarded-For`, `-Host`, `-Port`, `-Proto` and `Forwarded` (RFC 7239) as lines of a head.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ForwardedBlock {
    lines: String,
    host: Range<usize>,
}

impl ForwardedBlock {
    /// No fields: a visitor's own are dropped, and none replace them.
    pub const fn empty() -> Self {
        ForwardedBlock { lines: String::new(), host: 0..0 }
    }

    /// The fields of requests by `client` for `host`, which is what [`RequestView::host`](crate::RequestView::host) allows.
    pub fn new(client: &ClientInfo, host: &str) -> Self {
        let mut block = Self::empty();
        let is_line = host.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        block.render(client, if is_line { host } else { "" });
        block
    }

    fn render(&mut self, client: &ClientInfo, host: &str) {
        let out = &mut self.lines;
        let scheme = client.scheme();
        out.reserve(FIXED_BYTES + 2 * (host.len() + MAX_HOP_BYTES * client.chain().len()));
        out.push_str("X-Forwarded-For: ");
        for (at, hop) in client.chain().iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            push_address(*hop, out);
        }
        out.push_str("\r\nX-Forwarded-Host: ");
        self.host = out.len()..out.len() + host.len();
        let port = port(host).unwrap_or(scheme.default_port());
        // Writing to a `String` cannot fail.
        let _ =
            write!(out, "{host}\r\nX-Forwarded-Port: {port}\r\nX-Forwarded-Proto: {}\r\n", scheme.as_str());
        out.push_str("Forwarded: ");
        for (at, hop) in client.chain().iter().enumerate() {
            out.push_str(if at == 0 { "for=" } else { ", for=" });
            let quotes = if hop.is_ipv6() { ["\"[", "]\""] } else { [""; 2] };
            out.push_str(quotes[0]);
            push_address(*hop, out);
            out.push_str(quotes[1]);
            if at == 0 {
                forwarded_host(host, scheme, out);
            }
        }
        out.push_str("\r\n");
    }

    /// The host that these fields name.
    pub fn host(&self) -> &str {
        &self.lines[self.host.clone()]
    }

    /// The fields, each with its line end.
    pub fn as_bytes(&self) -> &[u8] {
        self.lines.as_bytes()
    }

    /// The names and values of the fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.split_terminator("\r\n").filter_map(|line| line.split_once(": "))
    }
}

/// As [`IpAddr`] is displayed. Most are IPv4, which takes a tenth of the time without the formatter.
fn push_address(address: IpAddr, out: &mut String) {
    let IpAddr::V4(address) = address else {
        let _ = write!(out, "{address}");
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push('.');
        }
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                out.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
}

/// Host and scheme are the visitor's, so they stand beside its address. Some services do not know quoted strings (RFC 7239
/// section 4), so a host that needs one, because of its port, is left to `X-Forwarded-Host`.
fn forwarded_host(host: &str, scheme: UrlScheme, out: &mut String) {
    if is_token(host) {
        out.extend([";host=", host]);
    }
    out.extend([";proto=", scheme.as_str()]);
}

/// The port of an authority, if it names one.
fn port(host: &str) -> Option<u16> {
    let (_, port) = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_displayed() {
        let v4 = (0..=u8::MAX).map(|octet| IpAddr::from([octet, 255 - octet, 0, octet]));
        let v6 = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())];
        for address in v4.chain(v6) {
            let mut written = String::from("for=");
            push_address(address, &mut written);
            assert_eq!(written["for=".len()..], address.to_string());
        }
    }
}
