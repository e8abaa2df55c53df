//! What a person may type to name a place: a local target, a service, a relay.
//!
//! Only grammar. Nothing here resolves a name, opens a socket, or knows a default address.

mod place;
mod relay_url;
mod service;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use place::{PlaceError, authority, host_and_port, port, split_path};
pub(crate) use relay_url::RelayUrl;
pub(crate) use service::{ServiceName, ServiceNameError};

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
    fn a_binding_is_a_name_and_a_target() {
        let binding: Binding = "api=https://app:8443".parse().expect("a binding");
        assert_eq!(binding.service.as_str(), "api");
        assert_eq!(binding.target.to_string(), "https://app:8443");
        assert_eq!("3000".parse::<Binding>(), Err(BindingError::NoTarget));
        assert_eq!("A=3000".parse::<Binding>(), Err(ServiceNameError::Character.into()));
        assert!(matches!("api=".parse::<Binding>(), Err(BindingError::Target(_))));
    }
}
