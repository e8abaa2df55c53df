//! The columns: what each wants to see.

use std::io;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use serde_json::Value;

use super::service::{COMPRESSED, COOKIES, PLAIN, Service, binary, large};
use super::visitor::{Feed, Reply, Visitor};
use super::{Joining, Row, Setting, Stage, is, until};

/// One thing that people do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Column {
    Login,
    WrongToken,
    Get,
    PostJson,
    BinaryUp,
    BinaryDown,
    Gzip,
    GzipUnasked,
    Cookies,
    Events,
    TenAtOnce,
    LargeUp,
    LargeDown,
    TargetDown,
    TargetSlow,
    Restart,
    Duplicate,
    Forced,
}

impl Column {
    /// All of them, in the order of the table.
    pub const ALL: [Column; 18] = [
        Column::Login,
        Column::WrongToken,
        Column::Get,
        Column::PostJson,
        Column::BinaryUp,
        Column::BinaryDown,
        Column::Gzip,
        Column::GzipUnasked,
        Column::Cookies,
        Column::Events,
        Column::TenAtOnce,
        Column::LargeUp,
        Column::LargeDown,
        Column::TargetDown,
        Column::TargetSlow,
        Column::Restart,
        Column::Duplicate,
        Column::Forced,
    ];

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Column::Login => "login",
            Column::WrongToken => "wrong token",
            Column::Get => "GET",
            Column::PostJson => "POST JSON",
            Column::BinaryUp => "binary up",
            Column::BinaryDown => "binary down",
            Column::Gzip => "gzip",
            Column::GzipUnasked => "gzip, though not asked for",
            Column::Cookies => "two Set-Cookie",
            Column::Events => "SSE",
            Column::TenAtOnce => "10 at once, one slow",
            Column::LargeUp => "3 MiB up",
            Column::LargeDown => "3 MiB down",
            Column::TargetDown => "target down",
            Column::TargetSlow => "target slow",
            Column::Restart => "reconnect after relay restart",
            Column::Duplicate => "duplicate without force",
            Column::Forced => "duplicate with force",
        }
    }

    /// Looks whether it is so. `stage` is set up where it is needed and missing.
    ///
    /// # Panics
    /// When it is not so; the words are for the table.
    pub(super) fn look(self, row: &dyn Row, stage: &mut Option<Stage>, patience: Duration) {
        let own: fn(&dyn Row, Duration) = match self {
            Column::WrongToken => wrong_token,
            Column::TargetDown => target_down,
            Column::TargetSlow => target_slow,
            Column::Restart => restart,
            Column::Duplicate => duplicate,
            Column::Forced => forced,
            _ => {
                let stage = stage.get_or_insert_with(|| Stage::set(row, patience));
                stage.patience = patience;
                stage.visitor.patience = patience;
                return self.look_at(row, stage);
            }
        };
        own(row, patience);
    }

    fn look_at(self, row: &dyn Row, stage: &Stage) {
        match self {
            Column::PostJson => post_json(row, stage),
            Column::BinaryUp => up(stage, "application/octet-stream", &binary()),
            Column::BinaryDown => down(stage, "/binary", &binary()),
            Column::Gzip => gzip(stage, "/gzip"),
            Column::GzipUnasked => gzip(stage, "/gzip-always"),
            Column::Cookies => cookies(stage),
            Column::Events => events(stage),
            Column::TenAtOnce => ten_at_once(stage),
            Column::LargeUp => up(stage, "text/plain", &large()),
            Column::LargeDown => down(stage, "/large", &large()),
            // The stage was set up, which is the login.
            _ => now(&stage.visitor, "hello from the first"),
        }
    }
}

/// An answer that is none of a fault.
fn good(reply: io::Result<Reply>) -> Reply {
    let reply = reply.unwrap_or_else(|error| panic!("no answer: {error}"));
    assert!(reply.head.status() == 200, "{}: {}", reply.head.first, reply.text());
    reply
}

/// Whether bytes are the same, in few words.
fn same(seen: &[u8], expected: &[u8]) {
    let first = seen.iter().zip(expected).position(|(a, b)| a != b);
    let lengths = (seen.len(), expected.len());
    assert!(
        seen == expected,
        "{} bytes instead of {}, different from byte {first:?} on",
        lengths.0,
        lengths.1
    );
}

fn post_json(row: &dyn Row, stage: &Stage) {
    let document = "{\"text\":\"é ☃ \\\"\",\"list\":[1,-2,2.5,null,true,{}]}";
    let reply =
        good(stage.visitor.ask("POST", "/json", &["Content-Type: application/json"], document.as_bytes()));
    if row.keeps_json() {
        return same(&reply.body, document.as_bytes());
    }
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    assert_eq!(parsed(&reply.body), parsed(document.as_bytes()), "{}", reply.text());
}

fn up(stage: &Stage, kind: &str, body: &[u8]) {
    good(stage.visitor.ask("POST", "/keep", &[&format!("Content-Type: {kind}")], body));
    same(&stage.service.kept(), body);
}

fn down(stage: &Stage, path: &str, body: &[u8]) {
    same(&good(stage.visitor.get(path)).body, body);
}

fn gzip(stage: &Stage, path: &str) {
    let reply = good(stage.visitor.ask("GET", path, &["Accept-Encoding: gzip"], &[]));
    // Both are right: to leave it as it is, and to unpack it and say so.
    match reply.head.field("content-encoding") {
        Some(coding) => {
            assert_eq!(coding, "gzip");
            same(&reply.body, COMPRESSED);
        }
        None => same(&reply.body, &PLAIN.repeat(100)),
    }
}

