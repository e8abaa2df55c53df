//! An order against a scripted certificate authority, without sockets and with a clock of its own.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hvym_tunnel_core::time::Instant;
use serde_json::{Value, json};

use crate::account::AccountKey;
use crate::certificate::new_key;
use crate::order::{
    AcmeRequest, AcmeResponse, Challenge, ChallengeKind, ORDER_TIMEOUT, OrderError, OrderEvent, OrderMachine,
    OrderSpec,
};

const BASE: &str = "https://ca.example";

/// A certificate authority that follows RFC 8555, and its whims.
struct Ca {
    /// Nonces that it gave out and that were not used.
    nonces: Vec<String>,
    given: u32,
    /// Of so many requests in a row, all but the last have a bad nonce.
    refuses: u32,
    refused: u32,
    /// The state of the authorizations in the beginning, and once they were answered.
    authorizations: (&'static str, &'static str),
    /// How often the order is not ready, each time it is waited for.
    pending: u32,
    polls: u32,
    answered: usize,
    finalized: bool,
    /// What it answers to the request for this path instead.
    instead: Option<(&'static str, AcmeResponse)>,
    /// The paths of its requests that it took.
    log: Vec<String>,
}

impl Ca {
    fn new() -> Self {
        Ca {
            nonces: Vec::new(),
            given: 0,
            refuses: 1,
            refused: 0,
            authorizations: ("pending", "valid"),
            pending: 0,
            polls: 0,
            answered: 0,
            finalized: false,
            instead: None,
            log: Vec::new(),
        }
    }

    fn answer(&mut self, request: &AcmeRequest) -> AcmeResponse {
        let path = request.url.strip_prefix(BASE).expect("its own URL").to_owned();
        if let Some((_, instead)) = self.instead.take_if(|(at, _)| *at == path) {
            return instead;
        }
        self.given += 1;
        let nonce = format!("n{}", self.given);
        let answer = |status, body: Value| AcmeResponse {
            status,
            body: body.to_string().into_bytes(),
            ..AcmeResponse::default()
        };
        if path == "/directory" {
            assert_eq!((request.method, request.body.len()), ("GET", 0));
            let at = |path: &str| format!("{BASE}/{path}");
            return answer(
                200,
                json!({ "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"),
                    "meta": { "caaIdentities": ["ca.example"] } }),
            );
        }
        self.nonces.push(nonce.clone());
        if path == "/nonce" {
            assert_eq!((request.method, request.body.len()), ("HEAD", 0));
            return AcmeResponse { nonce: Some(nonce), ..answer(200, json!(null)) };
        }
        let [protected, payload] = signed(request);
        assert_eq!(protected["url"], request.url.as_str());
        let used = self.nonces.iter().position(|known| protected["nonce"] == known.as_str());
        self.nonces.remove(used.expect("a nonce of this authority, used once"));
        self.refused += 1;
        if self.refused < self.refuses {
            let body = json!({ "type": "urn:ietf:params:acme:error:badNonce", "detail": "again" });
            return AcmeResponse { nonce: Some(nonce), ..answer(400, body) };
        }
        self.refused = 0;
        self.log.push(path.clone());
        let (status, location, body) = self.resource(&path, &protected, &payload);
        AcmeResponse { nonce: Some(nonce), location, ..answer(status, body) }
    }

    fn resource(&mut self, path: &str, protected: &Value, payload: &Value) -> (u16, Option<String>, Value) {
        assert_eq!(protected["jwk"].is_object(), path == "/account");
        assert!(path == "/account" || protected["kid"] == "https://ca.example/account/1");
        let order = |status: &str| {
            let mut order = json!({ "status": status, "finalize": format!("{BASE}/finalize"),
                "authorizations": [format!("{BASE}/authorization/0"), format!("{BASE}/authorization/1")] });
            if status == "valid" {
                order["certificate"] = format!("{BASE}/certificate").into();
            }
            order
        };
        match path {
            "/account" => {
                assert_eq!(
                    (&payload["termsOfServiceAgreed"], &payload["contact"]),
                    (&json!(true), &json!(["mailto:you@example"]))
                );
                (201, Some(format!("{BASE}/account/1")), json!({ "status": "valid" }))
            }
            "/order" => {
                let identifier = |name| json!({ "type": "dns", "value": name });
                assert_eq!(payload["identifiers"], json!([identifier("t.test"), identifier("*.t.test")]));
                (201, Some(format!("{BASE}/order/1")), order(self.status()))
            }
            "/order/1" => (200, None, order(self.status())),
            "/finalize" => {
                assert_eq!(payload["csr"], BASE64URL_NOPAD.encode(b"request"));
                (self.finalized, self.polls) = (true, 0);
                (200, None, order("processing"))
            }
            "/certificate" => (200, None, json!("chain")),
            path if path.starts_with("/challenge/") => {
                assert_eq!(payload, &json!({}));
                self.answered += 1;
                (200, None, json!({}))
            }
            path => (200, None, self.authorization(path.strip_prefix("/authorization/").expect("a path"))),
        }
    }

