//! The fuzz targets as functions: libFuzzer, proptest and the corpus test call the same ones.
//!
//! Each takes any bytes and panics with a sentence if a rule is broken.

use crate::judge::Judge;
use crate::lens::{DATA, Frame, GO_AWAY, GRANT, PING, RST, WINDOW};
use crate::lone::Lone;
use crate::meddle::run_with_a_man_in_the_middle;
use crate::memory;
use crate::model::ensure;
use crate::ops::{Ops, Setup};
use crate::run::{Checked, run};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary and of its corpus.
pub const TARGETS: [(&str, Target); 7] = [
    ("f1_raw", f1),
    ("f2_frames", f2),
    ("f3_two_sessions", f3),
    ("f4_man_in_the_middle", f4),
    ("f5_timers", f5),
    ("f6_parser", f6),
    ("f7_memory", f7),
];

/// Lengths at which something changes.
pub const LENGTHS: [u32; 32] = [
    0,
    1,
    2,
    7,
    11,
    12,
    13,
    100,
    1023,
    1024,
    1025,
    4096,
    16_383,
    16_384,
    16_385,
    65_535,
    65_536,
    65_537,
    131_072,
    262_143,
    262_144,
    262_145,
    1 << 20,
    64 << 20,
    (64 << 20) + 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 31) + 1,
    u32::MAX - 262_144,
    u32::MAX - 262_143,
    u32::MAX - 1,
    u32::MAX,
];

/// The most frames of a run, below every limit on floods.
const MAX_FRAMES: usize = 200;

fn hold(result: Checked) {
    if let Err(why) = result {
        panic!("{why}");
    }
}

/// Raw bytes into one session: a byte below 128 is that many bytes of input and one, another is something the
/// application does with the byte that follows.
pub fn f1(data: &[u8]) {
    hold(raw_bytes(data));
}

fn raw_bytes(data: &[u8]) -> Checked {
    let (setup, mut rest) = Setup::split(data);
    let mut lone = Lone::new(data.len() % 2, setup.config());
    while let Some((control, after)) = rest.split_first() {
        rest = after;
        if *control < 128 {
            let (piece, after) = rest.split_at(rest.len().min(usize::from(*control) + 1));
            rest = after;
            lone.feed(piece, setup.chunk)?;
        } else if let Some((arg, after)) = rest.split_first() {
            rest = after;
            lone.act(*control, *arg)?;
        }
    }
    conclude(&mut lone)
}

/// The driver's last look: everything is pulled and told, and a session that failed has said so once.
fn conclude(lone: &mut Lone) -> Checked {
    lone.drain()?;
    lone.listen()?;
    lone.check()?;
    if let Some(error) = lone.failed {
        let words = lone.sent.iter().filter(|frame| frame.kind == GO_AWAY && frame.length != 0).count();
        // invariant 21
        let code = lone.sent.last().filter(|frame| frame.kind == GO_AWAY).map(|frame| frame.length);
        match error.go_away_code() {
            Some(expected) => {
                ensure!(code == Some(expected) && words == 1, "{error:?} said {code:?} {words} times")
            }
            None => ensure!(words == 0, "{error:?} was announced"),
        }
        ensure!(lone.mux.poll_timeout().is_none(), "a deadline after the end");
    }
    Ok(())
}

/// A frame from four bytes, of those at which something changes.
pub fn frame([kind, flags, id, length]: [u8; 4]) -> Frame {
    let kinds = [DATA, GRANT, PING, GO_AWAY, DATA, GRANT, DATA, GRANT];
    let id = match id {
        255 => u32::MAX,
        254 => u32::MAX - 1,
        200..254 => u32::from(id) << 20,
        _ => u32::from(id),
    };
    Frame {
        version: u8::from(kind & 0xF0 == 0xF0),
        kind: if kind & 0xF0 == 0xE0 { 4 + (kind & 15) } else { kinds[usize::from(kind & 7)] },
        flags: u16::from(flags & 15) | (u16::from(flags & 0x80) << 8),
        id,
        length: LENGTHS[usize::from(length & 31)],
    }
}

/// Frames of which most are legal, between things the application does.
pub fn f2(data: &[u8]) {
    hold(frames_and_acts(data));
}

