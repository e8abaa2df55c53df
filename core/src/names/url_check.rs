//! Which URLs of a relay's may be shown, written to a file, opened or put into a QR code: those of names that belong to the
//! relay that was dialled, in a form that no shell, terminal or browser takes for anything else. A relay that was known before
//! may name others in that form.

use alloc::string::String;

use thiserror::Error;

/// Characters of a URL: a host name, a scheme, a port and a short path.
const MAX_CHARACTERS: usize = 512;
/// Characters of a refused URL that are repeated.
const MAX_SHOWN: usize = 80;

/// A URL that a relay may not have sent.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the relay names {url:?} as the address of a service, and that is {fault}")]
pub struct UrlError {
    /// What it sent, shortened.
    url: String,
    fault: UrlFault,
}

impl UrlError {
    /// Whether it would be in order from a relay that was known before.
    pub fn is_foreign(&self) -> bool {
        matches!(self.fault, UrlFault::Host(_))
    }
}

/// What is wrong with a URL.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
enum UrlFault {
    #[error("no http, https or tcp URL of a host, a port and a path")]
    Form,
    #[error("neither {0} nor a name below it")]
    Host(String),
}

/// Checks the URLs of one relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlCheck {
    /// Lower case, an IPv6 address without its brackets.
    host: String,
    is_known: bool,
    is_older: bool,
}

impl UrlCheck {
    /// For the relay that is dialled at this host name, or IP address without brackets. `is_known` says that only the relay with
    /// a key that was known before is believed: it may be dialled by another name than it gives to services.
    pub fn new(host: &str, is_known: bool) -> Self {
        Self { host: host.to_ascii_lowercase(), is_known, is_older: false }
    }

    /// Whether the relay turned out to be a server of an older system. Such a one proves no key, known or not. It may name any
    /// host if it was dialled by an IP address, because nothing says then which names are its own.
    pub fn set_older(&mut self, is_older: bool) {
        self.is_older = is_older;
    }

    /// Whether `url` may be shown. `own` is a host name that the agent asked for itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, url: &str, own: Option<&str>) -> Result<(), UrlError> {
        let error = |fault| UrlError { url: url.chars().take(MAX_SHOWN).collect(), fault };
        let host = host(url).ok_or_else(|| error(UrlFault::Form))?.to_ascii_lowercase();
        let is_below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        // A relay of this machine may be dialled by any of its names; names below `localhost` never leave it.
        let is_local = host == "localhost" || is_below("localhost");
        let is_ours = host == self.host || is_below(&self.host) || own.is_some_and(|own| host == own);
        let may_name_others = if self.is_older { is_ip(&self.host) } else { self.is_known };
        if is_ours || may_name_others || (is_local && self.is_loopback()) {
            return Ok(());
        }
        Err(error(UrlFault::Host(self.host.clone())))
    }

    fn is_loopback(&self) -> bool {
        let is_name = self.host == "localhost" || self.host.ends_with(".localhost");
        is_name || self.host == "::1" || (self.host.starts_with("127.") && is_ip(&self.host))
    }
}

/// The host of a URL that has nothing but scheme, host, port and a plain path; an IPv6 address without its brackets.
fn host(url: &str) -> Option<&str> {
    let rest = ["https://", "http://", "tcp://"].iter().find_map(|scheme| url.strip_prefix(scheme))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if url.len() > MAX_CHARACTERS || !path.bytes().all(is_plain) {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').filter(|(host, _)| host.contains(':') && is_ip(host))?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            (Some(host).filter(|host| is_host_name(host))?, port)
        }
    };
    port.is_none_or(is_port).then_some(host)
}

fn is_port(port: &str) -> bool {
    let is_number = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number && port.parse::<u16>().is_ok()
}

/// Whether a host is an IP address and no name: no name has a colon, or ends in a label of digits alone (RFC 3696 section 2).
fn is_ip(host: &str) -> bool {
    let is_v6 =
        host.contains(':') && host.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    let is_v4 = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_v6 || is_v4
}

