//! Two bridges of one dialect and somebody who says anything to both, for the fuzz targets of the dialects.
//!
//! An input is a list of steps, separated by the byte 0x1E. The first byte of a step is what is done, the rest with what.

use bytes::Bytes;
use hvym_http1::{Framing, RequestHead, ResponseHead};
use hvym_tunnel_compat::bridge::{BridgeConfig, BridgeEvent, BridgeLimits, MessageBridge, RawStreams};
use hvym_tunnel_compat::dialect::{CallMessage, CompatFrame, Dialect};
use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_core::dialect::{Signal, StreamHeader};
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::time::Instant;

use proptest::prelude::*;
use proptest::{collection, sample};

use hvym_yamux_testing::model::ensure;
use hvym_yamux_testing::run::Checked;

/// What separates steps: a byte that no message of any dialect holds unescaped.
pub const SEPARATOR: u8 = 0x1E;
/// The most bytes that an end may hold: small, so that the fuzzer comes to it.
const MAX_BUFFERED: usize = 1 << 16;
/// The most steps of a run.
const MAX_STEPS: usize = 200;

/// One end: an bridge, the streams its owner knows, and what it has read of the last ones.
struct End {
    bridge: MessageBridge,
    streams: Vec<(StreamId, Vec<u8>)>,
    lost: bool,
}

impl End {
    fn new(config: BridgeConfig, seed: u8) -> Self {
        let config = BridgeConfig {
            limits: BridgeLimits { max_buffered: MAX_BUFFERED, max_calls: 8, ..config.limits },
            ..config
        };
        Self {
            bridge: MessageBridge::new(config, 1, [seed; 32], Instant::ZERO),
            streams: Vec::new(),
            lost: false,
        }
    }

    fn hear(&mut self, dialect: Dialect, message: Message, now: Instant) {
        if self.lost {
            return;
        }
        if let Ok(CompatFrame::Call(part)) = dialect.decode(message) {
            self.lost = self.bridge.handle_call(part, now).is_err();
        }
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(event) = self.bridge.poll_event() {
            match event {
                BridgeEvent::Opened(id, _) => self.streams.push((id, Vec::new())),
                BridgeEvent::Reset(id, _) => self.streams.retain(|(known, _)| *known != id),
                _ => {}
            }
        }
    }

    /// Everything that leaves. The other side of the same dialect must understand it.
    fn said(&mut self, dialect: Dialect) -> Result<Vec<Message>, String> {
        let mut said = Vec::new();
        while let Some(message) = self.bridge.poll_transmit() {
            let frame = dialect.decode(message.clone());
            let is_plain = !matches!(
                frame,
                Err(_)
                    | Ok(CompatFrame::Signal(Signal::Unknown) | CompatFrame::Call(CallMessage::Broken { .. }))
            );
            ensure!(is_plain, "{message:?} was said and means {frame:?}");
            ensure!(
                message.payload().len() <= Dialect::MAX_CALL_BYTES,
                "a message of {}",
                message.payload().len()
            );
            said.push(message);
        }
        self.listen();
        Ok(said)
    }

    fn check(&self) -> Checked {
        // A message may be one more than there was room for.
        let bound = 3 * MAX_BUFFERED + Dialect::MAX_CALL_BYTES;
        ensure!(self.bridge.held() <= bound, "{} bytes are held", self.bridge.held());
        ensure!(self.bridge.len() <= 8, "{} streams", self.bridge.len());
        Ok(())
    }
}

/// The rules of one target.
pub struct Talk {
    dialect: Dialect,
    relay: End,
    agent: End,
    /// The relay's streams are whole requests and responses.
    calls: bool,
    now: Instant,
}

impl Talk {
    /// Two ends of `dialect`, in one of its variants.
    pub fn new(dialect: Dialect, variant: u8) -> Self {
        let key = || (variant & 1 == 1).then(|| SealKey::from_bytes(&[7; 32]));
        let pipes = match variant % 3 {
            0 => RawStreams::Off,
            1 => RawStreams::On { binary: false },
            _ => RawStreams::On { binary: true },
        };
        let config = |side| {
            let plain = BridgeConfig::new(dialect, side, "web");
            match dialect {
                Dialect::Tunely => BridgeConfig { raw_streams: pipes, ..plain },
                Dialect::CloudLlm => plain,
                Dialect::HvymJson => BridgeConfig { key: key(), ..plain },
            }
        };
        let calls = dialect != Dialect::Tunely || pipes == RawStreams::Off;
        let (relay, agent) = (End::new(config(Side::Relay), 1), End::new(config(Side::Agent), 2));
        Self { dialect, relay, agent, calls, now: Instant::ZERO }
    }

