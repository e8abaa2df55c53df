//! Which visitors are admitted, and how a request is changed before a service sees it.
//!
//! It reads and changes heads; it opens nothing and writes nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hvym_http1::{HostMapping, RequestView, ResponseHead, UrlOrigin, UrlScheme};
use hvym_proxy::limits::{GuessLimits, VisitorKey};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::secret::Fingerprint;
use hvym_tunnel_pages::{Format, Page};

use super::error_page::client;
use super::verifier::{Crowded, Verifier};
use crate::credentials::{Credentials, CredentialsMatch, HashCandidate};
use crate::event::RequestNote;
use crate::settings::FilterSettings;

/// The challenge for Basic authentication (RFC 7617 section 2).
const CHALLENGE: &str = "Basic realm=\"hvym-tunnel\", charset=\"UTF-8\"";
/// What decides about the response to a preflight.
const PREFLIGHT_VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The filter of one service.
pub(super) struct AccessFilter {
    settings: FilterSettings,
    /// How the service is asked.
    scheme: UrlScheme,
    guesses: Mutex<GuessLimits>,
    verifier: Verifier,
    clock: Clock,
}

/// The response in place of the service's, and what is recorded of it.
pub(super) struct Refusal {
    /// For the visitor.
    pub(super) head: ResponseHead,
    pub(super) body: Bytes,
    /// For the record of the request.
    pub(super) note: RequestNote,
}

impl Refusal {
    fn of_page(page: &Page, format: Format, note: RequestNote) -> Self {
        let body = page.body(format);
        Self { head: page.head(format, body.len()), body: Bytes::from(body), note }
    }
}

impl AccessFilter {
    /// A filter with these settings, of a service that is asked by `scheme`.
    pub(super) fn new(settings: FilterSettings, scheme: UrlScheme) -> Self {
        Self { settings, scheme, guesses: Mutex::default(), verifier: Verifier::new(), clock: Clock::new() }
    }

    /// Whether every request passes as it is.
    pub(super) fn is_open(&self) -> bool {
        self.settings.is_open()
    }

    /// Whether the service sees another `Host` than visitors send.
    pub(super) fn sets_host(&self) -> bool {
        self.settings.host.is_some()
    }

    /// Whether the allowed networks admit a visitor with this address.
    pub(super) fn admits(&self, visitor: Option<IpAddr>) -> bool {
        let networks = &self.settings.networks;
        let is_in = |ip: IpAddr| networks.iter().any(|network| network.contains(&ip.to_canonical()));
        networks.is_empty() || visitor.is_some_and(is_in)
    }

