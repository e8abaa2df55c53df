//! What a person may type to name a place: a local target, a service, a relay.
//!
//! Only grammar. Nothing here resolves a name, opens a socket, or knows a default address.

mod place;
mod relay_url;
mod service;
mod text_serde;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hvym_tunnel_core::dialect::Proto;
use thiserror::Error;

pub use place::{PlaceError, authority, host_and_port, is_localhost, is_loopback_host};
use place::{port, split_path};
pub use relay_url::RelayUrl;
pub use service::{ServiceAddress, ServiceAddressError, ServiceName, ServiceNameError};

/// Where a stream of a service ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A port of some machine.
    Origin(Origin),
    /// HTTP/1.1 over a Unix socket; the path as typed.
    Socket(PathBuf),
    /// The files below a folder; the path as typed.
    Folder(PathBuf),
}

/// A port of some machine, and how to speak to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// How to speak to it.
    pub scheme: Scheme,
    /// A host name or an IP address, IPv6 without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// How to speak to an [`Origin`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// HTTP/1.1 over plain TCP.
    Http,
    /// HTTP/1.1 over TLS; `verify: false` (`https+insecure://`) takes any certificate, which is what a development
    /// machine's self-made one needs.
    Https {
        /// Whether the certificate must be valid for the host.
        verify: bool,
    },
    /// HTTP/2 over plain TCP, with prior knowledge (RFC 9113 section 3.3).
    H2c,
    /// Bytes over TCP, whatever they mean.
    Tcp,
}

impl Scheme {
    /// Before `://`.
    const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https { verify: true } => "https",
            Scheme::Https { verify: false } => "https+insecure",
            Scheme::H2c => "h2c",
            Scheme::Tcp => "tcp",
        }
    }

    fn named(text: &str) -> Option<Self> {
        let all = [
            Scheme::Http,
            Scheme::Https { verify: true },
            Scheme::Https { verify: false },
            Scheme::H2c,
            Scheme::Tcp,
        ];
        all.into_iter().find(|scheme| scheme.as_str() == text)
    }

    /// The port that a URL of this scheme need not name; bytes have none.
    const fn usual_port(self) -> Option<u16> {
        match self {
            Scheme::Http | Scheme::H2c => Some(80),
            Scheme::Https { .. } => Some(443),
            Scheme::Tcp => None,
        }
    }
}

impl Origin {
    /// `host:port`, as a dialer and a `Host` header want it; IPv6 in brackets.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl Target {
    /// An HTTP service at a port of this machine.
    pub fn local(port: u16) -> Self {
        Target::Origin(Origin { scheme: Scheme::Http, host: std::net::Ipv4Addr::LOCALHOST.to_string(), port })
    }

    /// What its streams carry.
    pub fn proto(&self) -> Proto {
        match self {
            Target::Origin(Origin { scheme: Scheme::Tcp, .. }) => Proto::Tcp,
            Target::Origin(Origin { scheme: Scheme::H2c, .. }) => Proto::H2,
            Target::Origin(_) | Target::Socket(_) | Target::Folder(_) => Proto::Http,
        }
    }

