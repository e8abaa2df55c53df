//! A proxy for connections to the relay: the one that the environment names, and a TCP connection through it.
//!
//! Knows no WebSocket and no TLS: both run over the connection as over a direct one. Passwords are never logged.

mod bypass;
mod http_connect;
mod socks;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use zeroize::Zeroizing;

use super::error_text::words;
use super::host_connect::HostConnectError;
use super::tcp::Tcp;
use super::timeout::within;
use crate::target::{RelayUrl, authority, host_and_port};

/// Timeout of a connection through a proxy: name, connection and its own connection to the relay. Shorter than a
/// whole dial, so that the error names the proxy.
const PROXY_TIMEOUT: Duration = Duration::from_secs(15);

/// The protocol of a proxy.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// HTTP with `CONNECT` (RFC 9110 section 9.3.6).
    Http,
    /// SOCKS version 5 (RFC 1928).
    Socks5 {
        /// Whether the proxy resolves the relay's name (`socks5h`) and not this machine (`socks5`).
        resolves: bool,
    },
}

/// A user name and a password.
struct Login {
    user: String,
    password: Zeroizing<String>,
}

/// A proxy that is set in the environment.
#[derive(Clone)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    login: Option<Arc<Login>>,
    /// The variable that names it.
    variable: &'static str,
}

/// Without the login.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where it is and who named it, for a sentence.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} (from {})", authority(&self.host, self.port), self.variable)
    }
}

/// A variable that names no proxy. Its value is not repeated: it may hold a password.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "{0} names no proxy that I can use: write http://host:port, socks5://host:port or socks5h://host:port"
)]
pub struct NotAProxy(pub &'static str);

/// Why there is no way through a proxy.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ProxyError {
    /// It cannot be connected to.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// It did not answer within the timeout.
    #[error("{0} did not answer within {limit} s", limit = PROXY_TIMEOUT.as_secs())]
    Silent(String),
    /// It requires credentials.
    #[error("{0} wants a user name and a password: set them there, as in http://user:password@host:port")]
    LoginWanted(String),
    /// It refused the credentials.
    #[error("{0} does not accept the user name and password that are set there")]
    LoginRefused(String),
    /// It refused the destination.
    #[error("{0} does not connect to {1}: {2}")]
    Refused(String, String, String),
    /// It sent an invalid response.
    #[error("{0} is no such proxy: {1}")]
    Foreign(String, String),
}

/// The result of a handshake with a proxy, without its context.
#[derive(Debug)]
enum ProxyFault {
    Io(io::Error),
    LoginWanted,
    LoginRefused,
    Refused(String),
    Foreign(&'static str),
}

impl From<io::Error> for ProxyFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ProxyFault::Foreign("it closed the connection without an answer"),
            _ => ProxyFault::Io(error),
        }
    }
}

/// The variables for a relay that is reached by TLS, or not, in the order of their rank. Lower case comes first, as in curl.
fn variables(tls: bool) -> [&'static str; 4] {
    let [lower, upper] = if tls { ["https_proxy", "HTTPS_PROXY"] } else { ["http_proxy", "HTTP_PROXY"] };
    [lower, upper, "all_proxy", "ALL_PROXY"]
}

