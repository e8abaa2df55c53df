//! A relay whose database is killed while visitors use a tunnel of it, and comes back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use hvym_tunnel_tests::databases::DatabaseServer;
use hvym_tunnel_tests::guests::{write_config, write_private};
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use serde_json::{Value, json};

use super::asking::ask;

const CONFIG: &str = "[tunely]\nadmin_key = \"the-operators-own-key\"\n";
const FIELDS: [&str; 2] = ["X-Api-Key: the-operators-own-key", "Content-Type: application/json"];
/// Requests before the database is killed, while it is away, and after it is back.
const REQUESTS: usize = 200;
/// Visitors at once.
const VISITORS: usize = 4;

fn told(relay: &Relay, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (head, answer) = ask(relay, method, target, &FIELDS, &body);
    (head.status(), serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{target}: {error}")))
}

fn create(relay: &Relay, domain: &str) -> (u16, Value) {
    told(relay, "POST", "/api/tunnels", &json!({ "domain": domain }))
}

fn expose(relay: &Relay, token: &str, port: u16) -> Agent {
    let home = Home::new();
    let token = write_private(&home, "token", token);
    Agent::start_in(home, relay, port, &["--dialect", "tunely", "--token-file", &token])
}

/// Asks over one connection until it is told to stop, and fails at the first answer that is none.
fn visit(port: u16, answered: &AtomicU64, is_over: &AtomicBool, tell: &Sender<()>) {
    let mut visitor = Conversation::dial(port);
    while !is_over.load(Ordering::Relaxed) {
        visitor.send(request("shop.localhost", "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let body = visitor.body(&head).expect("a whole answer");
        assert_eq!((head.status(), &*body), (200, &b"hello"[..]));
        answered.fetch_add(1, Ordering::Relaxed);
        let _nobody_waits = tell.send(());
    }
}

/// Ends the visitors when it is dropped, also by a test that fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for [`REQUESTS`] more answers.
fn more(answers: &Receiver<()>) {
    while answers.try_recv().is_ok() {}
    for _ in 0..REQUESTS {
        answers.recv_timeout(PATIENCE).expect("visitors are answered");
    }
}

fn survives(mut database: DatabaseServer) {
    let home = Home::new();
    let url = write_private(&home, "database.url", &database.url());
    let config = write_config(&home, CONFIG);
    let mut relay = Relay::start_in(home, 0, &["--config", &config, "--database-file", &url]);
    let (_, created) = create(&relay, "shop");
    let token = created["token"].as_str().expect("a token").to_owned();
    assert_eq!(told(&relay, "PUT", "/api/tunnels/shop", &json!({"log_requests": true})).0, 200);
    let _agent = expose(&relay, &token, Origin::saying(b"hello").port);
    let (answered, is_over, port) = (AtomicU64::new(0), AtomicBool::new(false), relay.port);
    let (tell, answers) = channel();
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        for _ in 0..VISITORS {
            let tell = tell.clone();
            let (answered, is_over) = (&answered, &is_over);
            scope.spawn(move || visit(port, answered, is_over, &tell));
        }
        more(&answers);
        database.kill();
        let lost = relay.program.event("database_lost");
        assert!(lost["message"].as_str().is_some_and(|message| message.contains("tunnels")), "{lost}");
        more(&answers);
        let refused = create(&relay, "late");
        assert_eq!(refused, (503, json!({"detail": "the relay's database cannot be reached"})));
        database.restart();
        relay.program.event("database_back");
        more(&answers);
        assert_eq!(create(&relay, "late").0, 200, "it recovers by itself");
        drop(over);
    });
    let (_, tunnel) = told(&relay, "GET", "/api/tunnels/shop", &Value::Null);
    assert_eq!(tunnel["total_requests"], answered.load(Ordering::Relaxed), "{tunnel}");
    let (_, page) = told(&relay, "GET", "/api/tunnels/shop/logs?limit=1", &Value::Null);
    assert!(page["total"].as_u64() >= Some(REQUESTS as u64), "requests are logged before and after: {page}");
}

#[test]
fn visitors_do_not_notice_that_postgresql_is_killed_and_comes_back() {
    if let Some(database) = DatabaseServer::postgres() {
        survives(database);
    }
}

#[test]
fn visitors_do_not_notice_that_mariadb_is_killed_and_comes_back() {
    if let Some(database) = DatabaseServer::mariadb() {
        survives(database);
    }
}
