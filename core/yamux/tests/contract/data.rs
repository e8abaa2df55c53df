//! The wire contract of Yamux, frame by frame: data and windows.

use hvym_yamux::{MuxError, MuxEvent, Read, ResetReason, StreamError};
use hvym_yamux_testing::rig::{FIN, Frame, RST, Rig, SYN, WINDOW, data, header, window};

/// Meaningless frames that are forgiven at once.
const GLITCHES: usize = 1000;

#[test]
fn data_for_a_closed_stream_is_dropped_without_an_answer_within_what_it_was_granted() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.reset(id);
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 2, 0)]);
    rig.take(&data(0, 2, &vec![1; WINDOW - 1]));
    rig.take(&data(FIN, 2, &[1]));
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.mux.stats().unread, 0);
    rig.assert_fatal(&data(0, 2, &[1]), MuxError::WindowExceeded(2), 1);
}

#[test]
fn data_for_a_refused_stream_counts_against_its_first_window() {
    let mut rig = Rig::agent_but(|config| config.max_inbound_streams = 0);
    rig.take(&data(SYN, 2, &[1; 100]));
    rig.take(&data(0, 2, &vec![1; WINDOW - 100]));
    rig.assert_fatal(&data(0, 2, &[1]), MuxError::WindowExceeded(2), 1);
}

#[test]
fn data_for_a_stream_that_nobody_remembers_is_skipped_within_64_mib() {
    let mut rig = Rig::agent();
    rig.accepted(1000);
    for _ in 0..256 {
        rig.take(&data(0, 500, &vec![1; WINDOW]));
    }
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    let flood = MuxError::Flood(hvym_yamux::FloodKind::Discarded);
    rig.assert_fatal(&data(0, 500, &[1]), flood, 1);
}

#[test]
fn resets_and_windows_that_crossed_our_own_end_are_ignored() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.reset(id);
    rig.sent();
    for _ in 0..GLITCHES * 2 {
        rig.take(&[window(RST, 2, 0), window(0, 2, u32::MAX)].concat());
    }
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
}

#[test]
fn frames_for_a_stream_that_never_was_are_ignored_until_there_are_too_many() {
    for frame in [window(RST, 4, 0), window(0, 4, 1), window(FIN, 3, 0), data(0, 4, b"x"), data(0, 3, b"x")] {
        let mut rig = Rig::agent();
        rig.take(&frame.repeat(GLITCHES));
        assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
        assert!(matches!(rig.feed(&frame), Err(MuxError::Flood(_))), "{frame:?}");
    }
}

#[test]
fn frames_for_a_stream_whose_opening_has_not_left_are_for_no_stream() {
    let mut rig = Rig::agent();
    let id = rig.open();
    rig.take(&[data(0, 1, b"who told you?"), window(FIN, 1, 0), window(RST, 1, 0)].concat());
    assert_eq!(rig.read(id), Ok(Read::Empty));
    assert_eq!(rig.sent(), [Frame::bare(1, SYN, 1, 0)]);
    assert_eq!(rig.mux.stats().unacked, 1);
}

#[test]
fn a_byte_beyond_the_window_ends_the_session_before_any_of_its_frame_is_kept() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&data(0, 2, &vec![1; WINDOW - 10]));
    rig.assert_fatal(&data(0, 2, &[2; 11]), MuxError::WindowExceeded(2), 1);
    assert_eq!(rig.read(id), Err(StreamError::Lost));
    Rig::agent().assert_fatal(&header(0, 0, SYN, 2, WINDOW as u32 + 1), MuxError::WindowExceeded(2), 1);
}

#[test]
fn a_reset_does_not_excuse_a_frame_beyond_the_window() {
    let mut rig = Rig::agent();
    rig.accepted(2);
    rig.assert_fatal(&header(0, 0, RST, 2, WINDOW as u32 + 1), MuxError::WindowExceeded(2), 1);
}

#[test]
fn a_frame_as_large_as_the_window_is_handed_over_piece_by_piece() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&header(0, 0, 0, 2, WINDOW as u32));
    assert_eq!(rig.read(id), Ok(Read::Empty));
    for n in 0..64u8 {
        rig.take(&[n; 4096]);
        assert_eq!(rig.events(), [MuxEvent::Readable(id)]);
        assert_eq!(rig.read_all(id), (vec![n; 4096], false));
    }
    rig.assert_alive();
}

#[test]
fn a_lone_stream_sends_frames_of_64_kib_and_several_of_16_kib() {
    let mut rig = Rig::agent_but(|config| config.batch = 1 << 20);
    let (a, _) = rig.opened();
    rig.write(a, &[1; 65_536]);
    assert_eq!(lengths(&rig.sent()), [65_536]);
    let (b, _) = rig.opened();
    rig.write(a, &[1; 65_536]);
    rig.write(b, &[1; 20_000]);
    assert_eq!(lengths(&rig.sent()), [16_384, 16_384, 3_616, 49_152]);
}

fn lengths(frames: &[Frame]) -> Vec<u32> {
    frames.iter().filter(|frame| frame.is_data()).map(|frame| frame.length).collect()
}

#[test]
fn a_window_past_its_range_ends_the_session() {
    let mut rig = Rig::agent();
    rig.accepted(2);
    rig.take(&window(0, 2, u32::MAX - WINDOW as u32));
    rig.assert_fatal(&window(0, 2, 1), MuxError::WindowOverflow(2), 1);
    let too_much = window(SYN, 2, u32::MAX - WINDOW as u32 + 1);
    Rig::agent().assert_fatal(&too_much, MuxError::WindowOverflow(2), 1);
}

#[test]
fn the_length_of_a_reset_is_a_code_for_the_application_and_no_credit() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&window(RST, 2, u32::MAX));
    assert_eq!(rig.read(id), Err(StreamError::Reset(ResetReason::Peer(u32::MAX))));
    assert_eq!(rig.events(), [MuxEvent::Reset(id, ResetReason::Peer(u32::MAX))]);
    assert_eq!(rig.sent(), [], "a reset is not answered");
}

#[test]
fn empty_data_is_ignored_until_there_is_too_much_of_it() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    assert_eq!(rig.read(id), Ok(Read::Empty));
    rig.take(&data(0, 2, b"").repeat(GLITCHES));
    assert_eq!((rig.read(id), rig.events()), (Ok(Read::Empty), vec![]));
    assert!(matches!(rig.feed(&data(0, 2, b"")), Err(MuxError::Flood(_))));
}

#[test]
fn a_window_is_granted_again_once_half_of_it_has_been_read() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&data(0, 2, &vec![1; WINDOW / 2 - 1]));
    rig.read_all(id);
    assert_eq!(rig.sent(), []);
    rig.take(&data(0, 2, &[1]));
    assert_eq!(rig.sent(), [], "arriving grants nothing");
    rig.read_all(id);
    let frames: Vec<Frame> = rig.sent().into_iter().filter(|frame| frame.kind == 1).collect();
    assert_eq!(frames, [Frame::bare(1, 0, 2, WINDOW as u32 / 2)]);
}
