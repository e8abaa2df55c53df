//! Any operations on a pool, against a model that knows who may have which connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hvym_proxy::pool::{ConnPool, Grant, OpenRefusal, VisitorId, WaitId};
use hvym_proxy::{Choice, ConnHistory};
use hvym_yamux::Instant;
use proptest::prelude::*;

use super::{SAFE, pool, returned};

/// One thing that happens to a pool.
#[derive(Clone, Debug)]
enum Op {
    Take(u64),
    Put { conn: usize, is_safe: bool },
    Wait(u64),
    Refuse(bool),
    Cancel(usize),
    Leave(u64),
    Room,
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..4_u64).prop_map(Op::Take),
        (0..8_usize, any::<bool>()).prop_map(|(conn, is_safe)| Op::Put { conn, is_safe }),
        (0..4_u64).prop_map(Op::Wait),
        any::<bool>().prop_map(Op::Refuse),
        (0..8_usize).prop_map(Op::Cancel),
        (0..4_u64).prop_map(Op::Leave),
        Just(Op::Room),
        (0..20_000_u64).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 1..120)
}

/// Connections in use, with who uses them and whether they may go to others; requests that wait.
#[derive(Default)]
struct Model {
    used: Vec<(u32, u64, bool)>,
    waits: Vec<(WaitId, u64)>,
    /// Who last used an idle connection, and whether others may.
    idle: BTreeMap<u32, (u64, bool)>,
    next: u32,
}

impl Model {
    fn got(&mut self, conn: u32, who: u64) {
        let (last, is_safe) = self.idle.remove(&conn).expect("an idle connection, and only once");
        assert!(last == who || is_safe, "{who} got connection {conn} of {last}");
        self.used.push((conn, who, is_safe));
    }

    fn step(&mut self, pool: &mut ConnPool<u32>, op: Op, now: &mut Instant) {
        match op {
            Op::Take(who) => match pool.take("web", VisitorId(who), Choice::Any, *now) {
                Some(conn) => self.got(conn, who),
                None => {
                    self.next += 1;
                    self.used.push((self.next, who, true));
                }
            },
            Op::Put { conn, is_safe } if !self.used.is_empty() => {
                let (conn, who, was_safe) = self.used.swap_remove(conn % self.used.len());
                let history = ConnHistory { has_unsafe_request: !(is_safe && was_safe), ..SAFE };
                self.idle.insert(conn, (who, is_safe && was_safe));
                pool.put(returned(conn, VisitorId(who), history), *now);
            }
            Op::Wait(who) => {
                let id = pool.wait(Some(Arc::from("web")), VisitorId(who), *now);
                self.waits.extend(id.map(|id| (id, who)));
            }
            Op::Cancel(at) if !self.waits.is_empty() => {
                let (id, _) = self.waits.swap_remove(at % self.waits.len());
                pool.cancel(id, *now);
            }
            Op::Refuse(true) => pool.handle_refusal(OpenRefusal::Full),
            Op::Refuse(false) => pool.handle_refusal(OpenRefusal::Unacknowledged),
            Op::Leave(who) => pool.handle_visitor_end(VisitorId(who)),
            Op::Room => pool.handle_room(),
            Op::Pass(millis) => {
                *now = *now + Duration::from_millis(millis);
                pool.handle_timeout(*now);
            }
            Op::Put { .. } | Op::Cancel(_) => {}
        }
    }

    fn settle(&mut self, pool: &mut ConnPool<u32>) {
        while let Some(id) = pool.poll_granted() {
            let Some(at) = self.waits.iter().position(|(known, _)| *known == id) else { continue };
            match pool.take_grant(id) {
                Some(Grant::Conn(conn)) => {
                    let (_, who) = self.waits.swap_remove(at);
                    self.got(conn, who);
                }
                Some(Grant::TimedOut) => drop(self.waits.swap_remove(at)),
                Some(Grant::Stream) => pool.handle_no_stream(id, OpenRefusal::Full),
                None => {}
            }
        }
        while let Some(conn) = pool.poll_closed() {
            self.idle.remove(&conn).expect("an idle connection, and only once");
        }
    }
}

proptest! {
    #[test]
    fn no_connection_is_lost_and_none_goes_to_whom_it_must_not(ops in ops()) {
        let mut pool = pool(|config| (config.max_idle, config.max_waiting) = (3, 4));
        let (mut model, mut now) = (Model::default(), Instant::ZERO);
        for op in ops {
            model.step(&mut pool, op, &mut now);
            model.settle(&mut pool);
            prop_assert!(model.idle.len() <= 3 && model.waits.len() <= 4);
        }
        // Nothing is idle beyond its time, and nobody waits beyond it.
        pool.handle_timeout(now + Duration::from_secs(60));
        model.settle(&mut pool);
        prop_assert!(model.idle.is_empty() && model.waits.is_empty());
        prop_assert_eq!(pool.poll_timeout(), None);
    }
}
