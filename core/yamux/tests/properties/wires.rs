//! Two sessions over wires with a rate and a delay: what streams get of the path, and what waits where.

use core::time::Duration;

use hvym_yamux::MuxConfig;
use hvym_yamux_testing::net::{Net, Reader};
use hvym_yamux_testing::raw::cases;
use hvym_yamux_testing::wire::Path;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;
/// 100 Mbit/s and 1 Gbit/s, bytes a second.
const FAST: u64 = 12_500_000;
const VERY_FAST: u64 = 125_000_000;

/// A relay and an agent with their usual limits.
fn net(path: Path) -> Net {
    let mut net = Net::new(MuxConfig::opener(), MuxConfig::acceptor(), path);
    net.run(SECOND);
    net
}

fn read_by_all(net: &Net) -> u64 {
    net.streams.iter().map(|halves| halves[0].read).sum()
}

/// How long downloads of `total` bytes take that `streams` share.
fn download(net: &mut Net, streams: u64, total: u64) -> Duration {
    let (start, before) = (net.now, read_by_all(net));
    for _ in 0..streams {
        net.download(total / streams, Reader::Fast).expect("there is room");
    }
    let done = |net: &Net| read_by_all(net) - before >= total / streams * streams;
    assert!(net.run_until(start + 3600 * SECOND, done), "{streams} streams of {total} bytes");
    net.now - start
}

/// The time that `bytes` take at least, with a tenth more for headers and a beginning of `round_trips`.
fn allowed(bytes: u64, path: Path, round_trips: u32) -> Duration {
    Duration::from_micros(bytes * 1_100_000 / path.rate) + 2 * path.delay * round_trips
}

#[test]
fn a_download_fills_its_path_within_a_few_round_trips() {
    // The product of rate and round trip goes from 0.25 to 12.5 MB; a window begins at 0.25.
    for (rate, millis, streams, round_trips) in [
        (FAST, 20, 1, 2),
        (FAST, 100, 1, 4),
        (FAST, 300, 1, 6),
        (FAST, 300, 8, 3),
        (VERY_FAST, 20, 1, 5),
        (VERY_FAST, 100, 8, 5),
    ] {
        let path = Path::new(rate, millis);
        let total = rate * 4;
        let took = download(&mut net(path), streams, total);
        let most = allowed(total, path, round_trips);
        assert!(took <= most, "{rate} B/s, {millis} ms, {streams} streams: {took:?}, {most:?} allowed");
    }
}

#[test]
fn a_second_download_begins_with_what_the_first_has_learned() {
    let path = Path::new(FAST, 300);
    let mut net = net(path);
    download(&mut net, 1, 32 * MIB);
    net.reset(0, 0);
    net.run(SECOND);
    let took = download(&mut net, 1, MIB);
    assert!(took <= allowed(MIB, path, 1) + path.delay, "{took:?} for what fits into one round trip");
}

#[test]
fn a_queue_on_a_slow_path_grows_no_window_however_long_it_lasts() {
    for queue in [64 * 1024, 512 * 1024] {
        let mut net = net(Path { queue, ..Path::new(32_000, 100) });
        download(&mut net, 1, 60 * MIB);
        let [opener, acceptor] = net.ends.each_ref().map(|mux| mux.stats());
        // Once at most, when the short round trip of the beginning is forgotten.
        assert!(opener.window_growth <= 262_144, "a queue of {queue}: {opener:?}");
        assert_eq!(acceptor.window_growth, 0);
    }
}

#[test]
fn a_gibibyte_passes_each_way_at_once_with_windows_that_grow_by_32_mib() {
    let path = Path { queue: 4 << 20, ..Path::new(1_250_000_000, 20) };
    let mut net = net(path);
    let start = net.now;
    let number = net.download(1024 * MIB, Reader::Fast).expect("there is room");
    net.streams[number][0].left = 1024 * MIB;
    net.write(0, number);
    let done = |net: &Net| net.streams[number].iter().all(|half| half.read == 1024 * MIB);
    assert!(net.run_until(start + 60 * SECOND, done), "{:?}", net.streams[number]);
    for end in &net.ends {
        assert!((8 << 20..=32 << 20).contains(&end.stats().window_growth), "{:?}", end.stats());
    }
}

