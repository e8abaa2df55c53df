//! Every machine against every input: what is illegal is named and changes nothing, what is legal leads where the tables say.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use hvym_http1::ResponseHead;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::time::Instant;

use super::config::{BridgeConfig, RawStreams};
use super::incoming_request::IncomingRequest;
use super::outgoing_request::OutgoingRequest;
use super::raw_stream::{RawStream, Turn};
use super::send_pacing::MIN_DATA;
use super::transition::{CallContext, CallInput, CallOutput, EncodeError, Transition};
use crate::dialect::{CallId, CallMessage, Dialect, Response};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const NAME: CallId = CallId::Number(1);

fn config(side: Side) -> BridgeConfig {
    let config = BridgeConfig::new(Dialect::Tunely, side, "web");
    BridgeConfig { raw_streams: RawStreams::On { binary: false }, ..config }
}

fn context(config: &BridgeConfig) -> CallContext<'_> {
    CallContext {
        config,
        name: &NAME,
        is_sealed: false,
        room: config.limits.max_buffered,
        unread: 0,
        read_done: false,
        is_armed: false,
        max_data: MIN_DATA,
        now: Instant::ZERO,
    }
}

fn peer(message: CallMessage) -> CallInput {
    CallInput::Peer(message, false)
}

fn response() -> CallMessage {
    let response = Response { head: ResponseHead::new(200, ""), body: Bytes::from_static(b"x") };
    CallMessage::Response { id: NAME, response }
}

fn started() -> CallMessage {
    CallMessage::Started { id: NAME, head: ResponseHead::new(200, "") }
}

fn chunk() -> CallMessage {
    CallMessage::Chunk { id: NAME, data: Bytes::from_static(b"x"), sequence: 0 }
}

fn ended(error: Option<&str>) -> CallMessage {
    CallMessage::Ended { id: NAME, error: error.map(String::from), chunks: 1 }
}

fn data() -> CallMessage {
    CallMessage::Data { id: NAME, data: Bytes::from_static(b"x"), sequence: 0, binary: false }
}

fn close(error: Option<&str>) -> CallMessage {
    CallMessage::Close { id: NAME, error: error.map(String::from) }
}

/// The kinds of the outputs, shortened; `!` for an input that was ignored.
fn shape(transition: Transition) -> Vec<String> {
    let word = |output: &CallOutput| match output {
        CallOutput::Send(message) | CallOutput::SendPiece(message) => {
            let message = alloc::format!("{message:?}");
            message.split([' ', '{', '(']).next().map(String::from).unwrap_or_default()
        }
        CallOutput::Reset(_) => String::from("reset"),
        CallOutput::Deliver(_) => String::from("deliver"),
        CallOutput::CloseRead => String::from("close"),
        other => alloc::format!("{other:?}"),
    };
    match transition {
        Transition::Outputs(outputs) => outputs.iter().map(word).collect(),
        Transition::Ignored(_) => Vec::from([String::from("!")]),
    }
}

/// An outgoing request in one of its states: 0 head, 1 body, 2 awaiting the response, 3 streaming, 4 done.
fn outgoing(state: usize) -> OutgoingRequest {
    let (config, mut request) = (config(Side::Relay), OutgoingRequest::default());
    let context = context(&config);
    match state {
        0 => {}
        1 => {
            let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
            assert!(request.write(head, &context).outputs.is_empty());
        }
        _ => assert_eq!(request.write(REQUEST, &context).outputs.len(), 2),
    }
    match state {
        3 => _ = request.handle(peer(started()), &context),
        4 => _ = request.handle(peer(response()), &context),
        _ => {}
    }
    request
}

