//! The wire contract of Yamux, frame by frame: how streams end.

use std::time::Duration;

use hvym_yamux::{MuxError, MuxEvent, Read, ResetReason, StreamError};
use hvym_yamux_testing::rig::{ACK, FIN, Frame, RST, Rig, SYN, WINDOW, data, header, window};

const MINUTE: Duration = Duration::from_secs(60);

fn lengths(frames: &[Frame]) -> Vec<u32> {
    frames.iter().filter(|frame| frame.is_data()).map(|frame| frame.length).collect()
}

#[test]
fn our_end_is_an_empty_window_update_of_its_own_after_all_data() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    rig.write(id, &[1; 65_536]);
    rig.finish(id);
    rig.finish(id);
    let frames = rig.sent();
    assert_eq!(lengths(&frames).iter().sum::<u32>(), 65_536);
    assert!(frames.iter().filter(|frame| frame.is_data()).all(|frame| frame.flags == 0));
    assert_eq!(frames.last(), Some(&Frame::bare(1, FIN, wire, 0)));
    assert_eq!(frames.iter().filter(|frame| frame.flags & FIN != 0).count(), 1, "never said twice");
    let mut rest = bytes::Bytes::from_static(b"more");
    assert_eq!(rig.mux.stream(id).unwrap().write(&mut rest, rig.now), Err(StreamError::Finished));
}

#[test]
fn our_end_waits_for_data_that_waits_for_its_turn() {
    let mut rig = Rig::agent_but(|config| config.batch = 4096);
    let (id, wire) = rig.opened();
    let written = rig.write_some(id, &[1; 65_536]);
    rig.finish(id);
    rig.take(&data(0, wire, &vec![1; WINDOW / 2]));
    rig.read_all(id);
    let first = rig.batch();
    let ends = first.iter().filter(|frame| frame.flags & FIN != 0).count();
    assert_eq!(ends, 0, "nor does it overtake its data when something else is said");
    assert!(first.contains(&Frame::bare(1, 0, wire, WINDOW as u32 / 2)));
    let frames = rig.sent();
    let all = lengths(&first).iter().sum::<u32>() + lengths(&frames).iter().sum::<u32>();
    assert_eq!(all as usize, written);
    assert_eq!(frames.last(), Some(&Frame::bare(1, FIN, wire, 0)));
}

#[test]
fn any_form_of_the_peers_end_is_taken_and_comes_after_its_payload() {
    let forms = [
        [data(0, 2, b"all"), window(FIN, 2, 0)].concat(),
        [data(0, 2, b"all"), data(FIN, 2, b"")].concat(),
        data(FIN, 2, b"all"),
        [data(0, 2, b"a"), data(FIN, 2, b"ll")].concat(),
        [data(0, 2, b"all"), window(FIN, 2, 1)].concat(),
    ];
    for form in forms {
        let mut rig = Rig::agent();
        let id = rig.accepted(2);
        let (last, before) = form.split_last().unwrap();
        rig.take(before);
        assert!(!rig.read_all(id).1, "not before the last byte");
        rig.take(&[*last]);
        assert!(rig.read_all(id).1);
    }
}

#[test]
fn an_end_with_payload_is_readable_only_after_the_payload() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    assert_eq!(rig.read(id), Ok(Read::Empty));
    rig.take(&header(0, 0, FIN, 2, 4));
    assert_eq!(rig.read(id), Ok(Read::Empty));
    rig.take(b"tail");
    assert_eq!(rig.read_all(id), (b"tail".to_vec(), true));
}

#[test]
fn a_second_end_is_ignored() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&[window(FIN, 2, 0), window(FIN, 2, 0), data(FIN, 2, b"")].concat());
    assert_eq!(rig.read_all(id), (vec![], true));
    assert_eq!(rig.sent(), []);
    rig.write(id, b"our half lives");
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn data_after_the_end_is_dropped_and_what_came_before_the_end_is_read() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(
        &[data(0, 2, b"whole"), data(FIN, 2, b""), data(0, 2, b" and late"), data(FIN, 2, b"r")].concat(),
    );
    assert_eq!(rig.read_all(id), (b"whole".to_vec(), true));
    assert_eq!(rig.sent(), []);
    rig.write(id, b"our half lives");
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn data_after_an_end_that_was_read_resets_that_stream_once_and_nothing_else() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    let other = rig.accepted(4);
    rig.take(&[window(FIN, 2, 0), data(0, 2, b"")].concat());
    assert_eq!(rig.sent(), [], "an empty frame is no data");
    assert_eq!(rig.read_all(id), (vec![], true));
    rig.take(&[data(0, 2, b"more"), data(0, 2, b"and more"), data(0, 4, b"fine")].concat());
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 2, 0)]);
    assert_eq!(rig.read_all(other), (b"fine".to_vec(), false));
    assert_eq!(rig.read(id), Err(StreamError::Reset(ResetReason::Unwanted)));
}

