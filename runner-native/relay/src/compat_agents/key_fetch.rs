//! Fetches the public keys of a login service, and again when a token names one that is not known.
//!
//! Tokens are checked with the keys that are here: nobody's login waits for the login service.

use std::sync::{Arc, Weak};
use std::time::Duration;

use hvym_tunnel_net::http_get::{PlainRequest, send};
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::tls::Trust;
use smol::channel::Receiver;

use super::cloud::{Cloud, KeysError};
use crate::config::HttpUrl;

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// The largest key set, its head included. Those of login services have 2 to 10 KiB.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Between two requests: anybody can make up a token whose key nobody knows, or the login service may be down.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// How old keys may be. Login services publish a key for hours before they sign with it, and remove what was stolen.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The keys of one login service that are fetched, as long as the relay's options name it.
pub(crate) struct KeyFetch {
    cloud: Weak<Cloud>,
    url: HttpUrl,
    wanted: Receiver<()>,
    min_interval: Duration,
}

impl KeyFetch {
    /// Those of `cloud`; `None`: its keys are not fetched.
    pub(super) fn new(cloud: &Arc<Cloud>) -> Option<Self> {
        let (url, wanted) = cloud.fetched()?;
        Some(Self { cloud: Arc::downgrade(cloud), url, wanted, min_interval: MIN_INTERVAL })
    }

    /// Keeps the keys new. `report` is called with what has changed: other keys, or another reason why there are none.
    pub(crate) async fn run(self, report: impl Fn(Result<(), KeysError>)) {
        let mut failure = None;
        loop {
            let outcome = self.fetch().await;
            let Some(cloud) = self.cloud.upgrade() else { return };
            let outcome = outcome.and_then(|text| cloud.replace_keys(&self.url, &text));
            drop(cloud);
            let max_age = if outcome.is_ok() { MAX_AGE } else { self.min_interval };
            match outcome {
                Ok(is_new) => {
                    let had_failed = failure.take().is_some();
                    if is_new || had_failed {
                        report(Ok(()));
                    }
                }
                Err(error) if failure.as_ref() == Some(&error) => {}
                Err(error) => {
                    failure = Some(error.clone());
                    report(Err(error));
                }
            }
            if !self.pause(max_age).await {
                return;
            }
        }
    }

    /// Waits until keys are wanted, or are so old. Returns whether anybody needs them yet.
    async fn pause(&self, max_age: Duration) -> bool {
        Timer::after(self.min_interval).await;
        let rest = max_age.saturating_sub(self.min_interval);
        !matches!(within(rest, self.wanted.recv()).await, Some(Err(_)))
    }

    async fn fetch(&self) -> Result<Vec<u8>, KeysError> {
        let failed = |reason: String| KeysError::Fetch { url: self.url.to_string(), reason };
        let request = PlainRequest { method: "GET", path: self.url.path(), fields: &[], body: b"" };
        let dialing = DialOptions { allow_plaintext: false, trust: Trust::Verify, proxy: None, token: None };
        let sent = send(self.url.dialed(), self.url.host(), &request, MAX_RESPONSE_BYTES, &dialing);
        match within(REQUEST_LIMIT, sent).await {
            None => Err(failed(format!("no answer within {} s", REQUEST_LIMIT.as_secs()))),
            Some(Err(error)) => Err(failed(error.to_string())),
            Some(Ok(answer)) if answer.status == 200 => Ok(answer.body),
            Some(Ok(answer)) => Err(failed(format!("status {}", answer.status))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::mpsc;

    use hvym_tunnel_net::runtime::Runtime;
    use smol::future::poll_once;

    use super::super::cloud::CloudTokenError;
    use super::*;
    use crate::config::{CloudKeys, CloudOptions};

    const SET: &str = include_str!("../../../../tests/golden/guests/jwks.json");
    /// How long a test waits for what must come.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A login service that answers one request after the other like this, and how many have come.
    fn service(answers: Vec<(u16, String)>) -> (HttpUrl, mpsc::Receiver<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (sender, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for (status, body) in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
                reader.read_line(&mut line).expect("a request");
                let _nobody_asks = sender.send(line);
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).expect("it reads");
            }
        });
        (HttpUrl::parse(&format!("http://127.0.0.1:{port}/keys/")).expect("a URL"), asked)
    }

