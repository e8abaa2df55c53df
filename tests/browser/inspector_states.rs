//! The page of the inspector in its states, on small and large screens.

use hvym_tunnel_tests::chromium::Chromium;
use hvym_tunnel_tests::http::{Head, Origin, answer};
use serde_json::{Value, json};

use crate::page_fixtures::exchange;
use crate::page_states::{State, file, reply, try_states};

/// An inspector with these requests, of which each has the detail and bodies of `details`.
fn inspector(status: Value, requests: Vec<Value>, details: Value) -> Origin {
    Origin::start(move |mut connection| {
        loop {
            let head: Head = connection.head()?;
            connection.body(&head)?;
            let path = head.target().split('?').next().unwrap_or_default();
            // Without a status nobody answers any more.
            if path == "/api/events" && !status.is_null() {
                let events = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: status\ndata: {status}\n\nevent: requests\ndata: {}\n\n",
                    json!({ "cleared": true, "requests": requests })
                );
                connection.send(events)?;
                return connection.rest().map(drop);
            }
            let found = file("inspector", path).or_else(|| match details.get(path) {
                Some(Value::String(text)) => Some(answer("200 OK", &[], text.as_bytes())),
                Some(value) => Some(reply(value)),
                None => None,
            });
            connection.send(found.unwrap_or_else(|| answer("404 Not Found", &[], b"{}")))?;
        }
    })
}

fn inspector_states() -> Vec<State> {
    let status = |open: bool| {
        json!({
            "open": open, "private": false, "dropped": 3, "skipped": 0, "version": "1", "limits": { "requests": 1000, "body_bytes": 1, "held_bytes": 1 },
            "services": [{ "service": "web", "target": "http://localhost:3000", "url": open.then_some("https://abcdefgh.tunnel.example") }],
        })
    };
    let (requests, details) = exchange();
    let state = |name, open, requests, path, ready| State {
        name,
        server: inspector(status(open), requests, details.clone()),
        path,
        ready,
    };
    let many = (1..=1000).map(|id| {
        let mut request = requests[2].clone();
        request["id"] = json!(id);
        request
    });
    vec![
        state("empty", true, Vec::new(), "/", "document.body.innerText.includes('No requests yet')"),
        state("closed", false, Vec::new(), "/", "document.body.innerText.includes('No link to the relay')"),
        state("list", true, requests.clone(), "/", "document.querySelectorAll('.row').length === 6"),
        state("detail", true, requests.clone(), "/#1", "document.querySelector('.json') !== null"),
        state(
            "messages",
            true,
            requests.clone(),
            "/#3",
            "document.querySelectorAll('.message').length === 3",
        ),
        state("socket", true, requests.clone(), "/#5", "document.querySelectorAll('.message').length === 6"),
        state(
            "frame",
            true,
            requests.clone(),
            "/#5",
            "document.querySelector('.message-body') !== null || (document.querySelectorAll('.message')[1]?.click(), false)",
        ),
        state(
            "broken",
            true,
            requests.clone(),
            "/#6",
            "document.body.innerText.includes('There was no response.')",
        ),
        state(
            "failed",
            true,
            requests.clone(),
            "/",
            "document.querySelector('[role=alert]') !== null || ([...document.querySelectorAll('button')].find((one) => one.innerText === 'Clear')?.click(), false)",
        ),
        State {
            name: "offline",
            server: inspector(Value::Null, Vec::new(), json!({})),
            path: "/",
            ready: "document.body.innerText.includes('The program does not answer') && document.body.innerText.includes('Has the tunnel ended?')",
        },
        state(
            "timing",
            true,
            requests.clone(),
            "/#1",
            "document.querySelector('#tab-timing')?.click(), document.querySelector('.timing') !== null",
        ),
        state("rows", true, many.collect(), "/", "document.querySelectorAll('.row').length === 1000"),
        state(
            "edit",
            true,
            requests.clone(),
            "/#1",
            "document.querySelector('dialog') !== null || ([...document.querySelectorAll('.actions button')].find((one) => one.innerText === 'Edit and replay' && !one.disabled)?.click(), false)",
        ),
    ]
}

#[test]
fn the_inspector_fits_every_screen_and_everybody_can_use_it() {
    let Some(chromium) = Chromium::shared() else { return };
    try_states(&chromium, "inspector", &inspector_states());
}
