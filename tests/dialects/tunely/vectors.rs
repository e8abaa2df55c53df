//! Every text and every frame that was fed to the real parsers.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use hvym_tunnel_compat::dialect::{CallId, CallMessage, CompatFrame, Dialect};
use hvym_tunnel_core::dialect::Signal;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_tests::golden::{golden, list, text};
use serde_json::Value;

/// Texts of which we think otherwise than their newest parser, and why.
const OTHERWISE: [(&str, &str); 15] = [
    ("auth_ok server_version null", "nobody reads it"),
    ("auth force 2", "no harm in it: it is no yes"),
    ("auth force null", "no harm in it: it is no yes"),
    ("auth capabilities null", "a client of the first version"),
    ("request timeout null", "their client drops it without a word; ours takes the usual time"),
    ("request header number", "no header field is a number"),
    ("request body object", "a body is a text"),
    ("request stream_ok string", "nobody asks for it here"),
    ("response status -1", "no status; the visitor is told at once"),
    ("response body object", "a body is a text"),
    ("response body number", "a body is a text"),
    ("response header value list", "no header field is a list"),
    ("tcp_data bad base64 (decoded later)", "bytes missing in the middle are worse than an end"),
    ("auth_ok tunnel_id number", "no harm in it"),
    ("duplicate keys (last wins)", "ignored: two readers could differ"),
];

fn understood(frame: &CompatFrame) -> bool {
    !matches!(
        frame,
        CompatFrame::Signal(Signal::Unknown)
            | CompatFrame::Call(CallMessage::Broken { .. } | CallMessage::Close { error: Some(_), .. })
    )
}

#[test]
fn every_recorded_text_has_the_verdict_of_the_real_parsers_or_a_better_one() {
    let recording = golden("tunely/message_vectors.json");
    let (mut unexcused, mut otherwise) = (Vec::new(), Vec::new());
    for vector in list(&recording, "messages") {
        let (name, input) = (text(vector, "name"), text(vector, "text"));
        let theirs = vector["parse_message_fast_0.12"]["ok"].as_bool().expect("a verdict");
        let outcome = Dialect::Tunely.decode(Message::Text(Bytes::copy_from_slice(input.as_bytes())));
        let ours = outcome.as_ref().is_ok_and(understood);
        let excused = OTHERWISE.iter().any(|(other, _)| *other == name)
            // Datagrams are not carried, and are never agreed on.
            || name.starts_with("udp_")
            // An error is what this message is about.
            || name == "tcp_close error";
        if ours != theirs {
            otherwise.push(name);
        }
        if ours != theirs && !excused {
            unexcused.push(format!("{name}: {outcome:?}, theirs {theirs}"));
        }
    }
    assert_eq!(unexcused, Vec::<String>::new());
    for (name, _) in OTHERWISE {
        assert!(otherwise.contains(&name), "{name} needs no excuse");
    }
}

#[test]
fn every_recorded_binary_frame_is_read_and_written_byte_for_byte() {
    let recording = golden("tunely/message_vectors.json");
    let mut written = 0;
    for vector in list(&recording, "binary_frames_encode") {
        let frame = HEXLOWER.decode(text(vector, "frame_hex").as_bytes()).expect("hex");
        let payload = HEXLOWER.decode(text(vector, "payload_hex").as_bytes()).expect("hex");
        if !text(vector, "kind").starts_with("tcp") {
            continue;
        }
        let id = CallId::Text(text(vector, "id").to_owned());
        let part = CallMessage::Data { id, data: payload.into(), sequence: 0, binary: true };
        let message = Dialect::Tunely.encode(CompatFrame::Call(part.clone())).expect("a word for it");
        assert_eq!(message, Message::Binary(frame.into()));
        assert_eq!(Dialect::Tunely.decode(message), Ok(CompatFrame::Call(part)));
        written += 1;
    }
    assert!(written >= 3, "{written}");
    for vector in list(&recording, "binary_frames_decode") {
        let frame = HEXLOWER.decode(text(vector, "frame_hex").as_bytes()).expect("hex");
        let ours = Dialect::Tunely.decode(Message::Binary(frame.into()));
        match vector["tcp"]["ok"].as_bool() {
            Some(true) => {
                let Ok(CompatFrame::Call(CallMessage::Data { id: CallId::Text(id), data, .. })) = ours else {
                    panic!("{vector}")
                };
                assert_eq!(
                    (id.as_str(), HEXLOWER.encode(&data).as_str()),
                    (text(&vector["tcp"], "id"), text(&vector["tcp"], "payload_hex"))
                );
            }
            _ => assert_eq!(ours, Ok(CompatFrame::Signal(Signal::Unknown)), "{vector}"),
        }
    }
}

#[test]
fn what_is_said_has_the_members_of_what_theirs_say_apart_from_times() {
    let recording = golden("tunely/message_vectors.json");
    let dumps = recording["default_dump_0.12"].as_object().expect("an object");
    let theirs: Vec<Value> = dumps
        .values()
        .filter_map(Value::as_str)
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    let id = || CallId::Text("00010203-0405-4607-8809-0a0b0c0d0e0f".into());
    let parts = [
        CallMessage::Ended { id: id(), error: None, chunks: 0 },
        CallMessage::Chunk { id: id(), data: Bytes::from_static(b"d"), sequence: 0 },
        CallMessage::Connect { id: id() },
        CallMessage::Close { id: id(), error: None },
        CallMessage::Data { id: id(), data: Bytes::from_static(b"\0"), sequence: 0, binary: false },
    ];
    for part in parts {
        let Some(Message::Text(text)) = Dialect::Tunely.encode(CompatFrame::Call(part)) else {
            panic!("a text")
        };
        let ours: Value = serde_json::from_slice(&text).expect("JSON");
        let mut known =
            theirs.iter().filter(|theirs| theirs["type"] == ours["type"]).cloned().collect::<Vec<_>>();
        for theirs in &mut known {
            theirs.as_object_mut().expect("an object").remove("timestamp");
        }
        assert!(known.contains(&ours), "{ours} is none of {known:?}");
    }
}