    /// Admits a request. `is_caller` is whether another identity sent it, of whose address nobody knows anything.
    ///
    /// # Errors
    /// The response that the visitor gets instead.
    pub(super) fn admit(
        &self,
        request: &RequestView<'_>,
        is_caller: bool,
        format: Format,
    ) -> Result<Admitted<'_>, Box<Refusal>> {
        let visitor = visitor(request);
        if !self.admits(visitor) {
            let who = visitor.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
            let page = Page {
                status: 403,
                reason: "network",
                title: "Not from this address".to_owned(),
                text: format!("Visitors from {who} may not come here."),
                hint: "Ask the owner of the tunnel to let your address in.".to_owned(),
                retry_after: None,
                is_away: false,
            };
            return Err(Box::new(Refusal::of_page(&page, format, RequestNote::NetworkNotAllowed(visitor))));
        }
        // Before the credentials: browsers send preflights without any.
        if self.settings.cors_preflight
            && let Some(head) = preflight(request)
        {
            let note = RequestNote::PreflightAnswered;
            return Err(Box::new(Refusal { head, body: Bytes::new(), note }));
        }
        self.authenticate(request, visitor.filter(|_| !is_caller), format)
    }

    /// How names are mapped for the service and back, if it is asked by another name than visitors use.
    pub(super) fn mapping(&self, request: &RequestView<'_>) -> Option<HostMapping> {
        let authority = self.settings.host.clone()?;
        // The relay's word.
        let is_https = request.fields().first("x-forwarded-proto") == Some(b"https");
        let scheme = if is_https { UrlScheme::Https } else { UrlScheme::Http };
        Some(HostMapping {
            public: UrlOrigin { scheme, authority: request.host().to_owned() },
            local: UrlOrigin { scheme: self.scheme, authority },
        })
    }

    /// Fields that the service does not see.
    pub(super) fn removed(&self) -> &'static [&'static str] {
        // What a visitor gave to be admitted was not for the service.
        if self.settings.credentials.is_empty() { &[] } else { &["authorization"] }
    }

    fn guesses(&self) -> MutexGuard<'_, GuessLimits> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authenticate(
        &self,
        request: &RequestView<'_>,
        visitor: Option<IpAddr>,
        format: Format,
    ) -> Result<Admitted<'_>, Box<Refusal>> {
        if self.settings.credentials.is_empty() {
            return Ok(Admitted::Now);
        }
        // Those whose address is not known share one.
        let from = VisitorKey::new(visitor.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        // Of two fields the service could use the one that was not checked.
        let fields = request.fields();
        let mut given = fields.all("authorization");
        let (first, second) = (given.next(), given.next());
        let Some(shown) = first else { return Err(Box::new(wrong(RequestNote::NoCredentials, format))) };
        let client = Client { from, visitor, format };
        self.check_guesses(client)?;
        let matched = match second {
            None => Credentials::match_any(&self.settings.credentials, shown),
            Some(_) => CredentialsMatch::Wrong,
        };
        match matched {
            CredentialsMatch::Right => Ok(Admitted::Now),
            CredentialsMatch::Wrong => Err(self.handle_wrong(client)),
            CredentialsMatch::Unsure(candidate) => {
                let shown = Fingerprint::new(shown);
                if self.verifier.remembers(&shown, self.clock.now()) {
                    return Ok(Admitted::Now);
                }
                Ok(Admitted::After(Box::pin(self.verify(candidate, shown, client))))
            }
        }
    }

    /// Admits a request once its password is verified.
    async fn verify(
        &self,
        candidate: HashCandidate,
        shown: Fingerprint,
        client: Client,
    ) -> Result<(), Box<Refusal>> {
        // Others from there may have been wrong while this one waited.
        let begins = || self.check_guesses(client).map_err(NotVerified::Refused);
        match self.verifier.verify(candidate, shown, || self.clock.now(), begins).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.handle_wrong(client)),
            Err(NotVerified::Refused(refusal)) => Err(refusal),
            Err(NotVerified::Crowded) => Err(Box::new(crowded(client.format))),
        }
    }

    /// Whether a password of this client is looked at now.
    fn check_guesses(&self, client: Client) -> Result<(), Box<Refusal>> {
        let checked = self.guesses().check(client.from, self.clock.now());
        checked.map_err(|wait| Box::new(too_many_guesses(wait, client.format)))
    }

    fn handle_wrong(&self, client: Client) -> Box<Refusal> {
        let wait = self.guesses().handle_wrong(client.from, self.clock.now());
        if !wait.is_zero() {
            let visitor = client.visitor;
            tracing::warn!(
                ?visitor,
                ?wait,
                "wrong passwords from one address: for so long none is looked at"
            );
        }
        Box::new(wrong(RequestNote::WrongCredentials, client.format))
    }
}

/// Who shows a password.
#[derive(Copy, Clone)]
struct Client {
    from: VisitorKey,
    visitor: Option<IpAddr>,
    format: Format,
}

/// Whether a request passes.
pub(super) enum Admitted<'a> {
    /// It does.
    Now,
    /// It does if this says so, for which it waits.
    After(Verification<'a>),
}

/// A password that is being verified.
pub(super) type Verification<'a> = Pin<Box<dyn Future<Output = Result<(), Box<Refusal>>> + Send + 'a>>;

/// Why a password was not verified.
enum NotVerified {
    Refused(Box<Refusal>),
    Crowded,
}

impl From<Crowded> for NotVerified {
    fn from(_: Crowded) -> Self {
        NotVerified::Crowded
    }
}

/// What a visitor gets without the right credentials.
fn wrong(note: RequestNote, format: Format) -> Refusal {
    let page = Page {
        status: 401,
        reason: "credentials",
        title: "A name and a password, please".to_owned(),
        text: "The owner of this service lets in only who knows them.".to_owned(),
        hint: "Ask the person who gave you the address.".to_owned(),
        retry_after: None,
        is_away: false,
    };
    let mut refusal = Refusal::of_page(&page, format, note);
    refusal.head.headers.push("WWW-Authenticate", CHALLENGE);
    refusal
}

