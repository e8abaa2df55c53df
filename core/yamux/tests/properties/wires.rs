//! Two sessions over wires with a rate and a delay: what streams get of the path, and what waits where.

use core::time::Duration;

use hvym_yamux::MuxConfig;
use hvym_yamux_testing::net::{Net, Reader};
use hvym_yamux_testing::wire::Path;

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