impl Proxy {
    /// The proxy that the variables name for `relay`; `None` is the direct way, which a relay on this machine always gets.
    ///
    /// # Errors
    /// The variable that counts names none.
    pub fn from_variables(
        relay: &RelayUrl,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, NotAProxy> {
        if relay.is_loopback() {
            return Ok(None);
        }
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let excepted = set("no_proxy").or_else(|| set("NO_PROXY"));
        if excepted.is_some_and(|list| bypass::lists(&list, &relay.host, relay.port)) {
            return Ok(None);
        }
        let named = variables(relay.tls).into_iter().find_map(|name| Some((name, set(name)?)));
        named.map(|(name, value)| Self::parse(name, &value).ok_or(NotAProxy(name))).transpose()
    }

    fn parse(variable: &'static str, text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (kind, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Kind::Http, 80),
            // Desktops write the first.
            "socks" | "socks5" => (Kind::Socks5 { resolves: false }, 1080),
            "socks5h" => (Kind::Socks5 { resolves: true }, 1080),
            _ => return None,
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(Self::login(login)?), place),
            None => (None, rest),
        };
        let (host, port) = host_and_port(place, Some(usual_port)).ok()?;
        Some(Self { kind, host, port, login, variable })
    }

    fn login(text: &str) -> Option<Arc<Login>> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        Some(Arc::new(Login { user: decoded(user)?, password: Zeroizing::new(decoded(password)?) }))
    }

    /// A TCP connection to `host` and `port` through the proxy, without delay.
    ///
    /// # Errors
    /// Why there is none, for a person.
    pub async fn connect(&self, host: &str, port: u16) -> Result<Tcp, ProxyError> {
        let way = within(PROXY_TIMEOUT, self.open(host, port)).await;
        way.unwrap_or_else(|| Err(ProxyError::Silent(self.to_string())))
    }

    async fn open(&self, host: &str, port: u16) -> Result<Tcp, ProxyError> {
        let tcp = super::host_connect::connect(&self.host, self.port, None).await;
        let unreachable = |error: HostConnectError| words(&error.into());
        let (mut tcp, _) = tcp.map_err(|e| ProxyError::Unreachable(self.to_string(), unreachable(e)))?;
        let login = self.login.as_deref();
        let opened = match self.kind {
            Kind::Http => http_connect::open(&mut tcp, host, port, login).await,
            Kind::Socks5 { resolves } => socks::open(&mut tcp, host, port, resolves, login).await,
        };
        opened.map(|()| tcp).map_err(|fault| self.explain(fault, authority(host, port)))
    }

    fn explain(&self, fault: ProxyFault, place: String) -> ProxyError {
        let proxy = self.to_string();
        match fault {
            ProxyFault::Io(error) => ProxyError::Unreachable(proxy, words(&error)),
            ProxyFault::LoginWanted => ProxyError::LoginWanted(proxy),
            ProxyFault::LoginRefused => ProxyError::LoginRefused(proxy),
            ProxyFault::Refused(why) => ProxyError::Refused(proxy, place, why),
            ProxyFault::Foreign(what) => ProxyError::Foreign(proxy, what.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(relay: &str, set: &[(&str, &str)]) -> Result<Option<String>, NotAProxy> {
        let relay: RelayUrl = relay.parse().expect("a relay");
        let variable =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let proxy = Proxy::from_variables(&relay, variable)?;
        Ok(proxy.map(|proxy| format!("{}:{} {:?} {}", proxy.host, proxy.port, proxy.kind, proxy.variable)))
    }

    #[test]
    fn the_variable_that_fits_the_relay_best_counts() {
        let all = [
            ("ALL_PROXY", "socks5h://all"),
            ("HTTPS_PROXY", "http://upper:3128"),
            ("https_proxy", "lower:3128/"),
            ("HTTP_PROXY", "http://plain"),
        ];
        for (relay, set, expected) in [
            ("wss://relay.example", &all[..], Some("lower:3128 Http https_proxy")),
            ("wss://relay.example", &all[..2], Some("upper:3128 Http HTTPS_PROXY")),
            ("ws://relay.example", &all[..], Some("plain:80 Http HTTP_PROXY")),
            ("ws://relay.example", &all[..2], Some("all:1080 Socks5 { resolves: true } ALL_PROXY")),
            (
                "wss://relay.example",
                &[("https_proxy", ""), all[0]],
                Some("all:1080 Socks5 { resolves: true } ALL_PROXY"),
            ),
            ("wss://relay.example", &[all[0], ("no_proxy", "example")], None),
            ("wss://relay.example", &[], None),
            ("ws://localhost:4896", &all[..], None),
            ("ws://127.0.0.1:4896", &all[..], None),
        ] {
            assert_eq!(named(relay, set), Ok(expected.map(str::to_owned)), "{relay} {set:?}");
        }
    }

    #[test]
    fn a_value_that_names_no_proxy_is_an_error_that_does_not_repeat_it() {
        for value in [
            "https://u:hunter2@proxy",
            "ftp://proxy",
            "http://u:hunter2@",
            "http://proxy:0",
            "http://a:%ff@b",
        ] {
            let error = named("wss://relay.example", &[("HTTPS_PROXY", value)]).expect_err(value);
            assert_eq!(error, NotAProxy("HTTPS_PROXY"));
            assert!(!error.to_string().contains("hunter2"));
        }
        // Variables that do not apply are not checked.
        assert_eq!(named("ws://localhost", &[("ALL_PROXY", "nonsense://")]), Ok(None));
    }

    #[test]
    fn a_login_is_decoded_and_never_shown() {
        let proxy = Proxy::parse("ALL_PROXY", "socks5://us%40er:hun%3Ater2@[::1]:9").expect("a proxy");
        let login = proxy.login.clone().expect("a login");
        assert_eq!((login.user.as_str(), login.password.as_str()), ("us@er", "hun:ter2"));
        assert_eq!((proxy.host.as_str(), proxy.port), ("::1", 9));
        assert!(!format!("{proxy:?} {proxy}").contains("er2"));
    }
}
