//! The cookie that has the secret of a session.

use http::HeaderValue;
use http::header::{COOKIE, HeaderMap};

use super::PAGE;
use crate::config::PublicScheme;
use crate::console_sessions::LIFETIME;
use crate::relay_state::RelayState;

/// The name, and the path for which a browser sends it.
fn name_and_path(state: &RelayState) -> (String, &'static str) {
    let options = &state.settings.options;
    let (prefix, path) = match (options.scheme(), options.names.path_names) {
        // No other name below the domain can put one in its place (RFC 6265bis section 4.1.3.2), but it is sent for every path.
        (PublicScheme::Https, false) => ("__Host-", "/"),
        // Below /t/ are services of others.
        (PublicScheme::Https, true) => ("__Secure-", PAGE),
        (PublicScheme::Http, _) => ("", PAGE),
    };
    // All ports of a host have the same cookies (RFC 6265 section 8.5).
    (format!("{prefix}hvym-console-{}", options.public.port(state.info.port)), path)
}

/// The secret that a request shows.
pub(super) fn secret<'a>(state: &RelayState, fields: &'a HeaderMap) -> Option<&'a str> {
    find(fields, &name_and_path(state).0)
}

fn find<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = fields.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Has the browser keep `secret`, or drop what it has.
pub(super) fn set(state: &RelayState, secret: Option<&str>) -> Option<HeaderValue> {
    let (name, path) = name_and_path(state);
    let secure = if state.settings.options.scheme() == PublicScheme::Https { "; Secure" } else { "" };
    let seconds = secret.map_or(0, |_| LIFETIME.as_secs());
    let text = format!(
        "{name}={}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}",
        secret.unwrap_or_default()
    );
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut fields = HeaderMap::new();
        fields.append(COOKIE, HeaderValue::from_static("a=1; xhvym-console=2; hvym-consolex=3"));
        fields.append(COOKIE, HeaderValue::from_static("b;hvym-console=4=5; hvym-console=6"));
        assert_eq!(find(&fields, "hvym-console"), Some("4=5"));
        assert_eq!(find(&fields, "hvym"), None);
    }
}