#[test]
fn no_window_is_granted_after_the_peers_end() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&data(FIN, 2, &vec![1; WINDOW]));
    assert_eq!(rig.read_all(id).0.len(), WINDOW);
    assert_eq!(rig.sent(), []);
    let late = rig.accepted(4);
    rig.take(&data(0, 4, &vec![1; WINDOW]));
    assert_eq!(rig.read_all(late).0.len(), WINDOW);
    rig.take(&window(FIN, 4, 0));
    assert!(rig.sent().iter().all(|frame| frame.kind != 1), "nor if it came before the update left");
}

#[test]
fn after_our_end_the_other_direction_goes_on_past_its_window() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    rig.finish(id);
    rig.sent();
    for n in 0..8 {
        rig.take(&data(0, wire, &vec![n; WINDOW / 2]));
        assert_eq!(rig.read_all(id).0.len(), WINDOW / 2);
        let granted = rig.sent().iter().find(|frame| frame.kind == 1).map(|frame| frame.length);
        assert_eq!(granted, Some(WINDOW as u32 / 2));
    }
}

#[test]
fn a_window_that_comes_after_the_peers_end_counts() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    rig.take(&window(FIN, wire, 0));
    let mut sent = 0;
    for _ in 0..8 {
        rig.write_some(id, &[1; 65_536]);
        sent += lengths(&rig.sent()).iter().sum::<u32>();
    }
    assert_eq!(sent as usize, WINDOW);
    rig.take(&window(0, wire, 10_000));
    assert_eq!(rig.write_when_told(id, &[1; 65_536]), 10_000);
    assert_eq!(lengths(&rig.sent()), [10_000]);
}

#[test]
fn a_half_closed_stream_on_which_nothing_moves_is_reset_after_five_minutes() {
    let mut rig = Rig::agent();
    let (ours, _) = rig.opened();
    rig.finish(ours);
    let theirs = rig.accepted(2);
    rig.take(&window(FIN, 2, 0));
    let (open, _) = rig.opened();
    rig.sent();
    rig.pass(5 * MINUTE - Duration::from_micros(1)).unwrap();
    assert_eq!(rig.sent(), []);
    rig.pass(Duration::from_micros(1)).unwrap();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 1, 0), Frame::bare(1, RST, 2, 0)]);
    let events = rig.events();
    assert!(events.contains(&MuxEvent::Reset(ours, ResetReason::Idle)), "{events:?}");
    assert!(events.contains(&MuxEvent::Reset(theirs, ResetReason::Idle)), "{events:?}");
    assert_eq!(rig.read(open), Ok(Read::Empty), "a stream open both ways may be idle for ever");
}

#[test]
fn data_in_either_direction_keeps_a_half_closed_stream() {
    let mut rig = Rig::agent();
    let (download, down) = rig.opened();
    rig.finish(download);
    let (upload, up) = rig.opened();
    rig.take(&window(FIN, up, 0));
    rig.sent();
    // One frame that takes half an hour to arrive.
    rig.take(&header(0, 0, 0, down, 1000));
    for _ in 0..10 {
        rig.pass(3 * MINUTE).unwrap();
        rig.take(b"x");
        rig.write(upload, b"y");
        assert_eq!(rig.sent().len(), 1);
    }
    // Each is reset exactly five minutes after its own last move, whoever moved first.
    rig.pass(2 * MINUTE).unwrap();
    rig.take(b"x");
    rig.pass(3 * MINUTE).unwrap();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, up, 0)]);
    rig.pass(2 * MINUTE).unwrap();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, down, 0)]);
}

#[test]
fn our_reset_is_an_empty_window_update_and_the_last_frame_of_its_stream() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    rig.write(id, &[1; 1000]);
    rig.mux.stream(id).unwrap().reset(77, rig.now);
    assert_eq!(rig.mux.stats().unsent, 0, "what was queued is gone at once");
    assert_eq!(rig.sent(), [Frame::bare(1, RST, wire, 0)]);
    assert_eq!(rig.events(), [], "who resets a stream need not be told");
    rig.take(&window(0, wire, 1));
    assert_eq!(rig.sent(), []);
}

#[test]
fn what_was_not_read_before_a_reset_is_gone_and_never_looks_like_the_end() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&[data(0, 2, b"unread"), window(RST, 2, 9)].concat());
    assert_eq!(rig.read(id), Err(StreamError::Reset(ResetReason::Peer(9))));
    assert_eq!(rig.mux.stats().unread, 0);
    assert_eq!(rig.events(), [MuxEvent::Reset(id, ResetReason::Peer(9))]);
    assert_eq!(rig.read(id), Err(hvym_yamux::ClosedStream.into()));
}

#[test]
fn what_the_peer_ended_stays_readable_when_it_then_refuses_the_rest_of_ours() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    for _ in 0..8 {
        rig.write_some(id, &[1; 65_536]);
        rig.sent();
    }
    rig.take(&[data(0, wire, b"too large"), window(FIN, wire, 0), window(RST, wire, 0)].concat());
    assert_eq!(rig.mux.stats().unsent, 0);
    assert!(rig.events().contains(&MuxEvent::Writable(id)), "a blocked writer hears of it");
    let mut rest = bytes::Bytes::from_static(b"more");
    assert_eq!(rig.mux.stream(id).unwrap().write(&mut rest, rig.now), Err(StreamError::Finished));
    assert_eq!(rig.read_all(id), (b"too large".to_vec(), true));
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.mux.stats().outbound, 0);
}

