//! An assistant that exposes services by the Model Context Protocol.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::installed::packaged_python;
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use serde_json::{Value, json};

/// `mcp`, and a client of it.
struct Assistant {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    last: u64,
    _home: Home,
}

impl Assistant {
    fn start(home: Home, arguments: &[&str]) -> Self {
        let mut command = home.command(&[&["mcp"], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let message =
                    serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is no message"));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut assistant = Assistant { child, input, lines, last: 0, _home: home };
        let hello =
            assistant.ask("initialize", json!({ "protocolVersion": "2025-06-18", "capabilities": {} }));
        assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
        assistant.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        assistant
    }

    fn send(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("it is open"), "{line}").expect("it reads");
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("an answer")
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": parameters });
        self.send(&request.to_string());
        let answer = self.next();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(self.last)), "{answer}");
        answer
    }

    /// What a tool gives, or the text of its error.
    fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, String> {
        let answer = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        match result["isError"].as_bool() {
            Some(false) => {
                let told: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(told, result["structuredContent"], "both forms are the same");
                Ok(told)
            }
            _ => Err(text),
        }
    }

    /// Closes its input, and waits for its end.
    fn end(mut self) -> i32 {
        self.input = None;
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().expect("a child can be waited for").code().expect("it was not killed")
    }
}

impl Drop for Assistant {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The status that a visitor of `url` gets.
fn status(relay: &Relay, url: &str, target: &str) -> u16 {
    let mut visit = relay.visit();
    visit.send(request(host_of(url), "GET", target, &["Authorization: Bearer s3cret"])).expect("it reads");
    visit.head().expect("a response").status()
}

#[test]
fn an_assistant_exposes_a_port_looks_at_its_requests_and_stops_it() {
    let (relay, origin) = (Relay::start(&[]), Origin::saying(b"ok"));
    let mut assistant = Assistant::start(Home::new(), &["--relay", &relay.url()]);
    let exposed = assistant.call("expose", json!({ "target": origin.port.to_string(), "public": true }));
    let exposed = exposed.expect("a URL");
    assert_eq!((&exposed["name"], &exposed["state"]), (&json!("web"), &json!("online")));
    let url = exposed["url"].as_str().expect("a URL").to_owned();
    assert_eq!(assistant.call("list", json!({})), Ok(json!({ "services": [exposed] })));
    let twice = assistant.call("expose", json!({ "target": "3000" }));
    assert!(twice.is_err_and(|reason| reason.contains("already")));

    assert_eq!(status(&relay, &url, "/a?token=s3cret"), 200);
    let requests = assistant.call("inspect", json!({ "service": "web" })).expect("requests");
    let [seen] = &requests["requests"].as_array().expect("a list")[..] else { panic!("{requests}") };
    assert_eq!(
        (&seen["method"], &seen["target"], &seen["status"]),
        (&json!("GET"), &json!("/a"), &json!(200))
    );
    let detail = assistant.call("inspect", json!({ "id": seen["id"] })).expect("the request");
    assert_eq!(detail["response"]["body"]["text"], "ok");
    assert!(!detail["request"].to_string().contains("Bearer"), "{detail}");
    assert!(assistant.call("inspect", json!({ "id": 99 })).is_err());

    assert_eq!(assistant.call("stop", json!({ "name": "web" })), Ok(json!({ "stopped": ["web"] })));
    assert_ne!(status(&relay, &url, "/"), 200);
    assert!(assistant.call("stop", json!({ "name": "web" })).is_err());
    assert_eq!(assistant.call("list", json!({})), Ok(json!({ "services": [] })));
    assert_eq!(assistant.end(), 0);
}

#[test]
fn what_an_assistant_exposes_is_private_unless_it_asks_for_a_public_address() {
    let key = Key::from_seed([91; 32]);
    let (mut relay, origin) = (Relay::start(&[]), Origin::echo());
    let arguments = ["--relay", &relay.url(), "--private-only"];
    let mut assistant = Assistant::start(Home::of(&key), &arguments);
    let description = assistant.ask("tools/list", json!({}))["result"]["tools"][0]["description"].clone();
    assert!(description.as_str().is_some_and(|text| text.contains("not allowed")), "{description}");
    let refused = |outcome: Result<Value, String>, said: &str| {
        assert!(outcome.as_ref().is_err_and(|reason| reason.contains(said)), "{outcome:?}");
    };
    refused(assistant.call("expose", json!({ "target": "3000", "public": true })), "--private-only");
    for other in ["/etc", "unix:/run/app.sock", "http://192.0.2.1:80"] {
        refused(assistant.call("expose", json!({ "target": other })), "--any-target");
    }
    let exposed = assistant.call("expose", json!({ "target": origin.port.to_string(), "name": "api" }));
    let exposed = exposed.expect("an address");
    assert_eq!((&exposed["public"], exposed.get("url")), (&json!(false), None));
    let typed = format!("hvym-tunnel forward {}/api --relay {}", key.address(), relay.url());
    assert!(exposed["reached_by"].as_str().is_some_and(|said| said.starts_with(&typed)), "{exposed}");
    let joined = relay.program.event("agent_joined");
    assert_ne!(status(&relay, joined["url"].as_str().expect("a URL"), "/"), 200);
    assert_eq!(assistant.end(), 0);
    relay.program.event("agent_left");
}

#[test]
fn an_assistant_without_a_relay_has_one_on_this_machine_and_several_services_there() {
    let origin = Origin::saying(b"ok");
    let mut assistant = Assistant::start(Home::new(), &[]);
    for (id, name) in [(101, "one"), (102, "two")] {
        let arguments = json!({ "target": origin.port.to_string(), "name": name, "public": true });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "expose", "arguments": arguments } });
        assistant.send(&call.to_string());
    }
    let mut ids: Vec<Value> = (0..2).map(|_| assistant.next()["id"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, [101, 102], "calls at the same time");
    let listed = assistant.call("list", json!({})).expect("services");
    let services = listed["services"].as_array().expect("a list");
    assert_eq!(services.len(), 2);
    assert!(services.iter().all(|service| service["state"] == "online"), "{listed}");
    assert_eq!(assistant.call("stop", json!({})), Ok(json!({ "stopped": ["one", "two"] })));
    assert_eq!(assistant.end(), 0);
}