#[test]
fn an_outgoing_request_follows_its_table_and_names_every_illegal_input() {
    let done = ["Disarm", "ForgetName", "deliver", "close"];
    let whole = ["Disarm", "ForgetName", "deliver", "deliver", "close"];
    let late = ["CancelQueued", "Disarm", "ForgetName", "deliver", "close"];
    let too_large = || CallInput::EncodeFailed(EncodeError::TooLarge);
    let piece = ["deliver", "ArmResponseTimeout"];
    type Make = fn() -> CallInput;
    let rows: [(Make, [&[&str]; 5]); 11] = [
        (|| CallInput::Finish, [&done, &done, &[], &[], &[]]),
        (|| CallInput::Reset, [&["CancelQueued"]; 5]),
        (|| CallInput::Timeout, [&["!"], &["!"], &late, &["reset"], &["!"]]),
        (|| CallInput::EncodeFailed(EncodeError::NotText), [&["!"], &["!"], &done, &["!"], &["!"]]),
        (|| CallInput::Overloaded, [&["!"]; 5]),
        (|| peer(response()), [&["!"], &["!"], &whole, &["!"], &["!"]]),
        (|| peer(started()), [&["!"], &["!"], &piece, &["!"], &["!"]]),
        (|| peer(chunk()), [&["!"], &["!"], &["!"], &piece, &["!"]]),
        (|| peer(ended(None)), [&["!"], &["!"], &done, &done, &["!"]]),
        (|| peer(ended(Some("lost"))), [&["!"], &["!"], &done, &["reset"], &["!"]]),
        (|| peer(data()), [&["!"]; 5]),
    ];
    let config = config(Side::Relay);
    for (make, expected) in rows {
        for (state, expected) in expected.into_iter().enumerate() {
            let mut request = outgoing(state);
            let (before, held) = (alloc::format!("{request:?}"), request.held());
            let got = shape(request.handle(make(), &context(&config)));
            assert_eq!(got, expected, "{:?} in state {state}", make());
            if expected == ["!"] {
                assert_eq!((alloc::format!("{request:?}"), request.held()), (before, held), "{:?}", make());
            }
        }
    }
    assert_eq!(shape(outgoing(2).handle(too_large(), &context(&config))), done);
}

/// An incoming request in one of its states: 0 head, 1 body, 2 streaming, 3 done, 4 failed.
fn incoming(state: usize) -> IncomingRequest {
    let (config, mut request) = (config(Side::Agent), IncomingRequest::new("GET".into(), true));
    let context = context(&config);
    let text: &[u8] = match state {
        0 => b"",
        2 => b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
        3 => b"HTTP/1.1 204 No Content\r\n\r\n",
        4 => b"\x00",
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    };
    if !text.is_empty() && request.write(text, &context).is_complete {
        _ = request.complete(&context);
    }
    request
}

#[test]
fn an_incoming_request_follows_its_table_and_names_every_illegal_input() {
    let failed = ["Failed", "Disarm", "ForgetName", "close"];
    let ended_so = ["Ended", "Disarm", "ForgetName", "close"];
    let late = ["Failed", "Disarm", "ForgetName", "close", "reset"];
    let late_pieces = ["Ended", "Disarm", "ForgetName", "close", "reset"];
    let settled = ["Disarm", "ForgetName", "close"];
    type Make = fn() -> CallInput;
    let rows: [(Make, [&[&str]; 5]); 6] = [
        (|| CallInput::Finish, [&failed, &failed, &ended_so, &[], &[]]),
        (|| CallInput::Reset, [&failed, &failed, &ended_so, &[], &[]]),
        (|| CallInput::Timeout, [&late, &late, &late_pieces, &["!"], &["!"]]),
        (|| CallInput::Overloaded, [&failed, &failed, &ended_so, &["!"], &["!"]]),
        (|| CallInput::EncodeFailed(EncodeError::TooLarge), [&failed, &failed, &ended_so, &failed, &settled]),
        (|| peer(response()), [&["!"]; 5]),
    ];
    let config = config(Side::Agent);
    for (make, expected) in rows {
        for (state, expected) in expected.into_iter().enumerate() {
            let mut request = incoming(state);
            let before = alloc::format!("{request:?}");
            let got = shape(request.handle(make(), &context(&config)));
            assert_eq!(got, expected, "{:?} in state {state}", make());
            if expected == ["!"] {
                assert_eq!(alloc::format!("{request:?}"), before, "{:?}", make());
            }
        }
    }
    assert_eq!(shape(incoming(3).complete(&context(&config))), ["!"], "only a body can be complete");
}

