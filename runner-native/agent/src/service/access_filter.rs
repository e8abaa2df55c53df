//! Which visitors are admitted, and how a request is changed before a service sees it.
//!
//! It reads and changes heads; it opens nothing and writes nothing.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, VARY, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode, request};
use http_body_util::Full;
use hvym_tunnel_pages::{Format, Page};

use crate::credentials::Credentials;
use crate::event::RequestNote;
use crate::settings::FilterSettings;
use hvym_tunnel_net::hyper;

/// Set by the relay, which lets no visitor set it.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The challenge for Basic authentication (RFC 7617 section 2).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"hvym-tunnel\", charset=\"UTF-8\"");

/// The filter of one service.
pub(super) struct AccessFilter {
    settings: FilterSettings,
    host: Option<HeaderValue>,
}

/// The response in place of the service's, and what is recorded of it.
pub(super) struct Refusal {
    /// For the visitor.
    pub(super) answer: Response<Full<Bytes>>,
    /// For the record of the request.
    pub(super) note: RequestNote,
}

impl AccessFilter {
    /// A filter with these settings.
    pub(super) fn new(settings: FilterSettings) -> Self {
        let host = settings.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok());
        Self { settings, host }
    }

    /// Whether every request passes as it is.
    pub(super) fn is_open(&self) -> bool {
        self.settings.is_open()
    }

    /// Whether the service sees another `Host` than visitors send.
    pub(super) fn sets_host(&self) -> bool {
        self.host.is_some()
    }

    /// Whether the allowed networks admit a visitor with this address.
    pub(super) fn admits(&self, visitor: Option<IpAddr>) -> bool {
        let networks = &self.settings.networks;
        let is_in = |ip: IpAddr| networks.iter().any(|network| network.contains(&ip.to_canonical()));
        networks.is_empty() || visitor.is_some_and(is_in)
    }

    /// Admits a request, and changes it as the service is to see it.
    ///
    /// # Errors
    /// The response that the visitor gets instead.
    pub(super) fn pass(&self, head: &mut request::Parts) -> Result<(), Box<Refusal>> {
        let format = format(&head.headers);
        let visitor = visitor(&head.headers);
        if !self.admits(visitor) {
            let who = visitor.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
            let page = Page {
                status: 403,
                title: "Not from this address".to_owned(),
                text: format!("Visitors from {who} may not come here."),
                hint: "Ask the owner of the tunnel to let your address in.".to_owned(),
                retry_after: None,
            };
            let note = RequestNote::NetworkNotAllowed(visitor);
            return Err(Box::new(Refusal { answer: hyper::page(&page, format), note }));
        }
        // Before the credentials: browsers send preflights without any.
        if self.settings.cors_preflight
            && let Some(answer) = preflight(head)
        {
            return Err(Box::new(Refusal { answer, note: RequestNote::PreflightAnswered }));
        }
        self.authenticate(&mut head.headers, format)?;
        if let Some(host) = &self.host {
            head.headers.insert(HOST, host.clone());
        }
        Ok(())
    }

    fn authenticate(&self, headers: &mut HeaderMap, format: Format) -> Result<(), Box<Refusal>> {
        if self.settings.credentials.is_empty() {
            return Ok(());
        }
        // Of two fields the service could use the one that was not checked. It sees neither.
        let mut given = headers.get_all(AUTHORIZATION).into_iter();
        let admitted = match (given.next(), given.next()) {
            (Some(one), None) => Credentials::admits(&self.settings.credentials, one.as_bytes()),
            _ => false,
        };
        let is_given = headers.remove(AUTHORIZATION).is_some();
        if admitted {
            return Ok(());
        }
        let page = Page {
            status: 401,
            title: "A name and a password, please".to_owned(),
            text: "The owner of this service lets in only who knows them.".to_owned(),
            hint: "Ask the person who gave you the address.".to_owned(),
            retry_after: None,
        };
        let mut answer = hyper::page(&page, format);
        answer.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        let note = if is_given { RequestNote::WrongCredentials } else { RequestNote::NoCredentials };
        Err(Box::new(Refusal { answer, note }))
    }
}

/// The format of pages that the visitor accepts.
pub(super) fn format(headers: &HeaderMap) -> Format {
    Format::preferred(headers.get(ACCEPT).map(HeaderValue::as_bytes))
}

/// The visitor's address as the relay set it; after it come the proxies that the relay trusts.
fn visitor(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(FORWARDED_FOR)?.to_str().ok()?.split(',').next()?.trim().parse().ok()
}

/// The response to a CORS preflight (Fetch, section "CORS-preflight request"), which allows everything.
fn preflight(head: &request::Parts) -> Option<Response<Full<Bytes>>> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let (origin, method) = (head.headers.get(ORIGIN)?, head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?);
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    for requested in head.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
    }
    let requested = HeaderValue::from_static(
        "Origin, Access-AgentControl-Request-Method, Access-AgentControl-Request-Headers",
    );
    headers.insert(VARY, requested);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(settings: FilterSettings) -> AccessFilter {
        AccessFilter::new(settings)
    }

    fn head(method: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn status(filter: &AccessFilter, head: &mut request::Parts) -> u16 {
        filter.pass(head).map_or_else(|refusal| refusal.answer.status().as_u16(), |()| 0)
    }

    #[test]
    fn an_address_is_let_in_by_the_networks_that_hold_it() {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().expect("a network"));
        let filter = filter(FilterSettings { networks: networks.to_vec(), ..FilterSettings::default() });
        for (address, expected) in [
            ("10.1.2.3", 0),
            ("::ffff:10.1.2.3", 0),
            ("2001:db8::1", 0),
            ("11.1.2.3", 403),
            ("2001:db9::1", 403),
            ("10.1.2.3, 11.1.2.3", 0),
            ("11.1.2.3, 10.1.2.3", 403),
            ("unknown", 403),
            ("", 403),
        ] {
            assert_eq!(
                status(&filter, &mut head("GET", &[("x-forwarded-for", address)])),
                expected,
                "{address}"
            );
        }
        assert_eq!(status(&filter, &mut head("GET", &[])), 403);
    }

    #[test]
    fn what_a_visitor_gave_to_log_in_goes_no_further() {
        let accounts = vec!["ann:secret".into()];
        let filter = filter(FilterSettings { credentials: accounts, ..FilterSettings::default() });
        let right = ("authorization", "Basic YW5uOnNlY3JldA==");
        let mut good = head("GET", &[right]);
        assert_eq!(status(&filter, &mut good), 0);
        assert!(!good.headers.contains_key(AUTHORIZATION));
        for fields in [&[][..], &[("authorization", "Basic YW5uOndyb25n")], &[right, right]] {
            assert_eq!(status(&filter, &mut head("GET", fields)), 401, "{fields:?}");
        }
    }

    #[test]
    fn only_a_preflight_is_answered_for_the_service() {
        let filter = filter(FilterSettings { cors_preflight: true, ..FilterSettings::default() });
        let fields = [("origin", "http://a.example"), ("access-control-request-method", "PUT")];
        assert_eq!(status(&filter, &mut head("OPTIONS", &fields)), 204);
        assert_eq!(status(&filter, &mut head("OPTIONS", &fields[..1])), 0);
        assert_eq!(status(&filter, &mut head("GET", &fields)), 0);
    }
}
