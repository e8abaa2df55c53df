//! The registry of wakers: who is woken by which event of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use hvym_tunnel_core::link::{StreamEvent, StreamInterest, StreamWakers};
use hvym_tunnel_core::mux::{ResetReason, StreamId};
use hvym_tunnel_tests::ends::{opening, pair};

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that counts how often it is woken.
#[derive(Default)]
struct Task(Arc<Counter>);

impl Task {
    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    fn woken(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }
}

/// Ids of live streams.
fn ids() -> [StreamId; 3] {
    let mut pair = pair();
    pair.up();
    let now = pair.now;
    std::array::from_fn(|_| pair.relay.session().open(&opening("web"), now).expect("room"))
}

const INTERESTS: [StreamInterest; 3] = [StreamInterest::Read, StreamInterest::Write, StreamInterest::Reset];

/// A registry in which three tasks wait for each of the streams.
fn waiting(ids: &[StreamId]) -> (StreamWakers, Vec<[Task; 3]>) {
    let mut wakers = StreamWakers::new();
    let tasks: Vec<[Task; 3]> = ids.iter().map(|_| Default::default()).collect();
    for (id, tasks) in ids.iter().zip(&tasks).rev() {
        for (interest, task) in INTERESTS.into_iter().zip(tasks) {
            wakers.register(*id, interest, &task.waker());
        }
    }
    (wakers, tasks)
}

fn woken(tasks: &[[Task; 3]]) -> Vec<[usize; 3]> {
    tasks.iter().map(|tasks| [0, 1, 2].map(|at| tasks[at].woken())).collect()
}

#[test]
fn an_event_wakes_those_who_wait_for_it_on_its_stream_and_once() {
    let ids = ids();
    let table = [
        (StreamEvent::Readable(ids[1]), [1, 0, 0]),
        (StreamEvent::Writable(ids[1]), [0, 1, 0]),
        (StreamEvent::Reset(ids[1], ResetReason::Local(7)), [1, 1, 1]),
        (StreamEvent::Opened { id: ids[1], header: Box::new(opening("web")) }, [0, 0, 0]),
    ];
    for (event, expected) in table {
        let (mut wakers, tasks) = waiting(&ids);
        wakers.wake(&event);
        wakers.wake(&event);
        assert_eq!(woken(&tasks), [[0; 3], expected, [0; 3]], "{event:?}");
    }
}

#[test]
fn the_loss_of_the_link_wakes_everybody_and_a_reset_by_the_owner_one_stream() {
    let ids = ids();
    let (mut wakers, tasks) = waiting(&ids);
    wakers.wake_stream(ids[2]);
    assert_eq!(woken(&tasks), [[0; 3], [0; 3], [1; 3]]);
    wakers.wake_all();
    assert_eq!(woken(&tasks), [[1; 3], [1; 3], [1; 3]]);
}

#[test]
fn a_later_waker_replaces_an_earlier_one_and_a_removed_stream_wakes_nobody() {
    let ids = ids();
    let (mut wakers, tasks) = waiting(&ids);
    let later = Task::default();
    wakers.register(ids[0], StreamInterest::Read, &later.waker());
    wakers.wake(&StreamEvent::Readable(ids[0]));
    assert_eq!((tasks[0][0].woken(), later.woken()), (0, 1));
    for id in ids {
        assert!(!wakers.is_empty());
        wakers.remove(id);
        wakers.wake_stream(id);
    }
    assert!(wakers.is_empty());
    assert_eq!(woken(&tasks), [[0; 3]; 3]);
}