/// A raw stream in one of its states: 0 open, 1 with data from the peer, 2 closing, 3 closed, 4 ended by the peer.
fn raw(state: usize, side: Side) -> RawStream {
    let (config, mut stream) = (config(side), RawStream::accepted());
    let context = CallContext { read_done: true, ..context(&config) };
    match state {
        1 => _ = stream.handle(peer(data()), &context),
        2 | 3 => _ = stream.handle(CallInput::Finish, &context),
        4 => _ = stream.handle(peer(close(None)), &context),
        _ => {}
    }
    if state == 3 {
        assert!(matches!(stream.pull(&context), Turn::Send(CallMessage::Close { .. }, _)));
    }
    stream
}

#[test]
fn a_raw_stream_follows_its_table_and_names_every_illegal_input() {
    let over = ["Disarm", "ForgetName", "close", "NotifyWritable"];
    let lost = ["Disarm", "ForgetName", "reset"];
    type Make = fn() -> CallInput;
    let rows: [(Make, [&[&str]; 5]); 8] = [
        (|| CallInput::Finish, [&["Schedule"], &["Schedule"], &[], &[], &["Schedule"]]),
        (|| CallInput::Timeout, [&["Schedule"], &["Schedule"], &[], &[], &["Schedule"]]),
        (|| CallInput::Reset, [&["Close"], &["Close"], &["Close"], &[], &[]]),
        (|| CallInput::Overloaded, [&["!"]; 5]),
        (|| peer(data()), [&["deliver"], &["deliver"], &["deliver"], &["deliver"], &["!"]]),
        (|| peer(close(None)), [&over, &over, &over, &over, &["!"]]),
        (|| peer(close(Some("lost"))), [&lost, &lost, &lost, &lost, &["!"]]),
        (|| peer(response()), [&["!"]; 5]),
    ];
    let config = config(Side::Agent);
    for (make, expected) in rows {
        for (state, expected) in expected.into_iter().enumerate() {
            let mut stream = raw(state, Side::Agent);
            let before = alloc::format!("{stream:?}");
            let got = shape(stream.handle(make(), &context(&config)));
            assert_eq!(got, expected, "{:?} in state {state}", make());
            if expected == ["!"] {
                assert_eq!(alloc::format!("{stream:?}"), before, "{:?}", make());
            }
        }
    }
}

#[test]
fn a_relays_raw_stream_lingers_for_a_reader_and_explains_a_failure_to_a_browser() {
    let config = config(Side::Relay);
    let mut stream = RawStream::opened(true);
    assert!(matches!(stream.pull(&context(&config)), Turn::Send(CallMessage::Connect { .. }, _)));
    assert_eq!(shape(stream.handle(CallInput::Finish, &context(&config))), ["ArmLinger"]);
    assert!(matches!(stream.pull(&context(&config)), Turn::Pass), "its end is kept back");
    let refused = shape(stream.handle(peer(close(Some("no service"))), &context(&config)));
    assert_eq!(refused, ["Disarm", "ForgetName", "deliver", "close", "NotifyWritable"]);
    // An unannounced one is reset without a word to the peer.
    assert_eq!(shape(RawStream::opened(false).handle(CallInput::Reset, &context(&config))), [""; 0]);
}

#[test]
fn too_much_that_is_unread_resets_a_raw_stream_and_tells_the_peer() {
    let config = config(Side::Agent);
    let full = CallContext { unread: config.limits.max_unread, ..context(&config) };
    assert_eq!(shape(raw(0, Side::Agent).handle(peer(data()), &full)), ["Close", "reset"]);
    let held = CallContext { room: 0, ..context(&config) };
    assert_eq!(shape(raw(0, Side::Agent).handle(peer(data()), &held)), ["Close", "reset"]);
    let armed = CallContext { is_armed: true, ..context(&config) };
    assert_eq!(shape(raw(0, Side::Agent).handle(peer(data()), &armed)), ["deliver", "ArmLinger"]);
}
