//! Whether the leader of a runtime gets on, from looks at it. Knows no thread and no clock.

/// Looks in a row that find the leader in the same turn before another thread leads: 50 to 75 ms. Less, and a thread that
/// merely waits for a core would lose its place.
const STUCK_LOOKS: u32 = 2;
/// Turns between two looks up to which the process counts as idle: a timer that fires or a message that comes is one or two.
const IDLE_TURNS: u64 = 2;

/// What a look shows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum LeaderState {
    /// It has work to do.
    Busy,
    /// It waits, and hardly did anything since the last look.
    Idle,
    /// It does not come back to the poller.
    Stuck,
}

/// What the last look saw.
#[derive(Debug, Default)]
pub(crate) struct LeaderWatch {
    turns: u64,
    stuck: u32,
}

impl LeaderWatch {
    /// Looks at a leader that has begun `turns` turns and waits now, or not.
    pub(crate) fn look(&mut self, turns: u64, is_waiting: bool) -> LeaderState {
        let passed = turns.wrapping_sub(self.turns);
        self.turns = turns;
        if is_waiting {
            self.stuck = 0;
            return if passed <= IDLE_TURNS { LeaderState::Idle } else { LeaderState::Busy };
        }
        self.stuck = if passed == 0 { self.stuck + 1 } else { 0 };
        if self.stuck < STUCK_LOOKS {
            return LeaderState::Busy;
        }
        self.stuck = 0;
        LeaderState::Stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_waits_is_idle_unless_it_did_much_since_the_last_look() {
        let mut watch = LeaderWatch::default();
        let looks = [0, 1, IDLE_TURNS + 1, 2 * IDLE_TURNS + 2, 2 * IDLE_TURNS + 2];
        let states = looks.map(|turns| watch.look(turns, true));
        assert_eq!(
            states,
            [LeaderState::Idle, LeaderState::Idle, LeaderState::Idle, LeaderState::Busy, LeaderState::Idle]
        );
    }

    #[test]
    fn a_leader_in_the_same_turn_for_two_looks_is_stuck() {
        let mut watch = LeaderWatch::default();
        let looks = [(5, false), (5, false), (5, false), (5, false), (5, false), (5, false), (6, false)];
        let states = looks.map(|(turns, waits)| watch.look(turns, waits));
        let (busy, stuck) = (LeaderState::Busy, LeaderState::Stuck);
        assert_eq!(states, [busy, busy, stuck, busy, stuck, busy, busy]);
        // A wait in between starts anew.
        let states = [(6, false), (6, true), (6, false), (6, false)].map(|(t, w)| watch.look(t, w));
        assert_eq!(states, [busy, LeaderState::Idle, busy, stuck]);
    }
}
