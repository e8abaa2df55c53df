//! What the package does in each engine.

use std::path::Path;

use hvym_tunnel_tests::engines::{Engine, Site};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use serde_json::Value;

use super::super::page::package;
use super::Row;

/// What `features.js` says of an engine, and then a visitor of the page; nothing is checked where there is no such browser.
fn row(engine: Engine) {
    let relay = Relay::start(&[]);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let page = "<!doctype html>\n<meta charset=\"utf-8\">\n<title>tunnel</title>\n\
                <script type=\"module\" src=\"/features.js\"></script>\n";
    let site = Site::new(
        &[("/package/", package()), ("/", &own)],
        vec![("/features.html", Vec::new(), page.into())],
    );
    let query = format!("relay={}&address={}", relay.url(), relay.address);
    let Some(_opened) = engine.open(&site.url("/features.html", &query)) else { return };
    let mut row = Row::new("features", engine as usize, engine.name());
    match site.report() {
        Ok(told) => {
            for seen in told["seen"].as_array().expect("a list") {
                let text = |name: &str| seen[name].as_str().expect("text").to_owned();
                let outcome = text("outcome");
                let outcome =
                    outcome.strip_prefix("FAIL: ").map_or(Ok(outcome.clone()), |fault| Err(fault.into()));
                row.add(&text("name"), outcome);
            }
            row.add("a visitor from outside", visited(&relay, &told));
        }
        Err(fault) => row.add("it starts", Err(fault)),
    }
    row.finish();
}

/// What a visitor of the page's public service gets.
fn visited(relay: &Relay, told: &Value) -> Result<String, String> {
    let host = host_of(told["url"].as_str().expect("a URL"));
    let mut visitor = relay.visit();
    visitor.send(request(host, "GET", "/path", &[])).map_err(|error| error.to_string())?;
    let head = visitor.head().map_err(|error| error.to_string())?;
    let body = visitor.body(&head).map_err(|error| error.to_string())?;
    if body == b"true /path" { Ok("yes".into()) } else { Err(String::from_utf8_lossy(&body).into_owned()) }
}

#[test]
fn firefox_does_what_chromium_does() {
    row(Engine::Firefox);
}

#[test]
fn chromium_does_all_of_it() {
    row(Engine::Chromium);
}

#[test]
fn webkit_does_what_chromium_does() {
    row(Engine::WebKit);
}
