//! URLs of servers that a relay asks or tells something. Reads nothing from them.

use std::fmt;

use http::Uri;
use hvym_tunnel_net::target::is_loopback_host;

/// An `http` or `https` URL without a query and without a password, so that it may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    text: String,
    dialed: String,
    host: String,
    path: String,
    is_confidential: bool,
}

impl HttpUrl {
    /// `None`: it is none, or has a query, a password or no host.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = match uri.scheme_str()? {
            "https" => "wss",
            "http" => "ws",
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        if authority.contains('@') || host.is_empty() || uri.query().is_some() {
            return None;
        }
        Some(Self {
            text: text.to_owned(),
            dialed: format!("{scheme}://{authority}/"),
            host: authority.to_owned(),
            path: uri.path().to_owned(),
            is_confidential: scheme == "wss" || is_loopback_host(&host),
        })
    }

    /// Whether nobody on the way can read or change what is said: TLS, or a server of this machine.
    pub const fn is_confidential(&self) -> bool {
        self.is_confidential
    }

    /// Where it is dialed, in the form that relays are dialed by.
    pub(crate) fn dialed(&self) -> &str {
        &self.dialed
    }

    /// `host` or `host:port`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its path, `/` at least.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_of_http_and_a_host_and_nothing_secret() {
        let url = HttpUrl::parse("https://hooks.example:8443/in/").expect("a URL");
        assert_eq!(
            (url.dialed(), url.host(), url.path()),
            ("wss://hooks.example:8443/", "hooks.example:8443", "/in/")
        );
        assert_eq!(HttpUrl::parse("http://127.0.0.1").expect("a URL").path(), "/");
        for wrong in ["hooks.example", "ftp://a", "https://", "https://a:b@c/", "https://a/?key=1", ""] {
            assert_eq!(HttpUrl::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_said_without_tls_is_confidential_on_this_machine_alone() {
        for (text, expected) in [
            ("https://login.example/keys", true),
            ("http://LOCALHOST:8080/keys", true),
            ("http://127.0.0.1/keys", true),
            ("http://[::1]:1/keys", true),
            ("http://login.example/keys", false),
            ("http://localhost.example/keys", false),
            ("http://192.168.0.1/keys", false),
        ] {
            assert_eq!(HttpUrl::parse(text).map(|url| url.is_confidential()), Some(expected), "{text}");
        }
    }
}
