//! Applications of others, and by other protocols, behind the page that asks for a key.

use hvym_tunnel_tests::chromium::{RELAY_DOMAIN, Tab};
use hvym_tunnel_tests::installed::{peer, required_tool, socket_io_folder};
use serde_json::json;

use super::page::Page;
use super::private::{Private, nobody};

/// Waits until what was said is heard.
fn until_heard(tab: &Tab, texts: &str) {
    tab.until(&format!("JSON.stringify(heard) === '{texts}'"));
}

#[test]
fn server_sent_events_go_on_when_the_relay_and_the_agent_were_away() {
    let Some(mut private) = Private::start(97, nobody()) else { return };
    let tab = private.opened();
    tab.block(
        "window.heard = [];
         window.ended = 0;
         window.events = new EventSource('/listen');
         events.onmessage = ({ data }) => { heard.push(data); document.body.dataset.heard = heard; };
         events.onerror = () => { ended += 1; document.body.dataset.ended = ended; };
         window.say = async (body) => (await fetch('/say', { method: 'POST', body })).status;",
    );
    assert_eq!(tab.run("say('one')"), 200);
    until_heard(&tab, r#"["one"]"#);
    // Without its agent each attempt fails at once, and an `EventSource` that gets a status of an error gives up.
    private.agent = None;
    tab.until("ended > 3");
    private.let_in(&nobody().to_string());
    assert_eq!(tab.run("say('two')"), 200);
    until_heard(&tab, r#"["one","two"]"#);
    private.relay = private.relay.restart(&[]);
    assert_eq!(tab.run("say('three')"), 200);
    until_heard(&tab, r#"["one","two","three"]"#);
    assert_eq!(tab.run("events.url"), format!("{}/listen", private.origin("app")));
    assert_eq!(tab.run("events.readyState"), 1);
}

#[test]
fn a_chat_by_socket_io_opens_and_comes_back_after_its_relay() {
    let (Some(node), Some(folder)) = (required_tool("node"), socket_io_folder()) else { return };
    let mut chat = peer(&node, &["socket_io.cjs", &folder.display().to_string()]);
    let port = chat.line().parse().expect("a port");
    let Some(mut private) = Private::of(98, port) else { return };
    let tab = private.chromium.open("about:blank");
    tab.follow(&private.link("app"));
    tab.until("document.title === 'chat' && window.connections === 1");
    // It begins by requests, and goes over to a WebSocket.
    let upgraded = "new Promise((resolve) => {
        const { engine } = socket.io;
        if (engine.transport.name === 'websocket') resolve(true);
        else engine.once('upgrade', ({ name }) => resolve(name === 'websocket'));
    })";
    assert_eq!(tab.run(upgraded), true);
    assert_eq!(tab.run("socket.emitWithAck('say', 'h\\u00e9llo')"), 5);
    let bytes = "const sum = await new Promise((resolve) => socket.emit('sum', new Uint8Array([1, 2, 250]), (sum, back) => resolve([sum, [...new Uint8Array(back)]])));
                 return [sum, heard];";
    assert_eq!(tab.block(bytes), json!([[253, [1, 2, 250]], ["héllo"]]));
    let other = private.chromium.open(&format!("{}/", private.origin("app")));
    other.until("window.connections === 1");
    private.relay = private.relay.restart(&[]);
    for tab in [&tab, &other] {
        let back = "new Promise((resolve) => { if (connections > 1 && socket.connected) resolve(0); else socket.on('connect', () => resolve(0)); })";
        tab.run(back);
    }
    tab.run(upgraded);
    let heard = other.begin("new Promise((resolve) => socket.once('said', resolve))");
    tab.run("socket.emitWithAck('say', 'again')");
    assert_eq!(heard.value(), "again");
}

/// By which protocol a page came.
const PROTOCOL: &str = "performance.getEntriesByType('navigation')[0].nextHopProtocol";

#[test]
fn a_relay_with_tls_shows_its_page_and_a_serving_tab_over_http2() {
    let Some(private) = Private::start_with_tls(99, nobody()) else { return };
    let tab = private.chromium.open(&format!("{}/", private.origin("app")));
    tab.until("document.getElementById('choices')?.hidden === false");
    assert_eq!(tab.run(PROTOCOL), "h2");
    let tab = private.opened();
    let seen = tab.block(
        "const socket = new WebSocket('/socket', 'echo');
         const head = await new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(JSON.parse(data)); });
         socket.close();
         return [(await (await fetch('/mirror')).json()).fields.host, head.origin];",
    );
    assert_eq!(seen, json!([private.host("app"), private.origin("app")]));
    let Some(page) = Page::open() else { return };
    let url = page.text(&format!(
        "(async () => {{
             window.tunnel = await Tunnel.connect({{ relay: 'wss://{}', relayAddress: '{}', identity: await Identity.generate() }});
             return tunnel.serve('web', () => new Response('<!doctype html><title>a tab</title>', {{ headers: {{ 'content-type': 'text/html' }} }}), {{ public: true }});
         }})()",
        private.authority(),
        private.relay.address,
    ));
    assert!(url.starts_with("https://") && url.contains(RELAY_DOMAIN), "{url}");
    let visitor = private.chromium.open(&url);
    assert_eq!(visitor.run(&format!("[document.title, {PROTOCOL}]")), json!(["a tab", "h2"]));
}