    /// The port, if it has one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Target::Origin(origin) => Some(origin.port),
            Target::Socket(_) | Target::Folder(_) => None,
        }
    }

    /// Where it is, for a sentence: `host:port`, or a path.
    pub fn place(&self) -> String {
        match self {
            Target::Origin(origin) => origin.authority(),
            Target::Socket(path) | Target::Folder(path) => path.display().to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Origin(origin) => write!(f, "{}://{}", origin.scheme.as_str(), origin.authority()),
            Target::Socket(path) => write!(f, "unix:{}", path.display()),
            Target::Folder(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket(path);
        }
        if is_path(text) {
            return Ok(Target::Folder(PathBuf::from(text)));
        }
        let (scheme, rest, is_url) = match text.split_once("://") {
            Some((name, rest)) => {
                let scheme = Scheme::named(name).ok_or_else(|| TargetError::Scheme(name.to_owned()))?;
                (Some(scheme), rest, scheme != Scheme::Tcp)
            }
            // As other tunnels write it: no host is called tcp.
            None => match text.split_once(':').and_then(|(name, rest)| Some((Scheme::named(name)?, rest))) {
                Some((scheme, rest)) => (Some(scheme), rest, false),
                None => (None, text, false),
            },
        };
        // A bare number is a port of this machine, the shortest thing a person can type; some put a colon before it.
        let number = rest.strip_prefix(':').unwrap_or(rest);
        if !is_url && !number.is_empty() && is_number(number) {
            let scheme = scheme.unwrap_or(Scheme::Http);
            return Ok(Target::Origin(Origin { scheme, host: "localhost".to_owned(), port: port(number)? }));
        }
        let (place, path) = split_path(rest);
        if !matches!(path, "" | "/") {
            return Err(TargetError::Place(PlaceError::NoPathAllowed));
        }
        let default = scheme.and_then(Scheme::usual_port);
        let (host, port) = host_and_port(place, default).map_err(|error| match (error, scheme) {
            (PlaceError::NoPort(name), None) => TargetError::Name(name),
            (error, _) => error.into(),
        })?;
        Ok(Target::Origin(Origin { scheme: scheme.unwrap_or(Scheme::Http), host, port }))
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What follows `unix:`; as a URL it has two slashes more.
fn socket(path: &str) -> Result<Target, TargetError> {
    let path = match path.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err(TargetError::Socket),
        None => path,
    };
    if !cfg!(unix) {
        return Err(TargetError::NoSockets);
    }
    if path.is_empty() {
        return Err(TargetError::Socket);
    }
    Ok(Target::Socket(PathBuf::from(path)))
}

/// Whether a text can only be a path: no place has a `/` with nothing but a name before it.
fn is_path(text: &str) -> bool {
    let before = text.split('/').next().unwrap_or_default();
    let is_drive = |text: &str| matches!(text.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    matches!(text, "." | ".." | "~")
        || (before.len() < text.len() && !before.contains([':', '?', '#', '@', ' ']))
        || (cfg!(windows) && (is_drive(text) || text.contains('\\')))
}

/// Why a text is not a target.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TargetError {
    /// Nothing can be forwarded over this scheme.
    #[error("cannot forward to {0}://. {ACCEPTED}")]
    Scheme(String),
    /// `unix:` and no path.
    #[error("after unix: comes the path of a socket, as in unix:/run/app.sock. {ACCEPTED}")]
    Socket,
    /// The system has none, or none that we can reach.
    #[error("Unix sockets cannot be reached on this system. {ACCEPTED}")]
    NoSockets,
    /// A name alone may be a host or a folder.
    #[error("{0} is not enough: write {0}:3000 for a port of that host, ./{0} for a folder. {ACCEPTED}")]
    Name(String),
    /// The part after the scheme is wrong.
    #[error("{0}. {ACCEPTED}")]
    Place(#[from] PlaceError),
}

/// Closes every message about a target.
const ACCEPTED: &str = "Accepted: 3000, host:3000, http://host[:port], https://host[:port], \
    https+insecure://host[:port], h2c://host[:port], tcp://host:port, unix:/path, a folder like ./site";

/// One `NAME=TARGET`: the service that visitors ask for, and where it is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
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
pub enum BindingError {
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
            ("h2c://localhost:50051", "h2c://localhost:50051"),
            ("h2c://app", "h2c://app:80"),
            ("tcp://localhost:22", "tcp://localhost:22"),
            ("tcp://22", "tcp://localhost:22"),
            ("tcp:22", "tcp://localhost:22"),
            ("tcp:db:5432", "tcp://db:5432"),
            ("http:3000", "http://localhost:3000"),
            ("https:8443", "https://localhost:8443"),
            (":3000", "http://localhost:3000"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
            ("unix:app.sock", "unix:app.sock"),
            (".", "."),
            ("~", "~"),
            ("./site", "./site"),
            ("../a b", "../a b"),
            ("~/site", "~/site"),
            ("/srv/x:y", "/srv/x:y"),
            ("site/", "site/"),
            ("build/out", "build/out"),
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
            (":", "the host is missing"),
            ("::3000", "in brackets"),
            ("http:", "the host is missing"),
            ("tcp:22/x", "a path"),
            ("localhost", "write localhost:3000 for a port of that host, ./localhost for a folder"),
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
            ("tcp://app", "the port is missing"),
            ("tcp://app:22/x", "a path"),
            ("h2c://", "the host is missing"),
            ("unix:", "the path of a socket"),
            ("unix://run/app.sock", "the path of a socket"),
            ("me:hunter2@app/x", "a path"),
        ] {
            let error = typed.parse::<Target>().expect_err(typed).to_string();
            assert!(error.contains(wrong), "{typed}: {error}");
            assert!(error.contains("https+insecure://host"), "{typed}: {error}");
            assert!(!error.contains("hunter2"), "{typed}: {error}");
        }
    }

    #[test]
    fn what_a_stream_carries_follows_from_the_target() {
        for (typed, proto, port, place) in [
            ("3000", Proto::Http, Some(3000), "localhost:3000"),
            ("https://app", Proto::Http, Some(443), "app:443"),
            ("h2c://[::1]:50051", Proto::H2, Some(50051), "[::1]:50051"),
            ("tcp://db:5432", Proto::Tcp, Some(5432), "db:5432"),
            ("unix:/run/app.sock", Proto::Http, None, "/run/app.sock"),
            ("./site", Proto::Http, None, "./site"),
        ] {
            let target: Target = typed.parse().unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!((target.proto(), target.port()), (proto, port), "{typed}");
            assert_eq!(target.place(), place, "{typed}");
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
}
