//! The stream ids that this end may still open.

use crate::role::Role;

/// Ids left when the owner is told to prepare a new session: at 1000 streams a second, a quarter of an hour's worth.
const FEW_IDS: u32 = 1 << 20;
/// Ids go up in steps of two. 2^32 - 1 is not used, so that the step past the last id does not overflow.
const LAST_ID: u32 = u32::MAX - 1;

/// A counter of ids; each is used once (Yamux specification, "StreamID Field").
#[derive(Debug)]
pub(crate) struct LocalIds {
    next: u32,
}

impl LocalIds {
    /// Odd for a client, even for a server.
    pub(crate) fn new(role: Role) -> Self {
        let next = match role {
            Role::Client => 1,
            Role::Server => 2,
        };
        Self { next }
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.next > LAST_ID
    }

    /// The next id. Call it only while `is_exhausted` is false.
    pub(crate) fn take(&mut self) -> u32 {
        let id = self.next;
        self.next = id.saturating_add(2);
        id
    }

    /// Uses up all ids but the last `left`, at least one, without opening streams. For tests.
    pub(crate) fn skip_to_last(&mut self, left: u32) {
        self.next = LAST_ID - 2 * left.saturating_sub(1) - self.next % 2;
    }

    /// Whether exactly [`FEW_IDS`] are left, which holds after one `take` of a session.
    pub(crate) fn just_became_few(&self) -> bool {
        let left = LAST_ID.saturating_sub(self.next) / 2 + 1;
        left == FEW_IDS
    }

    /// Whether `id`, of this end's parity, has been used.
    pub(crate) fn has_taken(&self, id: u32) -> bool {
        id < self.next
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_low_mark_is_passed_once_and_then_every_id_is_used() {
        for role in [Role::Client, Role::Server] {
            let mut ids = LocalIds::new(role);
            ids.next += (LAST_ID / 2 - FEW_IDS - 10) * 2;
            let mut low_after = Vec::new();
            let mut taken = 0;
            let mut last = 0;
            while !ids.is_exhausted() {
                let id = ids.take();
                assert!(id > last && id % 2 == LocalIds::new(role).next % 2);
                last = id;
                taken += 1;
                if ids.just_became_few() {
                    low_after.push(taken);
                }
            }
            assert_eq!(low_after, [taken - FEW_IDS]);
            assert!(last >= LAST_ID - 1);
        }
    }
}
