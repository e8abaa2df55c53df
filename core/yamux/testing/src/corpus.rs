//! The seeds of the fuzz corpus: one for each question that the wire leaves open, and for each attack that is known.

use crate::lens::{ACK, DATA, FIN, Frame, GO_AWAY, GRANT, PING, RST, SYN};

/// Bytes that set two plain sessions up, calm and eager; the session alone is the client.
const PLAIN: [u8; 4] = [0; 4];
/// Profile 5, which copies every payload.
const COPYING: [u8; 4] = [5, 0, 1, 0];

/// One seed: its target, its name, its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// Every seed.
pub fn seeds() -> Vec<Seed> {
    let mut all = Vec::new();
    for (name, frames) in conversations() {
        all.push(("f1_raw", name.into(), raw(&frames)));
        let words = words(&frames);
        for target in ["f2_frames", "f6_parser", "f7_memory"] {
            all.push((target, name.into(), [PLAIN.to_vec(), words.clone()].concat()));
        }
    }
    for (name, steps) in plays() {
        for (variant, setup) in [("plain", [0; 4]), ("narrow", [1, 1, 1, 0]), ("small", [3, 0x22, 2, 2])] {
            let run = [setup.to_vec(), steps.concat()].concat();
            all.push(("f3_two_sessions", format!("{name}_{variant}"), run.clone()));
            all.push(("f5_timers", format!("{name}_{variant}"), run.clone()));
            for (end, place) in [(0u8, 1u8), (1, 13), (0, 37)] {
                let change = [vec![end, 0, place, 4], run.clone()].concat();
                all.push(("f4_man_in_the_middle", format!("{name}_{variant}_{place}"), change));
            }
        }
    }
    let drips = [[0x70, 0, 2, 1]; 60].concat();
    all.push((
        "f7_memory",
        "one_byte_frames_copied".into(),
        [COPYING.to_vec(), vec![1, 1, 2, 0], drips].concat(),
    ));
    all
}

/// What a peer may say to a client, whose own streams are odd.
#[rustfmt::skip]
fn conversations() -> Vec<(&'static str, Vec<Frame>)> {
    let data = |flags, length| Frame::new(DATA, flags, 2, length);
    let grant = |flags, length| Frame::new(GRANT, flags, 2, length);
    let syn = grant(SYN, 0);
    vec![
        ("row01_version", vec![Frame { version: 1, ..syn }]),
        ("row02_type", vec![Frame { kind: 4, ..syn }]),
        ("row03_first_window", vec![syn, data(0, 262_144)]),
        ("row04_grant_on_syn", vec![grant(SYN, 1 << 20), data(0, 100)]),
        ("row05_data_opens", vec![data(SYN, 100)]),
        ("row06_ack_twice", vec![grant(ACK, 0), grant(ACK, 0)]),
        ("row07_data_acknowledges", vec![Frame::new(DATA, 0, 1, 100)]),
        ("row09_backlog", (1..=150).map(|n| Frame::new(GRANT, SYN, 2 * (n % 99), 0)).filter(|f| f.id > 0).collect()),
        ("row12_wrong_parity", vec![Frame::new(GRANT, SYN, 3, 0)]),
        ("row13_id_zero", vec![Frame::new(GRANT, SYN, 0, 0)]),
        ("row14_second_syn", vec![syn, syn]),
        ("row15_id_reused", vec![syn, grant(RST, 0), syn]),
        ("row16_ids_go_back", vec![Frame::new(GRANT, SYN, 8, 0), syn]),
        ("row18_data_for_nobody", vec![Frame::new(DATA, 0, 4, 1024), Frame::new(DATA, 0, 3, 100)]),
        ("row19_grant_for_nobody", vec![Frame::new(GRANT, 0, 4, 1024), Frame::new(GRANT, RST, 4, 0)]),
        ("row20_beyond_window", vec![syn, data(0, 262_144), data(0, 1)]),
        ("row21_one_big_frame", vec![syn, data(0, 131_072), data(0, 131_072)]),
        ("row23_window_overflows", vec![syn, grant(0, u32::MAX)]),
        ("row24_reset_with_code", vec![syn, grant(RST, 7)]),
        ("row25_empty_data", vec![syn, data(0, 0)]),
        ("row26_end_on_data", vec![syn, data(FIN, 0)]),
        ("row27_end_with_payload", vec![syn, data(FIN, 100)]),
        ("row28_second_end", vec![syn, grant(FIN, 0), grant(FIN, 0)]),
        ("row29_data_after_end", vec![syn, grant(FIN, 0), data(0, 100), data(0, 100)]),
        ("row30_grant_after_end", vec![syn, grant(FIN, 0), grant(0, 1024)]),
        ("row32_reset_on_data", vec![syn, data(RST, 100), grant(0, 1)]),
        ("row34_opens_and_ends", vec![grant(SYN | FIN, 0)]),
        ("row35_opens_and_resets", [grant(SYN | RST, 0), data(SYN | RST, 100)].repeat(20)),
        ("row37_ping", vec![Frame::new(PING, SYN, 0, 7)]),
        ("row38_ping_of_nothing", vec![Frame::new(PING, 0, 0, 7)]),
        ("row39_ping_both", vec![Frame::new(PING, SYN | ACK, 0, 7)]),
        ("row40_ping_of_a_stream", vec![Frame::new(PING, SYN, 2, 7)]),
        ("row41_pong_unasked", vec![Frame::new(PING, ACK, 0, 7)]),
        ("row43_goodbye", vec![Frame::new(GO_AWAY, 0, 0, 0), syn]),
        ("row44_goodbye_in_anger", vec![syn, Frame::new(GO_AWAY, 0, 0, 2), syn]),
        ("cve_2026_32314_data_opens_beyond_window", vec![data(SYN, 262_145)]),
        ("cve_2026_31814_grant_overflows", vec![syn, grant(0, u32::MAX)]),
        ("cve_first_grant_overflows", vec![grant(SYN, u32::MAX)]),
        ("one_byte_frames", [vec![syn], vec![data(0, 1); 100]].concat()),
        ("rapid_reset", (1..60).flat_map(|n| [Frame::new(GRANT, SYN, 2 * n, 0), Frame::new(GRANT, RST, 2 * n, 0)]).collect()),
        ("ping_flood", vec![Frame::new(PING, SYN, 0, 1); 100]),
        ("tiny_grants", [vec![syn], vec![grant(0, 1); 100]].concat()),
        ("unknown_flags", vec![Frame { flags: 0x8000 | SYN, ..syn }, data(0x8000, 100)]),
    ]
}