    fn status(&mut self) -> &'static str {
        self.polls += 1;
        let is_waiting = self.polls <= self.pending;
        match (self.finalized, self.authorizations) {
            (true, _) if is_waiting => "processing",
            (true, _) => "valid",
            (false, ("valid", _)) => "ready",
            (false, (_, after)) if self.answered > 0 && !is_waiting => {
                if after == "valid" {
                    "ready"
                } else {
                    "invalid"
                }
            }
            (false, _) => "pending",
        }
    }

    fn authorization(&self, number: &str) -> Value {
        let (before, after) = self.authorizations;
        let challenge = |kind: &str| {
            let mut challenge = json!({ "type": kind, "token": format!("token{number}"),
                "url": format!("{BASE}/challenge/{number}") });
            if self.answered > 0 && after == "invalid" && number == "1" {
                challenge["error"] =
                    json!({ "type": "urn:ietf:params:acme:error:dns", "detail": "no\nrecord" });
            }
            challenge
        };
        let status = if self.answered == 0 { before } else { after };
        json!({ "identifier": { "type": "dns", "value": "t.test" }, "status": status,
            "challenges": [challenge("http-01"), challenge("dns-01")] })
    }
}

fn signed(request: &AcmeRequest) -> [Value; 2] {
    assert_eq!(request.method, "POST");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    ["protected", "payload"].map(|part| {
        let text = BASE64URL_NOPAD.decode(body[part].as_str().expect("text").as_bytes()).expect("base64url");
        if text.is_empty() { Value::Null } else { serde_json::from_slice(&text).expect("JSON") }
    })
}

fn key() -> Arc<AccountKey> {
    Arc::new(AccountKey::from_pem(&new_key().expect("a key")).expect("a key"))
}

fn machine(key: Arc<AccountKey>, challenge: ChallengeKind) -> OrderMachine {
    let spec = OrderSpec {
        directory: format!("{BASE}/directory"),
        email: "you@example".to_owned(),
        names: vec!["t.test".to_owned(), "*.t.test".to_owned()],
        challenge,
        csr: b"request".to_vec(),
    };
    OrderMachine::new(spec, key, Instant::from_millis(0))
}

/// What came of an order: its last event, what was published, and when it ended.
type Outcome = (OrderEvent, Vec<Challenge>, Instant);

fn run(machine: &mut OrderMachine, ca: &mut Ca) -> Outcome {
    let (mut now, mut published) = (Instant::from_millis(0), Vec::new());
    for _ in 0..10_000 {
        while let Some(event) = machine.poll_event() {
            match event {
                OrderEvent::Issuers(issuers) => assert_eq!(issuers, ["ca.example"]),
                OrderEvent::Publish(challenges) => {
                    assert!(machine.poll_request().is_none(), "nothing is asked before they are published");
                    published = challenges;
                    machine.handle_published(Ok(()));
                }
                last => {
                    assert_eq!((machine.poll_request(), machine.poll_timeout()), (None, None));
                    return (last, published, now);
                }
            }
        }
        if let Some(request) = machine.poll_request() {
            assert!(machine.poll_request().is_none(), "one request at a time");
            let response = ca.answer(&request);
            machine.handle_response(Ok(response), now);
        } else if let Some(at) = machine.poll_timeout() {
            now = at;
            machine.handle_timeout(now);
        }
    }
    panic!("the order does not end");
}