    fn cloud(url: HttpUrl) -> Arc<Cloud> {
        let options = CloudOptions {
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            keys: CloudKeys::Fetched(url),
            name_claim: "sub".to_owned(),
            names: BTreeMap::new(),
        };
        Arc::new(Cloud::new(options).expect("nothing to load"))
    }

    /// Why a token is refused that names this key and is signed by nobody.
    fn refusal(cloud: &Cloud, kid: &str) -> Option<CloudTokenError> {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        let header = part(&format!("{{\"alg\":\"RS256\",\"kid\":\"{kid}\"}}"));
        cloud.check_token(&format!("{header}.{}.{}", part("{}"), part("x")), |_| false).err()
    }

    /// Runs it until `reports` are there.
    fn reports(fetch: KeyFetch, count: usize) -> Vec<Result<(), KeysError>> {
        let (sender, received) = mpsc::channel();
        let runtime = Runtime::new().expect("threads");
        runtime.spawn(fetch.run(move |outcome| drop(sender.send(outcome)))).detach();
        (0..count).map(|_| received.recv_timeout(PATIENCE).expect("a report")).collect()
    }

    const UNKNOWN: Option<CloudTokenError> = Some(CloudTokenError::Invalid("its key is not known here"));

    #[test]
    fn a_token_with_an_unknown_key_has_keys_fetched_again() {
        let rotated = SET.replace("\"first\"", "\"second\"");
        let (url, asked) = service(vec![(200, SET.to_owned()), (200, rotated)]);
        let cloud = cloud(url);
        assert_eq!(refusal(&cloud, "first"), UNKNOWN, "nothing was fetched");
        let fetch = KeyFetch { min_interval: Duration::ZERO, ..KeyFetch::new(&cloud).expect("by URL") };
        // What is wanted before the first set asks for the second one.
        assert_eq!(reports(fetch, 2), [Ok(()), Ok(())]);
        assert_eq!(asked.recv().as_deref(), Ok("GET /keys/ HTTP/1.0\r\n"));
        assert_eq!(refusal(&cloud, "first"), UNKNOWN);
        assert_eq!(refusal(&cloud, "second"), Some(CloudTokenError::Invalid("its signature is wrong")));
    }

    #[test]
    fn keys_stay_when_there_are_no_others_and_a_failure_is_told_once() {
        let (url, _asked) = service(vec![
            (200, SET.to_owned()),
            (500, String::new()),
            (500, String::new()),
            (200, "{\"keys\": []}".to_owned()),
            (200, SET.to_owned()),
        ]);
        let cloud = cloud(url);
        let fetch = KeyFetch { min_interval: Duration::ZERO, ..KeyFetch::new(&cloud).expect("by URL") };
        assert_eq!(refusal(&cloud, "other"), UNKNOWN);
        let failed = |outcome: &Result<(), KeysError>| outcome.as_ref().err().map(ToString::to_string);
        let reports: Vec<_> = reports(fetch, 4).iter().map(failed).collect();
        assert!(
            matches!(&reports[..], [None, Some(first), Some(second), None]
            if first.ends_with("status 500") && second.contains("no key")),
            "{reports:?}"
        );
    }

    #[test]
    fn a_minute_passes_between_two_requests_whatever_is_wanted() {
        let (url, _asked) = service(Vec::new());
        let cloud = cloud(url);
        let fetch = KeyFetch::new(&cloud).expect("by URL");
        assert_eq!(refusal(&cloud, "made-up"), UNKNOWN);
        assert_eq!(fetch.min_interval, MIN_INTERVAL);
        let soon = KeyFetch { min_interval: Duration::ZERO, ..KeyFetch::new(&cloud).expect("by URL") };
        Runtime::new().expect("threads").block_on(async move {
            assert_eq!(poll_once(fetch.pause(MAX_AGE)).await, None, "it is wanted, and not yet time");
            assert!(soon.pause(MAX_AGE).await);
        });
    }

    #[test]
    fn keys_are_fetched_no_more_when_the_options_name_others() {
        let (url, _asked) = service(Vec::new());
        let cloud = cloud(url);
        let fetch = KeyFetch { min_interval: Duration::ZERO, ..KeyFetch::new(&cloud).expect("by URL") };
        drop(cloud);
        assert!(!Runtime::new().expect("threads").block_on(async move { fetch.pause(MAX_AGE).await }));
    }
}
