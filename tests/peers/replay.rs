//! What other implementations say to each other, said to ours; and the same application on ours and on theirs.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;

use bytes::Bytes;
use hvym_tunnel_core::mux::{Mux, MuxConfig, MuxEvent, Read, Role, StreamId};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::apps::{echo, exchange, pattern};
use hvym_tunnel_tests::lens::{DATA, FIN, Frame, RST, SYN, frames_so_far};
use hvym_tunnel_tests::meeting::{OurEnd, Tasks, Transport, connect, meet};
use hvym_tunnel_tests::pipe::{Record, Tap};
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use yamux::{Config, Mode};

use crate::{hashicorp, yamux as yamux_peer};

const NOW: Instant = Instant::ZERO;
/// How a recording is cut: around a header, around nothing, and not at all.
const CUTS: [usize; 8] = [1, 3, 11, 12, 13, 1000, 65_536, usize::MAX];
/// What the recorded streams carry each way, bytes.
const SIZES: [usize; 6] = [1, 64, 1000, 16 * 1024, 70_000, 250_000];

/// The contents of all streams in one direction of a recording, as ours understands it when it is cut every `cut`
/// bytes. Of streams that this side opened there are `opened`.
fn understood(recording: &[u8], role: Role, opened: usize, cut: usize) -> Vec<Vec<u8>> {
    let mut mux = Mux::new(role, MuxConfig::default(), 1, [7; 32], NOW);
    let mut streams: BTreeMap<StreamId, Vec<u8>> = BTreeMap::new();
    for _ in 0..opened {
        streams.insert(mux.open(NOW).expect("there is room"), Vec::new());
    }
    // Nobody listens, but what was said counts as said.
    while mux.poll_transmit().is_some() {}
    for piece in recording.chunks(cut.min(recording.len())) {
        mux.handle_data(Bytes::copy_from_slice(piece), NOW).expect("an honest peer said it");
        while let Some(event) = mux.poll_event() {
            let id = match event {
                MuxEvent::Incoming(id) => {
                    mux.accept(id, NOW).expect("it has just come in");
                    id
                }
                MuxEvent::Readable(id) => id,
                _ => continue,
            };
            while let Read::Data(data) =
                mux.stream(id).expect("it lives").read(usize::MAX, NOW).expect("no reset")
            {
                streams.entry(id).or_default().extend_from_slice(&data);
            }
        }
        while mux.poll_transmit().is_some() {}
    }
    let mut contents: Vec<_> = streams.into_values().collect();
    contents.sort();
    contents
}

/// Holds both directions of a recorded session, in which everything was echoed, to what was said in it.
fn hold(from_opener: &[u8], from_acceptor: &[u8], mut said: Vec<Vec<u8>>) {
    said.sort();
    for cut in CUTS {
        assert!(
            understood(from_opener, Role::Server, 0, cut) == said,
            "from the opener, cut every {cut} bytes"
        );
        let answers = understood(from_acceptor, Role::Client, said.len(), cut);
        assert!(answers == said, "from the acceptor, cut every {cut} bytes");
    }
}

#[test]
fn what_two_of_the_crate_yamux_say_to_each_other_means_the_same_here_however_it_is_cut() {
    let said: Vec<_> = SIZES.iter().zip(0..).map(|(size, n)| pattern(n, *size)).collect();
    let record = meet(async |tasks| {
        let (opener, record) = two_of_theirs(&tasks).await;
        for request in &said {
            assert!(exchange(opener.open().await, request).await.expect("an answer") == *request);
        }
        record
    });
    hold(&record.outbound.borrow(), &record.inbound.borrow(), said);
}

