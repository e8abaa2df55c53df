//! What a person may type to name a place: a local target, a service, a relay.
//!
//! Only grammar. Nothing here resolves a name, opens a socket, or knows a default address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use hvym_tunnel_core::stellar::Address;
use thiserror::Error;

/// Where a stream of a service ends: a local HTTP origin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// How to speak to it.
    pub scheme: Scheme,
    /// A host name or an IP address, IPv6 without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// How to speak to a [`Target`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS; `verify: false` (`https+insecure://`) takes any certificate, which is what a development
    /// machine's self-made one needs.
    Https {
        /// Whether the certificate must be valid for the host.
        verify: bool,
    },
}

impl Target {
    /// `host:port`, as a dialer and a `Host` header want it; IPv6 in brackets.
    pub(crate) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// What a person and a visitor are told while nobody answers there.
    pub(crate) fn nothing_listening(&self) -> String {
        format!("nothing is listening on {} (start it; I keep trying)", self.authority())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https { verify: true } => "https",
            Scheme::Https { verify: false } => "https+insecure",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = match text.split_once("://") {
            None if text.starts_with("unix:") || text.starts_with(['/', '.', '~']) => {
                return Err(TargetError::Path);
            }
            None => (Scheme::Http, text),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https { verify: true }, rest),
            Some(("https+insecure", rest)) => (Scheme::Https { verify: false }, rest),
            Some((scheme, _)) => return Err(TargetError::Scheme(scheme.to_owned())),
        };
        // A bare number is a port of this machine, the shortest thing a person can type.
        if !text.contains("://") && !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Target { scheme, host: "localhost".to_owned(), port: port(rest)? });
        }
        let default_port = match (text.contains("://"), scheme) {
            (false, _) => None,
            (true, Scheme::Http) => Some(80),
            (true, Scheme::Https { .. }) => Some(443),
        };
        let (place, path) = split_path(rest);
        if !matches!(path, "" | "/") {
            return Err(TargetError::Place(PlaceError::NoPathAllowed));
        }
        let (host, port) = host_and_port(place, default_port)?;
        Ok(Target { scheme, host, port })
    }
}

/// Why a text is not a target.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum TargetError {
    /// Nothing can be forwarded over this scheme.
    #[error("cannot forward to {0}://. {ACCEPTED}")]
    Scheme(String),
    /// A file, a folder or a Unix socket.
    #[error("files, folders and Unix sockets cannot be exposed. {ACCEPTED}")]
    Path,
    /// The part after the scheme is wrong.
    #[error("{0}. {ACCEPTED}")]
    Place(#[from] PlaceError),
}

/// Closes every message about a target.
const ACCEPTED: &str =
    "Accepted: 3000, host:3000, http://host[:port], https://host[:port], https+insecure://host[:port]";

/// Why a text is not `host:port`.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum PlaceError {
    /// Nothing, or nothing before the port.
    #[error("the host is missing")]
    NoHost,
    /// `host` alone does not say where.
    #[error("the port is missing: write {0}:3000, say")]
    NoPort(String),
    /// Not a number from 1 to 65535.
    #[error("{0:?} is not a port: a port is a number from 1 to 65535")]
    Port(String),
    /// A character that no host name has.
    #[error("{0:?} is not a host name or an IP address")]
    Host(String),
    /// `::1:3000` can be read in two ways.
    #[error("an IPv6 address is written in brackets, as in [::1]:3000")]
    Brackets,
    /// Paths are the visitor's.
    #[error("a path, a query or a fragment has no place here: visitors bring their own")]
    NoPathAllowed,
    /// `user:password@host`; the text is not repeated, for it holds a password.
    #[error("a user name or password has no place in an address")]
    UserInfo,
}

/// The name under which visitors reach a target: one DNS label of 1 to 63 of `a-z`, `0-9` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ServiceName(String);

impl ServiceName {
    /// RFC 1035 section 2.3.4: a label has at most 63 octets.
    pub(crate) const MAX_CHARACTERS: usize = 63;

    /// The name itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match text.len() {
            0 => Err(ServiceNameError::Empty),
            length if length > Self::MAX_CHARACTERS => Err(ServiceNameError::Long),
            _ if !text.bytes().all(allowed) => Err(ServiceNameError::Character),
            _ if text.starts_with('-') || text.ends_with('-') => Err(ServiceNameError::Hyphen),
            Address::CHARACTERS if text.starts_with('g') => Err(ServiceNameError::Address),
            _ => Ok(ServiceName(text.to_owned())),
        }
    }
}

/// Why a text cannot name a service.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum ServiceNameError {
    /// No characters.
    #[error("a service needs a name")]
    Empty,
    /// It would not fit a DNS label.
    #[error("a service name has at most {} characters", ServiceName::MAX_CHARACTERS)]
    Long,
    /// It becomes part of a host name.
    #[error("a service name has only a to z (lower case), 0 to 9 and -")]
    Character,
    /// Host names forbid it.
    #[error("a service name neither starts nor ends with -")]
    Hyphen,
    /// It could be taken for an agent's address in a host name.
    #[error("a service name must not look like an address (56 characters that start with g)")]
    Address,
}