#[test]
fn a_stream_may_open_and_end_in_one_frame() {
    for frame in [data(SYN | FIN, 2, b"whole"), data(SYN | FIN, 2, b""), window(SYN | FIN, 2, 0)] {
        let mut rig = Rig::agent();
        rig.take(&frame);
        let id = rig.incoming();
        assert_eq!(rig.sent(), [Frame::bare(1, ACK, 2, 0)]);
        let (read, ended) = rig.read_all(id);
        assert_eq!((read.as_slice(), ended), (&frame[12..], true));
        rig.write(id, b"answer");
        assert_eq!(lengths(&rig.sent()), [6]);
    }
}

#[test]
fn a_stream_that_opens_and_resets_in_one_frame_never_was() {
    for frame in [window(SYN | RST, 2, 5), data(SYN | RST, 2, b"skipped")] {
        let mut rig = Rig::agent();
        rig.take(&frame);
        assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
        assert_eq!(rig.mux.stats().inbound, 0);
        rig.assert_alive();
    }
}

#[test]
fn a_reader_that_gave_up_lets_the_peer_end_by_itself() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&data(0, 2, &[1; 1000]));
    rig.stop(id);
    assert_eq!(rig.mux.stats().unread, 0);
    rig.write(id, b"the answer was clear");
    rig.finish(id);
    assert_eq!(rig.sent().len(), 2);
    // A reset now would destroy the answer on its way; the peer is about to end.
    rig.take(&data(FIN, 2, &[1; 1000]));
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.mux.stats().inbound, 0);
}

#[test]
fn a_peer_that_goes_on_after_we_gave_up_and_ended_is_reset_once_its_window_is_used_up() {
    for finish_first in [true, false] {
        let mut rig = Rig::agent();
        let id = rig.accepted(2);
        if finish_first {
            rig.finish(id);
            rig.stop(id);
        } else {
            rig.stop(id);
            rig.finish(id);
        }
        assert_eq!(rig.sent(), [Frame::bare(1, FIN, 2, 0)]);
        rig.take(&data(0, 2, &vec![1; WINDOW - 1]));
        assert_eq!(rig.sent(), [], "it is granted nothing more");
        rig.take(&data(0, 2, &[1]));
        assert_eq!(rig.sent(), [Frame::bare(1, RST, 2, 0)]);
        assert_eq!(rig.mux.stats().unread, 0);
    }
}

#[test]
fn a_reader_that_gives_up_on_a_peer_without_window_resets_it_at_once_if_we_have_ended() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&data(0, 2, &vec![1; WINDOW]));
    rig.finish(id);
    rig.sent();
    rig.stop(id);
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 2, 0)], "it would wait for ever");
}

#[test]
fn what_was_written_before_both_halves_were_given_up_leaves_before_the_end_and_the_reset() {
    for stop_first in [true, false] {
        let mut rig = Rig::agent_but(|config| config.max_stream_unsent = 2 * WINDOW);
        let id = rig.accepted(2);
        rig.take(&data(0, 2, &vec![1; WINDOW]));
        assert_eq!(rig.write_some(id, &vec![2; WINDOW + 1]), WINDOW, "the peer has granted no more");
        if stop_first {
            rig.stop(id);
            rig.finish(id);
        } else {
            rig.finish(id);
            rig.stop(id);
        }
        let frames = rig.sent();
        let (data, end) = frames.split_at(frames.len() - 2);
        assert_eq!(lengths(data).iter().sum::<u32>() as usize, WINDOW);
        assert!(data.iter().all(Frame::is_data));
        // The peer has used up its window, and would wait for ever.
        assert_eq!(end, [Frame::bare(1, FIN, 2, 0), Frame::bare(1, RST, 2, 0)]);
        assert!(matches!(rig.events()[..], [.., MuxEvent::Reset(_, ResetReason::Unwanted)]));
        assert_eq!(rig.mux.stats(), Default::default());
    }
}

#[test]
fn a_reader_that_gave_up_while_a_frame_was_arriving_skips_the_rest_of_it() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&header(0, 0, 0, 2, 100));
    rig.take(&[1; 50]);
    rig.stop(id);
    rig.take(&[1; 50]);
    assert_eq!(rig.mux.stats().unread, 0);
    rig.assert_alive();
}

#[test]
fn a_stream_torn_while_a_frame_was_arriving_skips_the_rest_and_remembers_what_was_paid() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&header(0, 0, FIN, 2, 100));
    rig.take(&[1; 50]);
    rig.reset(id);
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 2, 0)]);
    let next = rig.mux.open(rig.now).unwrap();
    rig.sent();
    rig.take(&[1; 50]);
    assert_eq!(rig.read(next), Ok(Read::Empty), "a new stream in the same place gets none of it");
    rig.take(&data(0, 2, &vec![1; WINDOW - 100]));
    rig.assert_fatal(&data(0, 2, &[1]), MuxError::WindowExceeded(2), 1);
}
