//! Texts that are messages, and texts that nearly are.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const KINDS: [&str; 23] = [
    "auth_challenge",
    "auth_response",
    "auth_ok",
    "auth_failed",
    "bind",
    "bind_ok",
    "bind_failed",
    "unbind",
    "unbind_ok",
    "unbound",
    "revoke",
    "revoke_ok",
    "revoke_failed",
    "claim",
    "claim_ok",
    "claim_failed",
    "ping",
    "pong",
    "drain",
    "error",
    "unknown",
    "Ping",
    "",
];
/// The members of all messages, and some that none has.
const NAMES: [&str; 45] = [
    "type",
    "name",
    "challenge_id",
    "challenge",
    "server_address",
    "mux",
    "version",
    "jwt",
    "endpoint",
    "services",
    "encryption_available",
    "encryption_mode",
    "code",
    "error",
    "service",
    "local_port",
    "proto",
    "public",
    "on_conflict",
    "instance",
    "role",
    "process",
    "by",
    "url",
    "port",
    "id",
    "reason",
    "deadline_ms",
    "message",
    "hint",
    "visitor",
    "at",
    "host",
    "to",
    "key",
    "delegation",
    "signature",
    "form",
    "until",
    "persisted",
    "from",
    "ok",
    "x",
    "",
    "typ",
];
const ADDRESS: &str = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ";
/// Numbers at and beyond every border, and what looks like one.
const NUMBERS: [&str; 34] = [
    "0",
    "-0",
    "1",
    "00",
    "01",
    "-1",
    "+1",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "-9223372036854775809",
    "1.0",
    "1.",
    ".5",
    "0.",
    "0.5e1",
    "1e0",
    "1E+2",
    "1e-2",
    "1e",
    "1e+",
    "1e999",
    "-1e999",
    "0e9999999999999",
    "-",
    "0x1",
    "1_0",
    "Infinity",
    "NaN",
    "100000000000000000000000000000",
];
/// The inside of texts: escapes and surrogates, whole and not.
const INSIDES: [&str; 33] = [
    "",
    "http",
    "tcp",
    "h2",
    "HTTP",
    "yamux",
    ADDRESS,
    "\\\"",
    "\\\\",
    "\\/",
    "\\b\\f\\n\\r\\t",
    "\\u0000",
    "\\u00e9",
    "\\u00E9",
    "\\uD83D\\uDE00",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00",
    "\\ud83d\\ud83d",
    "\\ud83dx",
    "\\ud83d\\n",
    "\\ud83d\\u0041",
    "\\udbff\\udfff",
    "\\u12",
    "\\u12g4",
    "\\u+123",
    "\\x41",
    "\\",
    "\\a",
    "\u{7f}",
    "é😀\u{2028}",
    "\n",
    "\u{1}",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&INSIDES[..]).prop_map(|inside| format!("\"{inside}\"")),
        1 => vec(select(&INSIDES[..]), 0..3).prop_map(|insides| format!("\"{}\"", insides.concat())),
        2 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => text(),
        3 => select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => any::<u32>().prop_map(|number| number.to_string()),
        2 => select(&["null", "true", "false", "nul", "True", "[]", "{}", "", "{\"http\":null}"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(" , "))),
            vec((text(), inner), 0..3).prop_map(|members| {
                let members: Vec<String> = members.into_iter().map(|(k, v)| format!("{k}\t:{v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// The kind of value that a member of this name has, most of the time: otherwise nothing would ever be a message.
fn value_of(name: &'static str) -> BoxedStrategy<String> {
    let honest = match name {
        "type" => select(&KINDS[..14]).prop_map(|kind| format!("\"{kind}\"")).boxed(),
        "version" | "local_port" | "port" | "id" | "deadline_ms" => {
            select(&NUMBERS[..12]).prop_map(str::to_owned).boxed()
        }
        "public" | "ok" | "encryption_available" => any::<bool>().prop_map(|truth| truth.to_string()).boxed(),
        "services" => vec(text(), 0..3).prop_map(|texts| format!("[{}]", texts.join(","))).boxed(),
        "to" | "from" => Just(format!("\"{ADDRESS}\"")).boxed(),
        "on_conflict" => select(&["takeover", "reject", "pool", "standby", "x"][..])
            .prop_map(|name| format!("\"{name}\""))
            .boxed(),
        "role" => select(&["agent", "caller", "x"][..]).prop_map(|name| format!("\"{name}\"")).boxed(),
        "proto" => select(&INSIDES[1..5]).prop_map(|name| format!("\"{name}\"")).boxed(),
        _ => select(&INSIDES[..16]).prop_map(|inside| format!("\"{inside}\"")).boxed(),
    };
    prop_oneof![30 => honest, 1 => value(), 1 => Just("null".to_owned())].boxed()
}

/// `name` as a text, now and then with its first letter escaped.
fn spelled(name: &str, escaped: bool) -> String {
    match name.chars().next() {
        Some(first) if escaped => format!("\"\\u{:04x}{}\"", u32::from(first), &name[1..]),
        _ => format!("\"{name}\""),
    }
}

fn member(name: &'static str) -> impl Strategy<Value = String> {
    let space = prop_oneof![20 => Just(""), 10 => select(&[" ", "\n\t\r "][..]), 1 => Just("\u{b}")];
    (value_of(name), prop::bool::weighted(0.1), space)
        .prop_map(move |(value, escaped, space)| format!("{}:{space}{value}{space}", spelled(name, escaped)))
}

/// One object: the members that some message needs, most of the time, and others.
pub(crate) fn control() -> impl Strategy<Value = String> {
    let needed = vec(prop::bool::weighted(0.95), 7).prop_flat_map(|chosen| {
        let names = ["type", "service", "ok", "challenge_id", "challenge", "server_address", "endpoint"];
        let members: Vec<_> = names
            .into_iter()
            .zip(chosen)
            .filter(|(_, chosen)| *chosen)
            .map(|(name, _)| member(name).boxed())
            .collect();
        members
    });
    let others = vec(select(&NAMES[..]).prop_flat_map(member), 0..5);
    let tail = prop_oneof![20 => Just("}"), 1 => select(&["} ", "},", "}}", "", ",}"][..])];
    (needed, others, tail)
        .prop_flat_map(|(needed, others, tail)| (Just([needed, others].concat()).prop_shuffle(), Just(tail)))
        .prop_map(|(members, tail)| format!("{{{}{tail}", members.join(",")))
}

/// One object with a few bytes changed, added or taken away.
pub(crate) fn broken() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![select(&b"{}[]\",:\\u0123dDeE+-.tfn \n\x00\x1f\x7f\x80\xc3\xff"[..]), any::<u8>()];
    (control(), vec((any::<Index>(), byte, 0..3_u8), 1..4)).prop_map(|(json, damages)| {
        let mut json = json.into_bytes();
        for (at, byte, how) in damages {
            let at = at.index(json.len() + 1);
            match how {
                0 => json.insert(at, byte),
                1 if at < json.len() => json[at] = byte,
                2 if at < json.len() => drop(json.remove(at)),
                _ => json.truncate(at),
            }
        }
        json
    })
}

/// Every value in every place where one is read, and where none is.
pub(crate) fn tricky() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let values =
        NUMBERS.iter().map(ToString::to_string).chain(INSIDES.iter().map(|inside| format!("\"{inside}\"")));
    for value in values {
        for place in [
            r#"{"type":"ping","id":@}"#,
            r#"{"type":"ping","x":@}"#,
            r#"{"type":"ping","x":[{"y":@}]}"#,
            r#"{"type":"bind","service":"a","local_port":@}"#,
            r#"{"type":"auth_response","version":@}"#,
            r#"{"type":"unbind","service":@}"#,
            r#"{"type":"bind","service":"a","proto":@}"#,
            r#"{"service":"a","proto":@}"#,
            r#"{"service":"a","to":@}"#,
            r#"{"type":"auth_challenge","challenge_id":"a","challenge":"b","server_address":"c","mux":[@]}"#,
            r#"{"ok":false,"code":@,"message":null}"#,
            r#"{"ok":@}"#,
            r#"{"type":"ping",@:1}"#,
            r#"{"type":@}"#,
        ] {
            all.push(place.replace('@', &value).into_bytes());
        }
    }
    let whole = [
        "",
        " ",
        "{}",
        "[]",
        "null",
        "{\"type\"}",
        "{\"type\":\"ping\"",
        "{\"type\":\"ping\"}x",
        "{\"type\":\"ping\",}",
        "{,\"type\":\"ping\"}",
        "{\"type\":\"ping\" \"id\":1}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "{\"type\":\"ping\",\"x\":1,\"x\":2}",
        "{\"id\":3,\"type\":\"ping\"}",
        "\u{feff}{\"type\":\"ping\"}",
        " \r\n\t{ \"type\" :\t\"ping\" } \n",
        "\u{c}{\"type\":\"ping\"}",
        "{'type':'ping'}",
        "{type:\"ping\"}",
        "{\"type\":\"ping\",\"x\":[1,]}",
        "{\"type\":\"ping\",\"x\":[,1]}",
        "{\"type\":\"ping\",\"x\":[1 2]}",
        "{\"type\":\"ping\",\"x\":{\"a\":1,}}",
        "{\"type\":\"ping\",\"x\":{\"a\"}}",
        "{\"type\":\"ping\",\"x\":{1:2}}",
        "{\"type\":\"ping\",\"x\":[}]}",
        "{\"type\":\"ping\"/**/}",
        "{\"type\":\"ping\"}\u{0}",
        "{\u{0}\"type\":\"ping\"}",
        "{\"type\":\"ping\",\"x\":[[],{},[{}]]}",
        "{\"type\":\"bind\",\"service\":\"a\",\"public\":null}",
        "{\"type\":\"auth_challenge\",\"challenge_id\":\"a\",\"challenge\":\"b\",\"server_address\":\"c\",\"mux\":null}",
    ];
    all.extend(whole.iter().map(|text| text.as_bytes().to_vec()));
    for proto in [
        r#"{"http":null}"#,
        r#" { "\u0068ttp" : null } "#,
        r#"{"http":{}}"#,
        r#"{"http":1}"#,
        r#"{"quic":null}"#,
        "{}",
        r#"{"http":null,"h2":null}"#,
        r#"{"http":null,}"#,
        r#"{"http"}"#,
        r#"["http"]"#,
        "[]",
        "null",
    ] {
        all.push(format!(r#"{{"service":"a","proto":{proto}}}"#).into_bytes());
        all.push(format!(r#"{{"type":"bind","service":"a","proto":{proto}}}"#).into_bytes());
    }
    for raw in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xc3\\u00a9"] {
        all.push([&br#"{"type":"ping","x":""#[..], raw, br#""}"#].concat());
        all.push([&br#"{"type":"ping",""#[..], raw, br#"":1}"#].concat());
        all.push([&br#"{"type":"unbind","service":""#[..], raw, br#""}"#].concat());
        all.push([&br#"{"service":""#[..], raw, br#""}"#].concat());
    }
    all
}
