//! The fields that tell a service who its visitor is, written once for all requests of a connection.

use alloc::string::String;
use core::fmt::Write as _;
use core::net::IpAddr;
use core::ops::Range;

use super::client_info::{ClientInfo, UrlScheme};
use crate::syntax::is_token;

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
        out.push_str("X-Forwarded-For: ");
        for (at, hop) in client.chain().iter().enumerate() {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "{}{hop}", if at == 0 { "" } else { ", " });
        }
        out.push_str("\r\nX-Forwarded-Host: ");
        self.host = out.len()..out.len() + host.len();
        let port = port(host).unwrap_or(scheme.default_port());
        let _ =
            write!(out, "{host}\r\nX-Forwarded-Port: {port}\r\nX-Forwarded-Proto: {}\r\n", scheme.as_str());
        out.push_str("Forwarded: ");
        for (at, hop) in client.chain().iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            let _ = match hop {
                IpAddr::V4(hop) => write!(out, "{separator}for={hop}"),
                IpAddr::V6(hop) => write!(out, "{separator}for=\"[{hop}]\""),
            };
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
