//! How a link ends without losing what is under way: who may close it, and when. It knows no stream.
//!
//! The end that begins says `drained` when its last stream is over, and closes when the other says so too: only then has the
//! other's application read what came on its streams.

use crate::reason::DownReason;
use crate::time::Instant;

/// How far the end is.
#[derive(Default)]
pub(super) struct Ending {
    /// Why, and when at the latest, if this end began.
    pub(super) begun: Option<(DownReason, Instant)>,
    /// The peer takes no new streams.
    pub(super) is_left: bool,
    /// The multiplexer of this end, which began, has no streams any more and gets none.
    pub(super) is_shut_down: bool,
    /// The peer has no streams any more.
    pub(super) is_peer_drained: bool,
    /// The peer was told the same.
    said: bool,
}

/// What is to be done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum EndingAction {
    /// Tells the peer that no streams are left.
    SendDrained,
    /// Closes.
    End,
}

impl Ending {
    /// Whether there is anything to settle.
    pub(super) fn is_open(&self) -> bool {
        self.begun.is_none() && !self.is_peer_drained
    }

    /// The next step, if one is due. `has_streams` is about this end.
    pub(super) fn settle(&mut self, has_streams: bool) -> Option<EndingAction> {
        let is_over = match self.begun {
            Some(_) => self.is_shut_down,
            None => self.is_peer_drained && !has_streams,
        };
        if is_over && !self.said {
            self.said = true;
            return Some(EndingAction::SendDrained);
        }
        (self.begun.is_some() && self.said && self.is_peer_drained).then_some(EndingAction::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Ending {
        Ending { begun: Some((DownReason::GoingAway, Instant::ZERO)), ..Ending::default() }
    }

    #[test]
    fn who_began_closes_when_both_have_no_streams() {
        let mut ending = begun();
        assert_eq!(ending.settle(false), None, "streams of the peer may be under way");
        ending.is_shut_down = true;
        assert_eq!(ending.settle(false), Some(EndingAction::SendDrained));
        assert_eq!(ending.settle(false), None, "said once");
        ending.is_peer_drained = true;
        assert_eq!(ending.settle(false), Some(EndingAction::End));
    }

    #[test]
    fn who_did_not_begin_answers_when_its_streams_are_over_and_never_closes() {
        let mut ending = Ending { is_left: true, ..Ending::default() };
        assert!(ending.is_open());
        assert_eq!(ending.settle(false), None, "not asked yet");
        ending.is_peer_drained = true;
        assert_eq!(ending.settle(true), None);
        assert_eq!(ending.settle(false), Some(EndingAction::SendDrained));
        assert_eq!(ending.settle(false), None);
    }

    #[test]
    fn if_both_began_both_close() {
        let mut ending = begun();
        ending.is_peer_drained = true;
        assert_eq!(ending.settle(false), None, "its own streams are not over");
        ending.is_shut_down = true;
        assert_eq!(ending.settle(false), Some(EndingAction::SendDrained));
        assert_eq!(ending.settle(false), Some(EndingAction::End));
    }
}