#[test]
fn what_two_of_hashicorp_say_to_each_other_means_the_same_here_however_it_is_cut() {
    if !hashicorp::is_there() {
        return;
    }
    let record = meet(async |tasks| {
        let (mut opener, near) = hashicorp::Peer::start("dial", &[]).await;
        let (mut acceptor, far) = hashicorp::Peer::start("serve", &[]).await;
        let (near, record) = Tap::new(near);
        let (near_reader, near_writer) = smol::io::split(near);
        tasks.spawn(smol::io::copy(near_reader, far.clone())).detach();
        tasks.spawn(smol::io::copy(far, near_writer)).detach();
        assert_eq!(acceptor.tell("echo").await, "ok");
        assert_eq!(opener.tell("exchange 6 1").await, "ok");
        record
    });
    let pattern = |size: usize| (0..size).map(|i| (i * 7 + (i >> 8)) as u8).collect();
    let said = (0..6).map(|i| pattern(1 + i * i * 7919 % 300_000)).collect();
    hold(&record.inbound.borrow(), &record.outbound.borrow(), said);
}

/// What one direction says of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Trace {
    openings: usize,
    ends: usize,
    resets: usize,
    bytes: usize,
}

fn traces(frames: &[Frame]) -> BTreeMap<u32, Trace> {
    let mut all: BTreeMap<u32, Trace> = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame.id != 0) {
        let trace = all.entry(frame.id).or_default();
        trace.openings += usize::from(frame.flags & SYN != 0);
        trace.ends += usize::from(frame.flags & FIN != 0);
        trace.resets += usize::from(frame.flags & RST != 0);
        trace.bytes += if frame.kind == DATA { frame.length as usize } else { 0 };
    }
    all
}

/// An application: whole exchanges, and one that is broken off. Gives what it has read.
async fn script<S, F>(open: impl Fn() -> F) -> io::Result<Vec<Vec<u8>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = S>,
{
    let mut read = Vec::new();
    for (size, n) in SIZES.iter().zip(0..) {
        read.push(exchange(open().await, &pattern(n, *size)).await?);
        let mut broken_off = open().await;
        broken_off.write_all(b"abc").await?;
        broken_off.flush().await?;
        let mut answer = vec![0; 3];
        broken_off.read_exact(&mut answer).await?;
        read.push(answer);
    }
    // The last reset has arrived when this has come back.
    read.push(exchange(open().await, b"the end").await?);
    Ok(read)
}

#[test]
fn an_application_reads_the_same_and_says_the_same_on_ours_as_on_theirs() {
    let (read_on_theirs, theirs) = meet(async |tasks| {
        let (opener, record) = two_of_theirs(&tasks).await;
        (script(|| opener.open()).await.expect("a session that lives"), record)
    });
    let (read_on_ours, ours) = meet(async |tasks| {
        let (a, b) = connect(Transport::Memory).await;
        let opener = OurEnd::start(&tasks, Role::Client, MuxConfig::default(), a);
        let acceptor = OurEnd::start(&tasks, Role::Server, MuxConfig::default(), b);
        acceptor.echo(&tasks);
        let open = async || opener.node.open().await.expect("the session lives");
        (script(open).await.expect("a session that lives"), opener.record.clone())
    });
    assert!(read_on_ours == read_on_theirs);
    for (name, ours, theirs) in
        [("the opener", &ours.outbound, &theirs.outbound), ("the acceptor", &ours.inbound, &theirs.inbound)]
    {
        let [ours, theirs] = [ours, theirs].map(|bytes| traces(&frames_so_far(&bytes.borrow())));
        assert_eq!(ours, theirs, "what {name} says of each stream");
    }
}

/// Two sessions of the crate, of which one echoes, and what the other reads and writes.
async fn two_of_theirs(tasks: &Tasks) -> (yamux_peer::Peer, Record) {
    let (a, b) = connect(Transport::Memory).await;
    let (a, record) = Tap::new(a);
    let (opener, first) = yamux_peer::Peer::new(Mode::Client, Config::default(), a);
    let (acceptor, second) = yamux_peer::Peer::new(Mode::Server, Config::default(), b);
    tasks.spawn(first).detach();
    tasks.spawn(second).detach();
    let executor = tasks.clone();
    let accept = async move {
        while let Some(stream) = acceptor.accept().await {
            executor.spawn(echo(stream)).detach();
        }
    };
    tasks.spawn(accept).detach();
    (opener, record)
}
