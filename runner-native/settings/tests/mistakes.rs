//! Every mistake of a settings file is told at once, with its line and without what stands there.

use std::path::Path;

use hvym_tunnel_settings::{Override, ValueOrigin, parse};

/// What is wrong with `text`, one line for each.
fn mistakes(text: &str) -> Vec<String> {
    mistakes_with(text, &[])
}

fn mistakes_with(text: &str, overrides: &[Override]) -> Vec<String> {
    match parse(text, Path::new("config.toml"), overrides) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn an_empty_file_has_the_defaults() {
    let loaded = parse("", Path::new("/etc/hvym-tunnel/config.toml"), &[]).expect("settings");
    let settings = loaded.settings;
    assert_eq!((settings.api.port.port(), settings.health.interval.get()), (8765, 30));
    assert_eq!(settings.alerts.max_latency_ms.get(), 5000);
    assert!(settings.links.is_empty() && loaded.origins.is_empty());
    assert_eq!(settings.folder, Path::new("/etc/hvym-tunnel"));
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let text = r#"version = 2
colour = "red"

[[link]]
name = "home"
relais = "tunnel.example"
relay = "ftp://tunnel.example"

[[service]]
target = "localhost"
public = "yes"

[api]
port = 0
allowed_origins = ["*"]

[health]
interval = 4
max_retries = 0

[limits]
request_timeout = 4

[log]
level = "LOUD"
"#;
    let expected = [
        "config.toml:1: version: version 2 is not known here; this program understands version 1",
        "config.toml:2: colour: there is no such key; the keys here are",
        "config.toml:6: link.home.relais: there is no such key; did you mean relay?",
        "config.toml:7: link.home.relay: ",
        "config.toml:9: service.0: the key name is needed here",
        "config.toml:10: service.0.target: localhost is not enough",
        "config.toml:11: service.0.public: a boolean is needed",
        "config.toml:14: api.port: a whole number from 1 to 65535 is needed",
        "config.toml:15: api.allowed_origins: an origin has a scheme",
        "config.toml:18: health.interval: a whole number from 5 to 300 is needed",
        "config.toml:19: health.max_retries: a whole number from 1 to 100 is needed",
        "config.toml:22: limits.request_timeout: a number from 5 to 86400 is needed",
        "config.toml:25: log.level: there is no such word",
    ];
    let told = mistakes(text);
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nis not\n{expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn a_key_of_another_program_is_understood_and_its_name_here_told() {
    let text = "[api]\napiServerPort = 1\n[health]\nhealthCheckInterval = 30\nmaxRetries = 2\n[ui]\nstartMinimised = true\n";
    let told = mistakes(text);
    for name in ["port?", "interval?", "max_retries?", "start_minimized?"] {
        assert!(told.iter().any(|line| line.ends_with(&format!("did you mean {name}"))), "{name}: {told:#?}");
    }
    assert_eq!(told.len(), 4);
}

#[test]
fn what_contradicts_is_told_at_once_too() {
    let friend = "GCEZWKCA5VLDNRLN3RPRJMRZOX3Z6G5CHCGSNFHEYVXM3XOJMDS674JZ";
    let text = format!(
        r#"[[link]]
relay = "ws://tunnel.example"
auth = "bearer"
reconnect_delay = 61

[[link]]
relay = "tunely.example"
token_file = "a.token"

[[service]]
name = "web"
target = "3000"
link = "nowhere"

[[service]]
name = "db"
target = "3001"
link = "main"
public = false
proxy_protocol = true

[[service]]
name = "api"
target = "3002"
link = "main"
allow = ["{friend}"]

[api]
listen = ["0.0.0.0"]
tls_key = "key.pem"

[log]
agent_file = "one.log"
api_file = "one.log"

[[hooks.ready]]
url = "https+insecure://tunnel.example/hook"

[[hooks.down]]
exec = ["true"]
form = {{ a = "b" }}
"#
    );
    let told = mistakes(&text);
    let expected = [
        (2, "link.0.relay: "),
        (6, "link.1.name: another link is called main too"),
        (8, "link.1.token_file: "),
        (13, "service.web.link: there is no link called nowhere"),
        (20, "service.db.proxy_protocol: "),
        (26, "service.api.allow: "),
        (29, "api.listen: other machines"),
        (28, "api.tls_cert: "),
        (34, "log.api_file: "),
        (37, "hooks.ready.0.url: "),
        (40, "hooks.down.0.exec: "),
    ];
    for (line, what) in expected {
        let wanted = format!("config.toml:{line}: {what}");
        assert!(told.iter().any(|told| told.starts_with(&wanted)), "{wanted}\n{told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn what_is_no_toml_is_told_by_line() {
    let told = mistakes("version = 1\n[api\nport = 1\n");
    assert!(told[0].starts_with("config.toml:2: "), "{told:#?}");
    let told = mistakes("version = 1\nversion = 1\n");
    assert!(told[0].starts_with("config.toml:2: "), "{told:#?}");
}

#[test]
fn what_is_no_table_is_told_and_never_read_as_one() {
    let told =
        mistakes("api = []\nlink = [[\"main\"]]\nhealth = 1\nhooks = { ready = {} }\nservice = \"web\"\n");
    let lines: Vec<_> = told.iter().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(lines, ["api", "link", "health", "hooks.ready", "service"], "{told:#?}");
}

#[test]
fn no_mistake_shows_what_stands_there() {
    let secret = "SSECRETSECRETSECRET";
    for text in [
        format!("[[link]]\nrelay = \"a.example\"\nforce = \"{secret}\"\n"),
        format!("[api]\nport = \"{secret}\"\n"),
        format!("[api]\nlisten = [\"{secret}\"]\n"),
        format!("[[link]]\nrelay_address = \"{secret}\"\nrelay = \"a.example\"\n"),
        format!("[alerts]\non_alert_url = \"ftp://{secret}\"\n"),
        format!("[[hooks.ready]]\nurl = \"{secret}\"\n"),
    ] {
        let told = mistakes(&text).join("\n");
        assert!(!told.is_empty() && !told.contains(secret), "{told}");
    }
}

#[test]
fn what_is_set_beside_the_file_wins_and_is_named() {
    let text = "[api]\nport = 1000\n[[link]]\nrelay = \"a.example\"\n[health]\ninterval = 30\n";
    let variable = |key: &str, value: &str| Override {
        key: key.to_owned(),
        value: value.to_owned(),
        origin: ValueOrigin::Variable("HVYM_TUNNEL_X".to_owned()),
    };
    let flag = |text: &str| Override::from_flag(text).expect("an override");
    let overrides = [
        variable("api.port", "2000"),
        variable("log.level", "debug"),
        flag("api.port=3000"),
        flag("link.main.relay = b.example"),
        flag("ui.start_minimized=true"),
    ];
    let loaded = parse(text, Path::new("config.toml"), &overrides).expect("settings");
    assert_eq!(loaded.settings.api.port.port(), 3000);
    assert_eq!(loaded.settings.links[0].relay.host, "b.example");
    assert!(loaded.settings.ui.start_minimized);
    let origin = |key: &str| loaded.origins.get(key).cloned();
    assert_eq!(origin("api.port"), Some(ValueOrigin::Flag("--set api.port".to_owned())));
    assert_eq!(origin("log.level"), Some(ValueOrigin::Variable("HVYM_TUNNEL_X".to_owned())));
    assert_eq!(origin("health.interval"), Some(ValueOrigin::Line(6)));
    assert_eq!(origin("health.max_retries"), None);

    let told =
        mistakes_with(text, &[flag("api.port=0"), variable("health.interval", "x"), flag("nothing=1")]);
    assert_eq!(
        told.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect::<Vec<_>>(),
        ["HVYM_TUNNEL_X: health.interval", "--set api.port: api.port", "--set nothing: nothing"]
    );
    let told = mistakes_with(text, &[flag("link.other.relay=x"), flag("api.port.x=1")]);
    assert_eq!(told.len(), 2, "{told:#?}");
    // A value is never more than a value.
    let told = mistakes_with("", &[flag("log.format=\"text\"\nlog.level=\"debug\"")]);
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[test]
fn a_standby_relay_is_checked_as_the_relay_is_and_is_none_of_an_older_system() {
    let plain = "[[link]]\nrelay = \"a.example\"\nstandby_relays = [\"b.example\", \"ws://c.example\"]\n";
    let told = mistakes(plain);
    assert!(told.len() == 1 && told[0].contains("ws://c.example"), "{told:#?}");
    assert_eq!(mistakes(&plain.replace("ws://", "wss://")), Vec::<String>::new());
    let older = "[[link]]\nrelay = \"a.example\"\ndialect = \"tunely\"\nstandby_relays = [\"b.example\"]\n";
    let told = mistakes(older);
    assert!(told.iter().any(|line| line.starts_with("config.toml:4: link.0.standby_relays: ")), "{told:#?}");
}