/// One `NAME=TARGET`: the service that visitors ask for, and where it is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Binding {
    /// The name in the public address.
    pub service: ServiceName,
    /// The local place.
    pub target: Target,
}

impl FromStr for Binding {
    type Err = BindingError;

    fn from_str(text: &str) -> Result<Self, BindingError> {
        let (name, target) = text.split_once('=').ok_or(BindingError::NoTarget)?;
        Ok(Binding { service: name.parse()?, target: target.parse()? })
    }
}

/// Why a text is not `NAME=TARGET`.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum BindingError {
    /// There is no `=`.
    #[error("write NAME=TARGET, as in api=3001")]
    NoTarget,
    /// The part before `=`.
    #[error(transparent)]
    Service(#[from] ServiceNameError),
    /// The part after `=`.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Where a relay takes agents: `ws://` or `wss://`, host, port and path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RelayUrl {
    /// `wss://`; without it anybody on the way can read and alter what passes.
    pub tls: bool,
    /// A host name or an IP address, IPv6 without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
}

impl RelayUrl {
    /// Where every relay takes agents unless its URL says otherwise.
    pub(crate) const DEFAULT_PATH: &str = "/connect";

    /// `host:port`, as a dialer wants it.
    pub(crate) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// Whether the way there never leaves this machine, so that plain `ws://` reveals nothing.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host.to_ascii_lowercase();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("wss", 443) } else { ("ws", 80) };
        match self.port == usual {
            true if self.host.contains(':') => write!(f, "{scheme}://[{}]", self.host)?,
            true => write!(f, "{scheme}://{}", self.host)?,
            false => write!(f, "{scheme}://{}", self.authority())?,
        }
        if self.path == Self::DEFAULT_PATH { Ok(()) } else { f.write_str(&self.path) }
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    /// A bare host is `wss://`, and `http(s)://`, as copied from a browser, is taken for `ws(s)://`.
    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        let (tls, rest) = match text.split_once("://") {
            None => (true, text),
            Some(("wss" | "https", rest)) => (true, rest),
            Some(("ws" | "http", rest)) => (false, rest),
            Some((scheme, _)) => return Err(RelayUrlError::Scheme(scheme.to_owned())),
        };
        let (place, path) = split_path(rest);
        if path.contains('#') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RelayUrlError::Path);
        }
        let path = if matches!(path, "" | "/") { Self::DEFAULT_PATH } else { path };
        if !path.starts_with('/') {
            return Err(RelayUrlError::Path);
        }
        let (host, port) = host_and_port(place, Some(if tls { 443 } else { 80 }))?;
        Ok(RelayUrl { tls, host, port, path: path.to_owned() })
    }
}

/// Why a text does not name a relay.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum RelayUrlError {
    /// Links are WebSockets.
    #[error("{0}:// does not lead to a relay: write wss://host or ws://localhost:4896")]
    Scheme(String),
    /// A fragment, a space, a control character.
    #[error("the path of a relay has only visible ASCII characters, and no #")]
    Path,
    /// The part after the scheme is wrong.
    #[error("{0}: write wss://host or ws://localhost:4896")]
    Place(#[from] PlaceError),
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Splits before the first `/`, `?` or `#`.
fn split_path(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()))
}

fn host_and_port(text: &str, default: Option<u16>) -> Result<(String, u16), PlaceError> {
    if text.contains('@') {
        return Err(PlaceError::UserInfo);
    }
    let (host, after) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(PlaceError::Brackets)?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(PlaceError::Host(host.to_owned()));
            }
            (host, after)
        }
        None if text.matches(':').count() > 1 => return Err(PlaceError::Brackets),
        None => {
            let (host, after) = text.split_at(text.find(':').unwrap_or(text.len()));
            is_host(host)?;
            (host, after)
        }
    };
    match after.strip_prefix(':') {
        Some(text) => Ok((host.to_owned(), port(text)?)),
        None if !after.is_empty() => Err(PlaceError::Brackets),
        None => {
            default.map(|port| (host.to_owned(), port)).ok_or_else(|| PlaceError::NoPort(host.to_owned()))
        }
    }
}

fn is_host(host: &str) -> Result<(), PlaceError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // RFC 1035 section 2.3.4: names have at most 255 octets, 253 of them visible.
    match host {
        "" => Err(PlaceError::NoHost),
        host if host.len() > 253 || host.starts_with(['-', '.']) || host.contains("..") => {
            Err(PlaceError::Host(host.to_owned()))
        }
        host if host.bytes().all(allowed) => Ok(()),
        host => Err(PlaceError::Host(host.to_owned())),
    }
}

