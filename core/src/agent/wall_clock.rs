//! The wall clock as the agent knows it, and what its owner is told when a relay has another one.

use alloc::format;
use alloc::string::String;

use super::event::AgentEvent;
use crate::reason::DownReason;
use crate::time::{Instant, UnixTime, Wall};

/// The wall clock of this machine, as it was read last.
pub(super) struct OwnClock {
    pub(super) wall: Wall,
    /// The owner was told that the clocks disagree, and no login has succeeded since.
    noticed: bool,
}

impl OwnClock {
    pub(super) fn new(wall: Wall) -> Self {
        Self { wall, noticed: false }
    }

    /// The relay accepts tokens by this clock.
    pub(super) fn login_succeeded(&mut self) {
        self.noticed = false;
    }

    /// Says once which clock is wrong by how much, if the relay refused a token for its times.
    pub(super) fn notice(&mut self, reason: &DownReason, now: Instant) -> Option<AgentEvent> {
        let DownReason::TokenTime { relay_time, error, .. } = reason else { return None };
        if core::mem::replace(&mut self.noticed, true) {
            return None;
        }
        let (ours, theirs) = (self.wall.unix_at(now).as_secs(), relay_time.map(UnixTime::as_secs));
        let message = match theirs {
            Some(theirs) if ours > theirs => {
                format!("this machine's clock is {} s ahead of the relay's; I try again", ours - theirs)
            }
            Some(theirs) if ours < theirs => {
                format!("this machine's clock is {} s behind the relay's; I try again", theirs - ours)
            }
            _ => format!("this machine's clock and the relay's disagree; I try again: {error}"),
        };
        let hint = reason.hint().map(String::from);
        Some(AgentEvent::Notice { code: String::from("clock"), message, hint })
    }
}