/// What a visitor gets while too many passwords are verified.
fn crowded(format: Format) -> Refusal {
    let page = Page {
        status: 503,
        reason: "passwords",
        title: "Too many at once".to_owned(),
        text: "Many passwords are being looked at, and yours would wait for too long.".to_owned(),
        hint: "Reload in a moment.".to_owned(),
        retry_after: Some(1),
        is_away: false,
    };
    Refusal::of_page(&page, format, RequestNote::TooManyGuesses)
}

/// What a visitor gets from whose address too many passwords were wrong.
fn too_many_guesses(wait: Duration, format: Format) -> Refusal {
    let page = Page {
        status: 429,
        reason: "guesses",
        title: "Too many wrong passwords".to_owned(),
        text: "No password that comes from your network is looked at for a while.".to_owned(),
        hint: "Wait a minute, then try the right one.".to_owned(),
        // Rounded up, so that whoever keeps to it is not too early.
        retry_after: u32::try_from(wait.as_millis().div_ceil(1000)).ok(),
        is_away: false,
    };
    Refusal::of_page(&page, format, RequestNote::TooManyGuesses)
}

/// The visitor's address as the relay set it; after it come the proxies that the relay trusts.
fn visitor(request: &RequestView<'_>) -> Option<IpAddr> {
    client(request.fields().first("x-forwarded-for")?)
}