/// Input of `f1`: pieces of at most 128 bytes, each behind its length, and a pull and the events at the end.
fn raw(frames: &[Frame]) -> Vec<u8> {
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| payload(*frame)).collect();
    // Whoever is odd is the agent.
    let mut all = PLAIN.to_vec();
    for piece in bytes.chunks(128) {
        all.push(piece.len() as u8 - 1);
        all.extend_from_slice(piece);
    }
    all.extend_from_slice(&[0x81, 0, 0x8F, 0]);
    if all.len().is_multiple_of(2) {
        all.push(0x81);
    }
    all
}

/// A long payload would only make the corpus large.
fn payload(frame: Frame) -> Vec<u8> {
    match frame.kind == DATA && frame.length <= 1024 {
        true => frame.with_payload(),
        false => frame.bytes().to_vec(),
    }
}

/// Input of `f2`, `f6` and `f7`: four bytes a frame.
fn words(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| word(*frame)).collect()
}

fn word(frame: Frame) -> [u8; 4] {
    let kind = match (frame.version, frame.kind) {
        (0, kind @ DATA..=GO_AWAY) => kind,
        (0, kind) => 0xE0 | (kind - 4),
        _ => 0xF0 | frame.kind,
    };
    let length = crate::fuzz::LENGTHS.iter().position(|length| *length == frame.length);
    let word = [
        kind,
        (frame.flags & 15) as u8 | (frame.flags >> 8) as u8,
        frame.id as u8,
        length.expect("every seed uses a listed length") as u8,
    ];
    assert_eq!(crate::fuzz::frame(word), frame, "a seed says what it means");
    word
}

/// What two applications may do; see `ops` for the numbers.
#[rustfmt::skip]
fn plays() -> Vec<(&'static str, Vec<[u8; 4]>)> {
    const PUMP: [u8; 4] = [0, 0, 3, 0];
    const OPEN: [[u8; 4]; 2] = [[20, 0, 0, 0], [20, 1, 0, 0]];
    let accept = [26, 1, 0, 0];
    let write = |end, size| [31, end, size, 0];
    let read = |end| [41, end, 0, 128];
    let finish = |end| [50, end, 0, 0];
    vec![
        ("echo", vec![OPEN[0], write(0, 5), PUMP, accept, read(1), write(1, 5), PUMP, read(0), finish(0), finish(1), PUMP]),
        ("bulk", [vec![OPEN[0], PUMP, accept], [write(0, 12), PUMP, read(1)].repeat(12), vec![finish(0), PUMP]].concat()),
        ("slow_reader", [vec![OPEN[0], PUMP], [write(0, 14), PUMP].repeat(8)].concat()),
        ("crossing_resets", vec![OPEN[0], write(0, 9), PUMP, [53, 0, 0, 0], [53, 1, 0, 0], PUMP]),
        ("reset_with_data_underway", vec![OPEN[0], PUMP, write(0, 14), [10, 0, 0, 0], [53, 1, 0, 0], PUMP, PUMP]),
        ("stopped_reader", vec![OPEN[0], PUMP, [54, 1, 0, 0], write(0, 14), PUMP, finish(1), PUMP, write(0, 14), PUMP]),
        ("many", [OPEN.repeat(12), vec![PUMP], [write(0, 9), write(1, 9), PUMP].repeat(6)].concat()),
        ("ended_before_accepted", vec![OPEN[0], finish(0), PUMP, read(1), finish(1), PUMP, accept, PUMP]),
        ("goodbye", vec![OPEN[0], PUMP, accept, [63, 1, 0, 0], OPEN[0], write(0, 9), PUMP, read(1)]),
        ("shutdown", vec![OPEN[0], PUMP, accept, [63, 1, 8, 200], write(0, 9), PUMP, finish(0), read(1), finish(1), PUMP]),
        ("lost", vec![OPEN[0], PUMP, accept, write(0, 14), [10, 0, 0, 0], [63, 1, 16, 0], PUMP]),
        ("cut_deliveries", vec![OPEN[0], write(0, 9), [10, 0, 0, 0], [15, 1, 3, 0], [15, 1, 0, 0], [15, 1, 9, 0], PUMP]),
    ]
}