fn cookies(stage: &Stage) {
    let reply = good(stage.visitor.get("/cookies"));
    let seen = reply.head.all("set-cookie");
    assert!(seen == COOKIES, "the cookies are {seen:?}");
}

fn events(stage: &Stage) {
    let accept = ["Accept: text/event-stream"];
    let mut visitor = stage.visitor.begin("GET", "/events", &accept, &[]).expect("the door is open");
    let head = visitor.head().unwrap_or_else(|error| panic!("nothing comes before the end: {error}"));
    assert!(head.status() == 200, "{}", head.first);
    let kind = head.field("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/event-stream"), "the type is {kind:?}");
    let mut feed = Feed::new(visitor, &head);
    let mut all = String::new();
    for number in 1..=3 {
        let event = format!("event {number}");
        stage.service.publish(&event);
        // The next is not made before this one is there.
        feed.until(&event).unwrap_or_else(|error| panic!("{event} does not come: {error}"));
        all.push_str(&format!("data: {event}\n\n"));
    }
    stage.service.publish("");
    let seen = feed.rest().unwrap_or_else(|error| panic!("the end does not come: {error}"));
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen == all, "the events are {seen:?}");
}

fn ten_at_once(stage: &Stage) {
    let visitor = &stage.visitor;
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| visitor.get("/slow"));
        stage.service.slow_begun().pass();
        let quick: Vec<_> = (0..9).map(|_| scope.spawn(|| visitor.greeting())).collect();
        let seen: Vec<String> =
            quick.into_iter().map(|visitor| visitor.join().expect("it returns errors")).collect();
        let is_open = !slow.is_finished();
        stage.service.slow_goes_on();
        let slow = slow.join().expect("it returns errors");
        assert!(seen.iter().all(|seen| seen == "hello from the first"), "not past the slow one: {seen:?}");
        assert!(is_open, "the slow one ended before it could: {slow:?}");
        assert_eq!(good(slow).text(), "slow");
    });
}

fn wrong_token(row: &dyn Row, patience: Duration) {
    let service = Service::start("the first");
    let public = row.open(Setting::Usual);
    let mut agent = public.join(Joining { is_known: false, ..Joining::to(service.port) });
    agent.await_refused();
    let visitor = Visitor { patience, ..public.visitor() };
    let seen = visitor.greeting();
    assert!(!seen.starts_with("hello"), "a stranger is reached: {seen}");
    // Whoever is known is let in all the same.
    public.join(Joining::to(service.port)).await_joined();
}

/// A port where nobody listens, and nobody else can either.
fn held() -> (OwnedFd, u16) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("the system has sockets");
    bind(&socket, &"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address")).expect("a free port");
    let at = getsockname(&socket).expect("it is bound");
    let at = std::net::SocketAddr::try_from(at).expect("an address of the internet");
    (socket, at.port())
}

fn target_down(row: &dyn Row, patience: Duration) {
    let (_held, port) = held();
    let public = row.open(Setting::Usual);
    let mut agent = public.join(Joining::to(port));
    agent.await_joined();
    let visitor = Visitor { patience, ..public.visitor() };
    fails_with(&visitor, "/hello", &[502, 503]);
}

fn target_slow(row: &dyn Row, patience: Duration) {
    let service = Service::start("the first");
    let public = row.open(Setting::Impatient);
    let mut agent = public.join(Joining::to(service.port));
    agent.await_joined();
    fails_with(&Visitor { patience, ..public.visitor() }, "/never", &[504]);
}

/// Whether this is what a visitor sees, without waiting for it.
fn now(visitor: &Visitor, expected: &str) {
    if let Err(complaint) = is(expected, visitor.greeting()) {
        panic!("{complaint}");
    }
}

/// Whether this is what a visitor sees, also when everybody has done what they have to do.
fn stays(visitor: &Visitor, expected: &str) {
    (0..10).for_each(|_| now(visitor, expected));
}

/// Whether a visitor is told so by one of these.
fn fails_with(visitor: &Visitor, path: &str, statuses: &[u16]) {
    let reply = visitor.get(path).unwrap_or_else(|error| panic!("no answer: {error}"));
    assert!(statuses.contains(&reply.head.status()), "{}: {}", reply.head.first, reply.text());
}

fn restart(row: &dyn Row, patience: Duration) {
    let service = Service::start("the first");
    let mut public = row.open(Setting::Usual);
    let mut agent = public.join(Joining::to(service.port));
    agent.await_joined();
    let visitor = Visitor { patience, ..public.visitor() };
    until(patience, || is("hello from the first", visitor.greeting()));
    public.restart();
    until(patience, || is("hello from the first", visitor.greeting()));
}

fn duplicate(row: &dyn Row, patience: Duration) {
    let services = [Service::start("the first"), Service::start("the second")];
    let public = row.open(Setting::Loyal);
    let mut first = public.join(Joining::to(services[0].port));
    first.await_joined();
    let visitor = Visitor { patience, ..public.visitor() };
    until(patience, || is("hello from the first", visitor.greeting()));
    let mut second = public.join(Joining::to(services[1].port));
    second.await_refused();
    stays(&visitor, "hello from the first");
}

fn forced(row: &dyn Row, patience: Duration) {
    let services = [Service::start("the first"), Service::start("the second")];
    let public = row.open(Setting::Usual);
    let mut first = public.join(Joining::to(services[0].port));
    first.await_joined();
    let visitor = Visitor { patience, ..public.visitor() };
    until(patience, || is("hello from the first", visitor.greeting()));
    let mut second = public.join(Joining { is_forced: true, ..Joining::to(services[1].port) });
    second.await_joined();
    until(patience, || is("hello from the second", visitor.greeting()));
    if row.has_force() {
        first.await_refused();
        stays(&visitor, "hello from the second");
    }
}