fn port(text: &str) -> Result<u16, PlaceError> {
    // `parse` alone would take "+80".
    match text.parse() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(PlaceError::Port(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_spelling_of_a_target_has_one_full_form() {
        for (typed, full) in [
            ("3000", "http://localhost:3000"),
            ("app:3000", "http://app:3000"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("http://app", "http://app:80"),
            ("http://app/", "http://app:80"),
            ("http://[::1]", "http://[::1]:80"),
            ("https://app", "https://app:443"),
            ("https+insecure://localhost:8443", "https+insecure://localhost:8443"),
            ("my_app.internal:65535", "http://my_app.internal:65535"),
        ] {
            let target: Target = typed.parse().unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!(target.to_string(), full, "{typed}");
            assert_eq!(full.parse(), Ok(target), "{typed}");
        }
    }

    #[test]
    fn every_refused_target_says_what_is_wrong_and_what_is_accepted() {
        for (typed, wrong) in [
            ("", "the host is missing"),
            ("0", "is not a port"),
            ("65536", "is not a port"),
            ("app:+80", "is not a port"),
            ("app:", "is not a port"),
            (":3000", "the host is missing"),
            ("localhost", "write localhost:3000, say"),
            ("::1:3000", "in brackets"),
            ("[::1", "in brackets"),
            ("[::1]3000", "in brackets"),
            ("[app]:1", "is not a host name"),
            ("a b:1", "is not a host name"),
            ("a..b:1", "is not a host name"),
            ("http://", "the host is missing"),
            ("http://app/admin", "a path"),
            ("app:3000/?q", "a path"),
            ("http://app?q", "a path"),
            ("http://me:hunter2@app", "a user name or password"),
            ("ftp://app", "cannot forward to ftp://"),
            ("unix:/run/app.sock", "Unix sockets"),
            ("./site", "files, folders"),
        ] {
            let error = typed.parse::<Target>().expect_err(typed).to_string();
            assert!(error.contains(wrong), "{typed}: {error}");
            assert!(error.contains("https+insecure://host"), "{typed}: {error}");
            assert!(!error.contains("hunter2"), "{typed}: {error}");
        }
    }

    #[test]
    fn a_service_name_is_a_dns_label_that_no_address_can_be_mistaken_for() {
        let label = format!("g{}", "a".repeat(55));
        for (name, verdict) in [
            ("web", Ok(())),
            ("a", Ok(())),
            ("7-up", Ok(())),
            (&"a".repeat(63), Ok(())),
            (&"a".repeat(56), Ok(())),
            ("", Err(ServiceNameError::Empty)),
            (&"a".repeat(64), Err(ServiceNameError::Long)),
            ("Web", Err(ServiceNameError::Character)),
            ("a.b", Err(ServiceNameError::Character)),
            ("a_b", Err(ServiceNameError::Character)),
            ("-a", Err(ServiceNameError::Hyphen)),
            ("a-", Err(ServiceNameError::Hyphen)),
            (&label, Err(ServiceNameError::Address)),
        ] {
            assert_eq!(name.parse::<ServiceName>().map(|_| ()), verdict, "{name}");
        }
    }

    #[test]
    fn a_binding_is_a_name_and_a_target() {
        let binding: Binding = "api=https://app:8443".parse().expect("a binding");
        assert_eq!(binding.service.as_str(), "api");
        assert_eq!(binding.target.to_string(), "https://app:8443");
        assert_eq!("3000".parse::<Binding>(), Err(BindingError::NoTarget));
        assert_eq!("A=3000".parse::<Binding>(), Err(ServiceNameError::Character.into()));
        assert!(matches!("api=".parse::<Binding>(), Err(BindingError::Target(_))));
    }

    #[test]
    fn a_relay_is_named_by_host_or_by_url_and_shown_as_short_as_it_can_be() {
        for (typed, shown, path) in [
            ("relay.example", "wss://relay.example", "/connect"),
            ("relay.example:8443", "wss://relay.example:8443", "/connect"),
            ("https://relay.example/", "wss://relay.example", "/connect"),
            ("wss://relay.example/hvym?x=1", "wss://relay.example/hvym?x=1", "/hvym?x=1"),
            ("ws://localhost:4896", "ws://localhost:4896", "/connect"),
            ("http://[::1]", "ws://[::1]", "/connect"),
        ] {
            let relay: RelayUrl = typed.parse().unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!((relay.to_string().as_str(), relay.path.as_str()), (shown, path), "{typed}");
        }
        for typed in ["", "ftp://a", "wss://", "wss://a/\u{1b}[2J", "wss://a#b", "wss://a?b", "wss://u:p@a"] {
            assert!(typed.parse::<RelayUrl>().is_err(), "{typed}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (relay, loopback) in [
            ("ws://localhost", true),
            ("ws://Relay.localhost:1", true),
            ("ws://127.9.9.9", true),
            ("ws://[::1]:1", true),
            ("ws://localhost.example", false),
            ("ws://192.168.0.1", false),
        ] {
            assert_eq!(relay.parse::<RelayUrl>().map(|relay| relay.is_loopback()), Ok(loopback), "{relay}");
        }
    }
}
