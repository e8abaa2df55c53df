//! Where a relay tells that agents come and go.

use std::fmt;

use http::Uri;
use hvym_tunnel_net::secret::Secret;

/// A receiver of notices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookOptions {
    /// Notices are posted to `/api/tunnel/connected` and `/api/tunnel/disconnected` below it.
    pub url: WebhookUrl,
    /// What they are signed with (HMAC-SHA256); `None`: not at all.
    pub secret: Option<Secret>,
}

/// An `http` or `https` URL without a query.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    text: String,
    dialed: String,
    host: String,
    path: String,
}

impl WebhookUrl {
    /// `None`: it is none, or has a query, a password or no host.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = match uri.scheme_str()? {
            "https" => "wss",
            "http" => "ws",
            _ => return None,
        };
        let host = uri.authority()?.as_str();
        if host.contains('@') || uri.host()?.is_empty() || uri.query().is_some() {
            return None;
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        Some(Self {
            text: text.to_owned(),
            dialed: format!("{scheme}://{host}/"),
            host: host.to_owned(),
            path,
        })
    }

    /// Where it is dialed, in the form that relays are dialed by.
    pub(crate) fn dialed(&self) -> &str {
        &self.dialed
    }

    /// `host` or `host:port`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its path, without a slash at the end.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_of_http_and_a_host_and_nothing_secret() {
        let url = WebhookUrl::parse("https://hooks.example:8443/in/").expect("a URL");
        assert_eq!(
            (url.dialed(), url.host(), url.path()),
            ("wss://hooks.example:8443/", "hooks.example:8443", "/in")
        );
        assert_eq!(WebhookUrl::parse("http://127.0.0.1").expect("a URL").path(), "");
        for wrong in ["hooks.example", "ftp://a", "https://", "https://a:b@c/", "https://a/?key=1", ""] {
            assert_eq!(WebhookUrl::parse(wrong), None, "{wrong}");
        }
    }
}