#[test]
fn what_is_no_call_is_refused_and_ends_nothing() {
    let mut assistant = Assistant::start(Home::new(), &[]);
    for (line, code) in [("{", -32_700), ("[]", -32_600), (r#"{"jsonrpc":"2.0","id":7}"#, -32_600)] {
        assistant.send(line);
        assert_eq!(assistant.next()["error"]["code"], code, "{line}");
    }
    assert_eq!(assistant.ask("resources/list", json!({}))["error"]["code"], -32_601);
    assert_eq!(assistant.ask("tools/call", json!({ "name": "close" }))["error"]["code"], -32_602);
    assert!(assistant.call("expose", json!({})).is_err_and(|reason| reason == "target is missing"));
    assistant.send(&"x".repeat(2 * 1024 * 1024));
    assert_eq!(assistant.next()["error"]["message"], "it is too long");
    assert_eq!(assistant.ask("ping", json!({}))["result"], json!({}));
    assert_eq!(assistant.end(), 0);
}

/// A client by the protocol's own library.
const CLIENT: &str = r#"
import asyncio, json, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main():
    task = json.loads(sys.argv[1])
    server = StdioServerParameters(command=task["command"], args=task["arguments"], env=task["environment"])
    async with stdio_client(server) as (read, write):
        async with ClientSession(read, write) as session:
            hello = await session.initialize()
            tools = await session.list_tools()
            exposed = await session.call_tool("expose", {"target": task["target"], "public": True})
            listed = await session.call_tool("list", {})
            stopped = await session.call_tool("stop", {})
            wrong = await session.call_tool("expose", {})
    plain = lambda model: model.model_dump(mode="json", by_alias=True)
    print(json.dumps({
        "server": plain(hello)["serverInfo"]["name"],
        "tools": sorted(tool.name for tool in tools.tools),
        "exposed": plain(exposed)["structuredContent"],
        "listed": plain(listed)["structuredContent"],
        "stopped": plain(stopped)["structuredContent"],
        "wrong": plain(wrong)["isError"],
    }))

asyncio.run(main())
"#;

#[test]
fn the_library_of_the_protocol_understands_every_answer() {
    let Some(python) = packaged_python() else { return };
    let (relay, origin, home) = (Relay::start(&[]), Origin::echo(), Home::new());
    let program = home.command(&[]).get_program().to_owned();
    let task = json!({
        "command": Path::new(&program),
        "arguments": ["mcp", "--relay", relay.url()],
        "environment": { "HOME": home.path(""), "XDG_CONFIG_HOME": home.path("config") },
        "target": origin.port.to_string(),
    });
    let mut command = Command::new(python);
    command.args(["-c", CLIENT, &task.to_string()]);
    let mut client = Program::start(command);
    let told: Value = serde_json::from_str(&client.line()).expect("JSON");
    assert_eq!(client.code(), 0, "{client:?}");
    assert_eq!((&told["server"], &told["wrong"]), (&json!("hvym-tunnel"), &json!(true)));
    assert_eq!(told["tools"], json!(["expose", "inspect", "list", "stop"]));
    assert_eq!(told["listed"]["services"], json!([told["exposed"]]));
    assert_eq!(told["stopped"], json!({ "stopped": ["web"] }));
}