fn frames_and_acts(data: &[u8]) -> Checked {
    let (setup, rest) = Setup::split(data);
    let mut lone = Lone::new(usize::from(setup.calm), setup.config());
    for word in rest.as_chunks::<4>().0.iter().take(MAX_FRAMES) {
        match word[0] & 8 {
            0 => lone.feed_frame(frame(*word), setup.chunk.max(64))?,
            _ => lone.act(word[1], word[2])?,
        }
    }
    conclude(&mut lone)
}

/// Two sessions and a pipe, against the model.
pub fn f3(data: &[u8]) {
    hold(run(&Ops::from_bytes(data)).map(drop));
}

/// Two honest sessions, and somebody who changes one byte between them.
pub fn f4(data: &[u8]) {
    let (place, rest) = data.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    hold(run_with_a_man_in_the_middle(&Ops::from_bytes(rest), *place));
}

/// Two sessions while the clock jumps.
pub fn f5(data: &[u8]) {
    hold(run(&Ops::from_bytes(data).restless()).map(drop));
}

/// One passive session against a second opinion on every frame.
pub fn f6(data: &[u8]) {
    hold(second_opinion(data));
}

fn second_opinion(data: &[u8]) -> Checked {
    let (setup, rest) = Setup::split(data);
    let end = usize::from(setup.calm);
    let mut lone = Lone::new(end, setup.config());
    let mut judge = Judge::new(end, setup.config());
    for _ in 0..setup.profile % 4 {
        let key = lone.mux.open(lone.now).map_err(|error| error.to_string())?;
        judge.opened(lone.mux.wire_id(key).ok_or("a new stream is stale")?);
    }
    lone.drain()?;
    for word in rest.as_chunks::<4>().0.iter().take(MAX_FRAMES) {
        let frame = frame(*word);
        let expected = judge.frame(frame).err();
        lone.feed_frame(frame, setup.chunk.max(64))?;
        for said in lone.drain()?.iter().filter(|said| setup.sheds() && said.has(RST)) {
            judge.shed(said.id);
        }
        lone.listen()?;
        ensure!(lone.failed == expected, "{frame:?}: {:?}, expected {expected:?}", lone.failed);
        let swallows = frame.kind == DATA && u64::from(frame.length) > WINDOW;
        if expected.is_some() || swallows {
            break;
        }
        if !setup.sheds() {
            let (stats, unread) = (lone.mux.stats(), judge.unread());
            ensure!(stats.unread == unread, "{frame:?}: {} unread, expected {unread}", stats.unread);
            ensure!(stats.inbound == judge.inbound(), "{frame:?}: {} came in", stats.inbound);
        }
    }
    conclude(&mut lone)
}

/// Memory, counted by the allocator where there is a counting one.
pub fn f7(data: &[u8]) {
    hold(memory_is_bounded(data));
}

fn memory_is_bounded(data: &[u8]) -> Checked {
    let (setup, rest) = Setup::split(data);
    let config = setup.config();
    let before = memory::live();
    let mut lone = Lone::new(1, config.clone());
    for word in rest.as_chunks::<4>().0.iter().take(MAX_FRAMES) {
        match word[0] & 8 {
            0 => {
                // Many alike, in one message: that is where memory per byte is worst.
                let one = frame(*word);
                let times = if one.length <= 1024 { usize::from(word[0] >> 4) + 1 } else { 1 };
                for _ in 0..times {
                    lone.feed_frame(one, setup.chunk.max(13))?;
                }
            }
            _ => lone.act(word[1], word[2])?,
        }
        let stats = lone.mux.stats();
        // invariant 13
        let per_byte = if config.always_copy { 3 } else { 5 };
        let streams = (stats.inbound + stats.outbound).max(lone.keys.len()) + 8;
        let own = (lone.sent.capacity() + lone.events.capacity()) * 64 + lone.keys.capacity() * 16;
        let bound =
            stats.unread * per_byte + stats.unsent * 2 + streams * 8192 + 2 * config.batch + own + 300_000;
        let live = memory::live() - before;
        ensure!(live <= bound as isize, "{live} bytes live, {bound} allowed: {stats:?}");
    }
    Ok(())
}
