//! Visitors who ask again and again while something happens, and are answered every time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hvym_tunnel_tests::http::Conversation;
use hvym_tunnel_tests::tunnel::request;

/// Requests between two steps of what happens.
const SOME: usize = 100;

/// Asks once. Returns whether the connection may carry another request.
pub(crate) fn ask(visitor: &mut Conversation, host: &str, method: &str) -> bool {
    let request = request(host, method, "/", &["Content-Length: 4"]) + "data";
    visitor.send(request).unwrap_or_else(|error| panic!("{method}: {error}"));
    let head = visitor.head().unwrap_or_else(|error| panic!("{method}: {error}"));
    let body = visitor.body(&head).unwrap_or_else(|error| panic!("{method}: {error}"));
    assert_eq!((head.status(), String::from_utf8_lossy(&body)), (200, format!("{method} 4").into()));
    head.field("connection").is_none()
}

/// Has as many visitors ask by GET and POST in turn, of whom the first `kept` keep their connections, while `happens` runs. It is
/// given what waits for some requests more.
pub(crate) fn under_load<T>(
    port: u16,
    host: &str,
    (visitors, kept): (usize, usize),
    happens: impl FnOnce(&dyn Fn()) -> T,
) -> T {
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let some_more = || {
        let before = asked.load(Ordering::Relaxed);
        while asked.load(Ordering::Relaxed) < before + SOME {
            std::thread::yield_now();
        }
    };
    let visit = |method, keeps: bool| {
        let mut visitor = Conversation::dial(port);
        while !is_over.load(Ordering::Relaxed) {
            if !ask(&mut visitor, host, method) || !keeps {
                visitor = Conversation::dial(port);
            }
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for number in 0..visitors {
            let method = if number % 2 == 0 { "GET" } else { "POST" };
            scope.spawn(move || visit(method, number < kept));
        }
        let happened = happens(&some_more);
        is_over.store(true, Ordering::Relaxed);
        happened
    })
}