/// Opens as many downloads as `readers`, as room for openings comes.
fn open_all(net: &mut Net, readers: &[Reader], bytes: u64) {
    for reader in readers {
        while net.download(bytes, *reader).is_err() {
            net.run(SECOND / 100);
        }
    }
}

/// How many bytes those who read fast get in `time`, once everything has begun.
fn throughput(readers: &[Reader], path: Path, time: Duration) -> u64 {
    // Room for sixteen full queues.
    let acceptor = MuxConfig::acceptor().with(|config| config.max_unsent = 1 << 20);
    let mut net = Net::new(MuxConfig::opener(), acceptor, path);
    net.run(SECOND);
    open_all(&mut net, readers, 1 << 40);
    // Those that have stopped fill their windows.
    let stopped = readers.iter().filter(|reader| **reader == Reader::Stopped).count();
    net.run(SECOND + Duration::from_millis(stopped as u64 * 30));
    let before = read_by_all(&net);
    net.run(time);
    assert_eq!(net.ended, [None; 2]);
    assert!(net.streams.iter().flatten().all(|half| !half.was_reset));
    read_by_all(&net) - before
}

#[test]
fn any_number_of_downloads_at_once_has_the_throughput_of_one() {
    let path = Path::new(FAST, 20);
    for streams in [1, 128, 256, 1024] {
        let got = throughput(&vec![Reader::Fast; streams], path, 2 * SECOND);
        assert!(got >= FAST * 2 * 97 / 100, "{got} bytes by {streams} streams");
    }
}

#[test]
fn readers_that_have_stopped_cost_those_that_read_nothing() {
    let path = Path::new(FAST, 20);
    for (fast, stopped) in [(1, 1), (1, 100), (8, 100)] {
        let readers = [vec![Reader::Stopped; stopped], vec![Reader::Fast; fast]].concat();
        let got = throughput(&readers, path, 2 * SECOND);
        assert!(got >= FAST * 2 * 97 / 100, "{got} bytes beside {stopped} that have stopped");
    }
}

/// The longest time that a small answer takes beside the downloads that `net` carries.
fn slowest_answer(net: &mut Net, questions: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..questions {
        net.run(SECOND / 7);
        let asked = net.now;
        let number = net.open().expect("there is room");
        net.streams[number][1].answer = 1000;
        net.streams[number][0].left = 100;
        net.write(0, number);
        let answered = |net: &Net| net.streams[number][0].read == 1000;
        assert!(net.run_until(asked + 60 * SECOND, answered), "no answer: {:?}", net.streams[number]);
        slowest = slowest.max(net.now - asked);
        net.reset(0, number);
    }
    slowest
}

#[test]
fn a_small_answer_goes_ahead_of_all_that_waits_in_the_session() {
    // 10 Mbit/s. What the socket holds goes first, then what is left of one batch.
    let path = Path { queue: 16 * 1024, ..Path::new(1_250_000, 20) };
    for downloads in [1, 8, 64] {
        let mut net = net(path);
        open_all(&mut net, &vec![Reader::Fast; downloads], 1 << 40);
        net.run(2 * SECOND);
        let slowest = slowest_answer(&mut net, 20);
        let held = Duration::from_micros((path.queue as u64 + 2 * 4096) * 1_000_000 / path.rate);
        assert!(slowest <= 2 * path.delay + held, "{slowest:?} beside {downloads} downloads");
    }
}

#[test]
fn a_driver_that_does_not_say_what_its_socket_takes_makes_small_answers_wait_for_its_batches() {
    let path = Path { queue: 16 * 1024, ..Path::new(1_250_000, 20) };
    let mut net = net(path);
    net.has_budget = false;
    open_all(&mut net, &[Reader::Fast], 1 << 40);
    net.run(2 * SECOND);
    assert!(slowest_answer(&mut net, 20) > 2 * path.delay + Duration::from_millis(40));
}

#[test]
fn a_connection_that_takes_nothing_any_more_ends_both_sessions() {
    let keepalive = |config: &mut MuxConfig| config.keepalive = Some((10 * SECOND, 5 * SECOND));
    let (opener, acceptor) = (MuxConfig::opener().with(keepalive), MuxConfig::acceptor().with(keepalive));
    let mut net = Net::new(opener, acceptor, Path::new(FAST, 20));
    net.run(SECOND);
    open_all(&mut net, &[Reader::Fast; 3], 1 << 40);
    net.run(60 * SECOND);
    net.cut();
    let cut_at = net.now;
    assert!(
        net.run_until(cut_at + 16 * SECOND, |net| net.ended.iter().all(Option::is_some)),
        "{:?}",
        net.ended
    );
}