    /// Runs the steps of `data`.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn run(mut self, data: &[u8]) -> Checked {
        for step in data.split(|byte| *byte == SEPARATOR).take(MAX_STEPS) {
            let Some((act, rest)) = step.split_first() else { continue };
            self.step(*act, rest)?;
            self.relay.listen();
            self.agent.listen();
            self.relay.check()?;
            self.agent.check()?;
        }
        self.pass()?;
        for end in [&mut self.relay, &mut self.agent] {
            for (id, _) in std::mem::take(&mut end.streams) {
                end.bridge.reset(id, self.now);
            }
            end.said(self.dialect)?;
            if !end.lost {
                ensure!(end.bridge.held() == 0, "{} bytes are held for nobody", end.bridge.held());
            }
        }
        Ok(())
    }

    fn step(&mut self, act: u8, rest: &[u8]) -> Checked {
        let (data, now) = (Bytes::copy_from_slice(rest), self.now);
        match act {
            b'm' => self.tell(&Message::Text(data)),
            b'b' => self.tell(&Message::Binary(data)),
            b'v' => {
                if let Ok(id) = self.relay.bridge.open(&StreamHeader::default(), self.now) {
                    self.relay.streams.push((id, Vec::new()));
                }
                write(&mut self.relay, data, self.now);
            }
            b'w' => write(&mut self.agent, data, self.now),
            b'+' => write(&mut self.relay, data, self.now),
            b'f' => last(&mut self.agent, |bridge, id| _ = bridge.finish(id, now)),
            b'F' => last(&mut self.relay, |bridge, id| _ = bridge.finish(id, now)),
            b'x' => last(&mut self.agent, |bridge, id| bridge.reset(id, now)),
            b'X' => last(&mut self.relay, |bridge, id| bridge.reset(id, now)),
            b's' => last(&mut self.relay, |bridge, id| bridge.stop(id, now)),
            b'r' => self.read()?,
            b'p' => self.pass()?,
            b't' => {
                let seconds = u64::from(rest.first().copied().unwrap_or(1)) * 2;
                self.now = Instant::from_micros(self.now.as_micros() + seconds * 1_000_000);
                self.relay.bridge.handle_timeout(self.now);
                self.agent.bridge.handle_timeout(self.now);
            }
            _ => {}
        }
        Ok(())
    }

    fn tell(&mut self, message: &Message) {
        self.relay.hear(self.dialect, message.clone(), self.now);
        self.agent.hear(self.dialect, message.clone(), self.now);
    }

    /// What each end has said reaches the other.
    fn pass(&mut self) -> Checked {
        for message in self.relay.said(self.dialect)? {
            self.agent.hear(self.dialect, message, self.now);
        }
        for message in self.agent.said(self.dialect)? {
            self.relay.hear(self.dialect, message, self.now);
        }
        Ok(())
    }

    /// Everybody reads what is there, and what is whole is held to the rules of HTTP.
    fn read(&mut self) -> Checked {
        for (id, so_far) in &mut self.relay.streams {
            let ended = read(&mut self.relay.bridge, *id, so_far, self.now);
            if ended && self.calls && !so_far.is_empty() {
                let head = ResponseHead::parse(so_far);
                ensure!(
                    matches!(head, Ok(Some(_))),
                    "a visitor is shown {:?}",
                    String::from_utf8_lossy(so_far)
                );
            }
        }
        for (id, so_far) in &mut self.agent.streams {
            let is_new = so_far.is_empty();
            read(&mut self.agent.bridge, *id, so_far, self.now);
            if is_new && self.calls && !so_far.is_empty() && so_far.ends_with(b"\r\n\r\n") {
                let Ok(Some((head, _))) = RequestHead::parse(so_far) else {
                    return Err(format!("a service is shown {:?}", String::from_utf8_lossy(so_far)));
                };
                let path = head.target.split('?').next().unwrap_or_default();
                ensure!(path.starts_with('/') && !path.contains("/../"), "{:?}", head.target);
                ensure!(Framing::for_request(&head).is_ok(), "{head:?}");
            }
        }
        Ok(())
    }
}

/// Reads what is there; whether that was the end.
fn read(bridge: &mut MessageBridge, id: StreamId, into: &mut Vec<u8>, now: Instant) -> bool {
    loop {
        match bridge.read(id, usize::MAX, now) {
            Ok(Read::Data(data)) => into.extend_from_slice(&data),
            Ok(Read::Empty) | Err(_) => return false,
            Ok(Read::Finished) => return true,
        }
    }
}

fn write(end: &mut End, mut data: Bytes, now: Instant) {
    last(end, |bridge, id| _ = bridge.write(id, &mut data, now));
}

fn last(end: &mut End, act: impl FnOnce(&mut MessageBridge, StreamId)) {
    if let Some((id, _)) = end.streams.last() {
        act(&mut end.bridge, *id);
    }
}

/// Inputs of which most steps do something, with `messages` of the dialect among them.
pub fn steps(messages: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Vec<u8>> {
    let requests = vec![
        "vGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
        "vHEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        "vPOST /../b%2f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "vGET / HTTP/1.1\r\nAccept: text/event-stream\r\n",
        "+0\r\n\r\n",
        "+\r\n",
        "wHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        "wHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "wHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata\u{e9}",
        "wdata\u{2603}",
        "wHTTP/1.1 101 Switching Protocols\r\n\r\n",
        "f",
        "F",
        "x",
        "X",
        "s",
        "r",
        "p",
        "p",
        "t\u{1}",
        "t\u{7f}",
    ];
    let step = prop_oneof![
        6 => sample::select(requests).prop_map(|step| step.as_bytes().to_vec()),
        3 => messages.prop_map(|message| [b"m".to_vec(), message.into_bytes()].concat()),
        1 => collection::vec(any::<u8>(), 0..60),
        1 => (30_000..70_000usize, any::<u8>()).prop_map(|(n, byte)| [b"w".to_vec(), vec![byte; n]].concat()),
    ];
    (any::<u8>(), collection::vec(step, 1..40))
        .prop_map(|(variant, steps)| [vec![variant], steps.join(&SEPARATOR)].concat())
}

/// One run of `dialect`: the first byte is its variant.
///
/// # Errors
/// The rule that was broken.
pub fn talk(dialect: Dialect, data: &[u8]) -> Checked {
    let (variant, steps) = data.split_first().unwrap_or((&0, &[]));
    Talk::new(dialect, *variant).run(steps)
}