/// Letters, digits and hyphens in labels that neither begin nor end with a hyphen; so it is no option of a command.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_edged = label.starts_with('-') || label.ends_with('-');
        !label.is_empty()
            && !is_edged
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    fn check(relay: &str, url: &str) -> Result<(), UrlError> {
        UrlCheck::new(relay, false).check(url, Some("app.example.org"))
    }

    #[test]
    fn urls_of_the_dialled_relay_are_taken() {
        for (relay, url) in [
            ("tunnel.example", "https://abc.tunnel.example/"),
            ("tunnel.example", "https://api--abc.Tunnel.Example:8443/"),
            ("Tunnel.example", "https://tunnel.example"),
            ("tunnel.example", "tcp://tunnel.example:20000"),
            ("tunnel.example", "http://a.b.tunnel.example/t/app/"),
            ("tunnel.example", "https://app.example.org/"),
            ("127.0.0.1", "http://abc.localhost:4896/"),
            ("localhost", "tcp://localhost:49152"),
            ("::1", "http://[::1]:4896/t/app/"),
            ("192.0.2.1", "http://192.0.2.1:4896/"),
        ] {
            assert_eq!(check(relay, url), Ok(()), "{relay} {url}");
        }
    }

    #[test]
    fn what_a_shell_a_terminal_or_a_browser_could_take_for_something_else_is_refused() {
        let long = format!("https://tunnel.example/{}", "a".repeat(MAX_CHARACTERS));
        for url in [
            "",
            "abc.tunnel.example",
            "javascript:alert(1)//.tunnel.example",
            "data:text/html,x",
            "file:///etc/passwd",
            "ssh://tunnel.example",
            "HTTPS://tunnel.example",
            "-oProxyCommand=x.tunnel.example",
            "https://-oProxyCommand.tunnel.example",
            "https://$(id).tunnel.example/",
            "https://`id`.tunnel.example/",
            "https://a.tunnel.example/;id",
            "https://a.tunnel.example/?q",
            "https://a.tunnel.example/#f",
            "https://a.tunnel.example/a b",
            "https://a.tunnel.example/\u{1b}[2J",
            "https://a.tunnel.example/\n",
            "https://evil.example\\.tunnel.example/",
            "https://user@a.tunnel.example/",
            "https://evil.example/@a.tunnel.example/",
            "https://a.tunnel.example:0/",
            "https://a.tunnel.example:080/",
            "https://a.tunnel.example:65536/",
            "https://a.tunnel.example:/",
            "https://a..tunnel.example/",
            "https://аb.tunnel.example/",
            &long,
        ] {
            let refused = check("tunnel.example", url);
            assert!(
                refused.as_ref().is_err_and(|error| error.fault == UrlFault::Form || url.contains("evil")),
                "{url}"
            );
        }
    }

    #[test]
    fn hosts_of_others_are_refused() {
        for (relay, url) in [
            ("tunnel.example", "https://evil.example/"),
            ("tunnel.example", "https://eviltunnel.example/"),
            ("tunnel.example", "https://tunnel.example.evil.example/"),
            ("tunnel.example", "https://x.app.example.org/"),
            ("tunnel.example", "http://abc.localhost/"),
            ("192.0.2.1", "https://abc.tunnel.example/"),
            ("127.0.0.1", "http://evil.example/"),
        ] {
            let error = check(relay, url).expect_err(url);
            assert!(error.is_foreign() && error.to_string().contains("nor a name below it"), "{error}");
        }
    }

    #[test]
    fn a_known_relay_and_an_older_server_without_a_name_may_name_any_host_in_a_proper_url() {
        for (host, is_known, is_older, is_taken) in [
            ("127.0.0.1", false, true, true),
            ("127.0.0.1", true, true, true),
            ("127.0.0.1", false, false, false),
            ("127.0.0.1", true, false, true),
            ("tunnel.example", false, true, false),
            ("tunnel.example", true, true, false),
            ("tunnel.example", true, false, true),
        ] {
            let mut urls = UrlCheck::new(host, is_known);
            urls.set_older(is_older);
            let outcome = urls.check("https://G.hvym.test", None);
            assert_eq!(outcome.is_ok(), is_taken, "{host} {is_known} {is_older}");
            let refused = urls.check("javascript:alert(1)", None);
            assert!(refused.is_err_and(|error| !error.is_foreign()), "{host} {is_known} {is_older}");
        }
    }

    #[test]
    fn a_refused_url_is_repeated_shortened_and_escaped() {
        let error = check("tunnel.example", &format!("\u{1b}]0;{}", "x".repeat(1000))).expect_err("refused");
        let text = error.to_string();
        assert!(!text.contains('\u{1b}') && text.len() < 250, "{text}");
    }
}