fn any_reader() -> impl Strategy<Value = Reader> {
    prop_oneof![
        3 => Just(Reader::Fast),
        2 => Just(Reader::Stopped),
        2 => (1000u64..100_000).prop_map(Reader::Slow),
    ]
}

fn any_path() -> impl Strategy<Value = Path> {
    (prop_oneof![Just(125_000u64), Just(1_250_000), Just(FAST)], 1u64..200, 8u32..20)
        .prop_map(|(rate, millis, queue)| Path { queue: 1 << queue, ..Path::new(rate, millis) })
}

proptest! {
    #![proptest_config(cases(16))]

    // invariants 14 and 29
    #[test]
    fn whatever_others_read_a_stream_that_has_credit_is_served_within_one_round(
        readers in prop::collection::vec((any_reader(), 0u64..6), 1..60),
        path in any_path(),
        gone in any::<bool>(),
    ) {
        let mut net = net(path);
        for (reader, group) in &readers {
            open_all(&mut net, &[*reader], 1 << 40);
            let number = net.streams.len() - 1;
            net.set_group(number, *group);
        }
        net.run(3 * SECOND);
        // Beside them, half of them leaving: the socket's queue, what is left of a batch, and for each that sends anything its
        // first quantum, which it has not had.
        let first_turns = readers.len() as u64 * 16 * 1024;
        let held = Duration::from_micros((path.queue as u64 + 2 * 4096 + 65_600 + first_turns) * 1_000_000 / path.rate);
        for number in 0..if gone { readers.len() / 2 } else { 0 } {
            net.reset(number % 2, number);
        }
        let slowest = slowest_answer(&mut net, 5);
        prop_assert!(slowest <= 2 * path.delay + held, "{:?}, {:?} allowed", slowest, 2 * path.delay + held);
        prop_assert_eq!(net.ended, [None; 2]);
        for end in &net.ends {
            prop_assert_eq!(end.check_invariants(), Ok(()));
        }
    }

    #[test]
    fn a_stream_that_is_read_is_never_reset_however_much_others_leave_unread(
        stopped in prop::collection::vec(0u64..4, 100..220),
        slow in 50_000u64..2_000_000,
        path in any_path(),
        fast in any::<bool>(),
    ) {
        let path = Path { rate: FAST, ..path };
        let mut net = net(path);
        let honest = net.download(1 << 40, if fast { Reader::Fast } else { Reader::Slow(slow) }).expect("room");
        net.set_group(honest, 99);
        net.run(2 * SECOND);
        let before = net.streams[honest][0].read;
        // 128 first windows are the limit.
        for group in &stopped {
            open_all(&mut net, &[Reader::Stopped], 1 << 40);
            let number = net.streams.len() - 1;
            net.set_group(number, *group);
            net.run(SECOND / 50);
        }
        net.run(5 * SECOND);
        let resets = net.streams.iter().filter(|halves| halves[0].was_reset).count();
        prop_assert!(!net.streams[honest][0].was_reset, "{} resets", resets);
        prop_assert!(net.streams[honest][0].read > before);
        prop_assert!(stopped.len() < 130 || resets > 0);
    }

    #[test]
    fn visitors_who_leave_as_soon_as_they_have_come_cost_nobody_else_anything(
        each in 20usize..60,
        turns in 50usize..70,
        pause in 1u64..10,
        path in any_path(),
    ) {
        let path = Path { rate: FAST, ..path };
        let mut net = net(path);
        net.download(1 << 40, Reader::Fast).expect("room");
        net.run(SECOND);
        for _ in 0..turns {
            let before = net.streams.len();
            for _ in 0..each {
                if let Ok(number) = net.open() {
                    net.streams[number][0].left = 300;
                    net.write(0, number);
                }
            }
            net.run(Duration::from_millis(pause));
            (before..net.streams.len()).for_each(|number| net.reset(0, number));
        }
        let read = net.streams[0][0].read;
        net.run(SECOND);
        prop_assert_eq!(net.ended, [None; 2]);
        prop_assert!(net.streams[0][0].read > read + FAST / 2);
    }
}