fn fails(ca: &mut Ca) -> OrderError {
    match run(&mut machine(key(), ChallengeKind::Dns01), ca).0 {
        OrderEvent::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_goes_from_the_account_to_the_chain() {
    let (key, mut ca) = (key(), Ca::new());
    let (issued, published, _) = run(&mut machine(Arc::clone(&key), ChallengeKind::Dns01), &mut ca);
    assert_eq!(issued, OrderEvent::Issued("\"chain\"".to_owned()));
    let expected = ["token0", "token1"].map(|token| Challenge {
        host: "t.test".to_owned(),
        key_authorization: key.key_authorization(token),
    });
    assert_eq!(published, expected);
    assert_eq!(
        ca.log,
        [
            "/account",
            "/order",
            "/authorization/0",
            "/authorization/1",
            "/challenge/0",
            "/challenge/1",
            "/order/1",
            "/finalize",
            "/order/1",
            "/certificate"
        ]
    );
}

#[test]
fn names_that_were_verified_before_need_not_be_again() {
    let mut ca = Ca { authorizations: ("valid", "valid"), ..Ca::new() };
    let (issued, published, _) = run(&mut machine(key(), ChallengeKind::Dns01), &mut ca);
    assert!(matches!(issued, OrderEvent::Issued(_)));
    assert_eq!(published, []);
    assert_eq!(ca.log[1..3], ["/order", "/finalize"]);
}

#[test]
fn nonces_are_refused_thirty_times_in_a_row_and_not_once_more() {
    for refuses in [2, 31] {
        let mut ca = Ca { refuses, ..Ca::new() };
        assert!(matches!(run(&mut machine(key(), ChallengeKind::Dns01), &mut ca).0, OrderEvent::Issued(_)));
    }
    let error = fails(&mut Ca { refuses: 32, ..Ca::new() });
    assert_eq!(error.to_string(), "the certificate authority refused the account: again (badNonce)");
}

#[test]
fn an_authority_that_takes_its_time_is_asked_more_and_more_seldom_and_not_for_ever() {
    let mut ca = Ca { pending: 12, ..Ca::new() };
    let (issued, _, now) = run(&mut machine(key(), ChallengeKind::Dns01), &mut ca);
    assert!(matches!(issued, OrderEvent::Issued(_)));
    // The answer to the order itself was the first poll: eleven and twelve waits of 1, 2, .. 10, 10 seconds.
    assert_eq!(now - Instant::from_millis(0), Duration::from_secs(55 + 10 + 55 + 20));
    let mut ca = Ca { pending: u32::MAX, ..Ca::new() };
    let (failed, _, now) = run(&mut machine(key(), ChallengeKind::Dns01), &mut ca);
    assert_eq!(failed, OrderEvent::Failed(OrderError::Timeout));
    assert_eq!(now - Instant::from_millis(0), ORDER_TIMEOUT);
}

#[test]
fn an_authority_says_when_it_wants_to_be_asked_again() {
    for (asked, waited) in [(0, 1), (1, 1), (7, 7), (60, 60), (61, 60)] {
        let mut machine = machine(key(), ChallengeKind::Dns01);
        let mut ca = Ca { pending: 2, ..Ca::new() };
        let slow = json!({ "status": "pending", "authorizations": [], "finalize": "" });
        let slow = AcmeResponse {
            status: 200,
            nonce: Some("n0".to_owned()),
            retry_after: Some(Duration::from_secs(asked)),
            body: slow.to_string().into_bytes(),
            ..AcmeResponse::default()
        };
        ca.nonces.push("n0".to_owned());
        ca.instead = Some(("/order/1", slow));
        ca.polls = 2;
        let (_, _, now) = run(&mut machine, &mut ca);
        // Two more waits, of 1 and 2 seconds, while the certificate is made.
        assert_eq!(now - Instant::from_millis(0), Duration::from_secs(waited + 1 + 2), "{asked}");
    }
}

#[test]
fn a_name_that_is_not_verified_is_told_with_the_reason() {
    let mut ca = Ca { authorizations: ("pending", "invalid"), ..Ca::new() };
    let error = fails(&mut ca);
    let text = "the certificate authority could not verify t.test: no\\nrecord (dns)";
    assert_eq!((error.to_string().as_str(), error.retry_after()), (text, None));
    assert_eq!(ca.log.last().map(String::as_str), Some("/authorization/1"));
}

#[test]
fn refusals_say_what_was_refused_and_when_to_come_back() {
    let limited = json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many" });
    let refusal = |status, body: &Value, retry_after| AcmeResponse {
        status,
        retry_after,
        body: body.to_string().into_bytes(),
        ..AcmeResponse::default()
    };
    let wait = Some(Duration::from_secs(3600));
    for (path, status, body, text) in [
        ("/order", 429, &limited, "refused the order: too many (rateLimited)"),
        ("/nonce", 503, &json!("<html>"), "refused the account: HTTP 503"),
        (
            "/finalize",
            403,
            &json!({ "detail": "bad CSR" }),
            "refused the request for the certificate: bad CSR",
        ),
    ] {
        let error = fails(&mut Ca { instead: Some((path, refusal(status, body, wait))), ..Ca::new() });
        assert_eq!(error.to_string(), format!("the certificate authority {text}"));
        assert_eq!(error.retry_after(), wait);
    }
}

#[test]
fn answers_that_make_no_sense_end_an_order() {
    let say = |body: Value| AcmeResponse {
        status: 200,
        location: Some(format!("{BASE}/order/1")),
        nonce: Some("n0".to_owned()),
        body: body.to_string().into_bytes(),
        ..AcmeResponse::default()
    };
    let order = |authorizations: usize| {
        let authorizations = vec![format!("{BASE}/authorization/0"); authorizations];
        say(json!({ "status": "pending", "finalize": "", "authorizations": authorizations }))
    };
    let unplaced = |response: AcmeResponse| AcmeResponse { location: None, ..response };
    for (path, response) in [
        ("/directory", say(json!({}))),
        ("/nonce", AcmeResponse { nonce: None, ..say(json!({})) }),
        ("/account", unplaced(say(json!({})))),
        ("/order", unplaced(order(1))),
        ("/order", order(0)),
        ("/order", order(9)),
        ("/authorization/1", say(json!([]))),
        ("/certificate", AcmeResponse { body: vec![0xff], ..say(json!({})) }),
    ] {
        let error = fails(&mut Ca { instead: Some((path, response)), ..Ca::new() });
        assert!(matches!(error, OrderError::Unreadable(_)), "{path}: {error:?}");
    }
    let mut ca = Ca { instead: Some(("/order", order(8))), ..Ca::new() };
    ca.nonces.push("n0".to_owned());
    assert!(matches!(run(&mut machine(key(), ChallengeKind::Dns01), &mut ca).0, OrderEvent::Issued(_)));
}

#[test]
fn an_authority_that_offers_no_way_is_named() {
    let mut ca = Ca::new();
    let (failed, _, _) = run(&mut machine(key(), ChallengeKind::TlsAlpn01), &mut ca);
    assert_eq!(failed, OrderEvent::Failed(OrderError::NoChallenge("t.test".to_owned(), "tls-alpn-01")));
    let directory = json!({ "newNonce": "", "newAccount": "", "newOrder": "",
        "meta": { "externalAccountRequired": true } });
    let directory =
        AcmeResponse { status: 200, body: directory.to_string().into_bytes(), ..AcmeResponse::default() };
    assert_eq!(
        fails(&mut Ca { instead: Some(("/directory", directory)), ..Ca::new() }),
        OrderError::ExternalAccount
    );
}

#[test]
fn an_order_ends_when_the_authority_is_gone_or_nothing_can_be_published() {
    let now = Instant::from_millis(0);
    let mut machine = machine(key(), ChallengeKind::Dns01);
    assert!(machine.poll_request().is_some());
    machine.handle_response(Err("gone".to_owned()), now);
    assert_eq!(machine.poll_event(), Some(OrderEvent::Failed(OrderError::Unreachable("gone".to_owned()))));
    machine.handle_response(Ok(AcmeResponse::default()), now);
    machine.handle_timeout(now + ORDER_TIMEOUT);
    assert_eq!(machine.poll_event(), None);

    let (mut machine, mut ca) = (self::machine(key(), ChallengeKind::Dns01), Ca::new());
    machine.handle_published(Ok(()));
    while !matches!(machine.poll_event(), Some(OrderEvent::Publish(_))) {
        if let Some(request) = machine.poll_request() {
            machine.handle_response(Ok(ca.answer(&request)), now);
        }
    }
    machine.handle_published(Err("full".to_owned()));
    assert_eq!(machine.poll_event(), Some(OrderEvent::Failed(OrderError::Unpublished("full".to_owned()))));
}