/// The response to a CORS preflight (Fetch, section "CORS-preflight request"), which allows everything.
fn preflight(request: &RequestView<'_>) -> Option<ResponseHead> {
    if request.method() != "OPTIONS" {
        return None;
    }
    let fields = request.fields();
    let (origin, method) = (fields.first("origin")?, fields.first("access-control-request-method")?);
    let mut head = ResponseHead::new(204, "No Content");
    head.headers.push("Access-Control-Allow-Origin", Bytes::copy_from_slice(origin));
    head.headers.push("Access-Control-Allow-Methods", Bytes::copy_from_slice(method));
    for requested in fields.all("access-control-request-headers") {
        head.headers.push("Access-Control-Allow-Headers", Bytes::copy_from_slice(requested));
    }
    head.headers.push("Vary", PREFLIGHT_VARY);
    Some(head)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use hvym_http1::{FieldTable, ForwardedFields, RequestRewrite};

    use super::*;

    fn filter(settings: FilterSettings) -> AccessFilter {
        AccessFilter::new(settings, UrlScheme::Http)
    }

    /// What `see` makes of a request with these fields.
    fn with<T>(method: &str, fields: &[(&str, &str)], see: impl FnOnce(&RequestView<'_>) -> T) -> T {
        let mut head = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n");
        fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        let mut table = FieldTable::new();
        see(&RequestView::parse(head.as_bytes(), &mut table).expect("a request"))
    }

    /// The status that a visitor gets, or 0 for one that passes.
    fn outcome(admitted: Result<Admitted<'_>, Box<Refusal>>) -> u16 {
        let admitted = admitted.and_then(|admitted| match admitted {
            Admitted::Now => Ok(()),
            Admitted::After(verification) => smol::block_on(verification),
        });
        admitted.map_or_else(|refusal| refusal.head.status, |()| 0)
    }

    fn status(filter: &AccessFilter, method: &str, fields: &[(&str, &str)]) -> u16 {
        with(method, fields, |request| outcome(filter.admit(request, false, Format::Html)))
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
            assert_eq!(status(&filter, "GET", &[("x-forwarded-for", address)]), expected, "{address}");
        }
        assert_eq!(status(&filter, "GET", &[]), 403);
    }

    #[test]
    fn what_a_visitor_gave_to_log_in_goes_no_further() {
        let accounts = vec!["ann:secret".into()];
        let filter = filter(FilterSettings { credentials: accounts, ..FilterSettings::default() });
        let right = ("authorization", "Basic YW5uOnNlY3JldA==");
        assert_eq!(status(&filter, "GET", &[right]), 0);
        let rewrite = RequestRewrite {
            forwarded: ForwardedFields::Keep,
            keeps_client_address: true,
            host: None,
            remove: filter.removed(),
        };
        let mut written = BytesMut::new();
        with("GET", &[right], |request| request.write_forwarded(&rewrite, &mut written));
        assert_eq!(&written[..], b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        for fields in [&[][..], &[("authorization", "Basic YW5uOndyb25n")], &[right, right]] {
            assert_eq!(status(&filter, "GET", fields), 401, "{fields:?}");
        }
    }

    #[test]
    fn guesses_of_one_address_are_slowed_and_others_are_let_in() {
        let filter =
            filter(FilterSettings { credentials: vec!["ann:secret".into()], ..FilterSettings::default() });
        let ask = |address: &str, password: &'static str| {
            status(&filter, "GET", &[("x-forwarded-for", address), ("authorization", password)])
        };
        let (right, wrong) = ("Basic YW5uOnNlY3JldA==", "Basic YW5uOndyb25n");
        let answers: Vec<u16> = (0..1000).map(|_| ask("192.0.2.1", wrong)).collect();
        // Those that are free, the one that brings the first delay, and few more, should this take seconds.
        let looked_at = answers.iter().filter(|status| **status == 401).count();
        assert!((11..20).contains(&looked_at) && answers[999] == 429, "{looked_at}");
        assert_eq!(
            [ask("192.0.2.1", right), ask("192.0.2.2", right), ask("192.0.2.2", wrong)],
            [429, 0, 401]
        );
        // Nothing given is no guess.
        assert_eq!(status(&filter, "GET", &[("x-forwarded-for", "192.0.2.1")]), 401);
        // What a caller says of its address changes nothing.
        let caller = |address: &str| {
            with("GET", &[("x-forwarded-for", address), ("authorization", wrong)], |request| {
                outcome(filter.admit(request, true, Format::Html))
            })
        };
        let answers: Vec<u16> = (0..200).map(|n| caller(&format!("198.51.100.{n}"))).collect();
        assert_eq!((answers[9], answers[199]), (401, 429));
    }

    #[test]
    fn a_hashed_password_is_verified_and_guesses_of_it_are_slowed() {
        let hash = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let filter = filter(FilterSettings { credentials: vec![hash.into()], ..FilterSettings::default() });
        let (right, wrong) =
            (("authorization", "Basic YW5uOnNlY3JldA=="), ("authorization", "Basic YW5uOndyb25n"));
        assert_eq!([status(&filter, "GET", &[right]), status(&filter, "GET", &[wrong])], [0, 401]);
        let is_remembered = with("GET", &[right], |request| {
            matches!(filter.admit(request, false, Format::Html), Ok(Admitted::Now))
        });
        assert!(is_remembered);
        let answers: Vec<u16> = (0..50).map(|_| status(&filter, "GET", &[wrong])).collect();
        assert_eq!((answers[0], answers[49]), (401, 429));
    }

    #[test]
    fn only_a_preflight_is_answered_for_the_service() {
        let filter = filter(FilterSettings { cors_preflight: true, ..FilterSettings::default() });
        let fields = [("origin", "http://a.example"), ("access-control-request-method", "PUT")];
        assert_eq!(status(&filter, "OPTIONS", &fields), 204);
        assert_eq!(status(&filter, "OPTIONS", &fields[..1]), 0);
        assert_eq!(status(&filter, "GET", &fields), 0);
    }

    #[test]
    fn names_are_mapped_from_what_the_visitor_used_to_what_the_owner_set() {
        let host = Some("localhost:3000".to_owned());
        let filter = filter(FilterSettings { host, ..FilterSettings::default() });
        for (proto, scheme) in
            [("https", UrlScheme::Https), ("http", UrlScheme::Http), ("ftp", UrlScheme::Http)]
        {
            let mapping = with("GET", &[("x-forwarded-proto", proto)], |request| filter.mapping(request));
            let public = UrlOrigin { scheme, authority: "a.example".to_owned() };
            let local = UrlOrigin { scheme: UrlScheme::Http, authority: "localhost:3000".to_owned() };
            assert_eq!(mapping, Some(HostMapping { public, local }), "{proto}");
        }
        assert_eq!(
            with("GET", &[], |request| super::tests::filter(FilterSettings::default()).mapping(request)),
            None
        );
    }
}
