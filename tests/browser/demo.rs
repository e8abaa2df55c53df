//! The page of `demo`, operated by clicks.

use hvym_tunnel_tests::chromium::{Chromium, Tab};
use hvym_tunnel_tests::http::Conversation;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};

use super::page::package;

fn click(tab: &Tab, button: &str) {
    tab.run(&format!("document.getElementById('{button}').click(), 0"));
}

fn text(tab: &Tab, id: &str) -> String {
    let text = tab.run(&format!("document.getElementById('{id}').textContent"));
    text.as_str().expect("text").to_owned()
}

#[test]
fn a_person_connects_offers_and_reaches_by_clicking() {
    let Some(chromium) = Chromium::shared() else { return };
    let folder = package().display().to_string();
    let home = Home::new();
    let mut demo = home.start(&["demo", "--port", "0", "--package", &folder]);
    let url = demo.line();
    let tab = chromium.open(&url);
    tab.until("document.getElementById('address')?.textContent.startsWith('G')");

    let address = text(&tab, "address");
    tab.run("document.getElementById('connect').focus(), 0");
    click(&tab, "connect");
    assert_eq!(tab.run("document.activeElement.id"), "disconnect", "the focus is lost");
    tab.until("document.getElementById('state').textContent === 'connected'");
    click(&tab, "offer");
    tab.until("!document.getElementById('offered').hidden");
    let code =
        "document.querySelector('summary').click(), document.getElementById('qr').decode().then(() => true)";
    assert_eq!(tab.run(code), true);
    let offered = text(&tab, "url");
    let host = host_of(&offered);
    let port = host.rsplit_once(':').expect("a port").1.parse().expect("a number");
    let mut visitor = Conversation::dial(port);
    visitor.send(request(host, "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("a body"), b"Hello from a browser tab!\n");
    tab.until("document.getElementById('requests').textContent.includes('GET /')");

    click(&tab, "reach");
    tab.until("document.getElementById('answer').textContent.includes('Hello from the machine')");
    tab.run("document.getElementById('path').value = '/ticks'");
    click(&tab, "reach");
    tab.until("document.getElementById('answer').textContent.includes('tick 2')");
    click(&tab, "abort");
    tab.until("document.getElementById('answer').textContent.includes('(stopped)')");

    // The same person, at another relay.
    tab.go(&url);
    tab.until("document.getElementById('address')?.textContent.startsWith('G')");
    assert_eq!(text(&tab, "address"), address);
    let other = Relay::start(&[]);
    tab.run(&format!("document.getElementById('relay').value = '{}', 0", other.url()));
    click(&tab, "connect");
    tab.until("document.getElementById('state').textContent === 'connected'");
    click(&tab, "offer");
    tab.until("!document.getElementById('offered').hidden");
    assert!(text(&tab, "url").ends_with(&format!(":{}/", other.port)), "{}", text(&tab, "url"));
    click(&tab, "forget");
    tab.until(&format!(
        "(({{ textContent }}) => /^G/.test(textContent) && textContent !== '{address}')(document.getElementById('address'))"
    ));
    assert_eq!(tab.noise(), Vec::<String>::new());
}
