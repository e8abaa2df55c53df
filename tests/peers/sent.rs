//! What a session has sent, read from a copy of its bytes.

use hvym_tunnel_tests::lens::{DATA, frames_so_far};
use hvym_tunnel_tests::pipe::Record;

/// Waits until the first stream that was written to has sent `length` bytes of data, and returns how many it has.
pub(crate) async fn by_first_stream(record: &Record, length: usize) -> usize {
    loop {
        let frames = frames_so_far(&record.outbound.borrow());
        let first = frames.iter().find(|frame| frame.kind == DATA).map(|frame| frame.id);
        let of_first = frames.iter().filter(|frame| frame.kind == DATA && Some(frame.id) == first);
        let sent = of_first.map(|frame| frame.length as usize).sum();
        if sent >= length {
            return sent;
        }
        smol::future::yield_now().await;
    }
}
