//! The links of one session: which carries control messages, which takes the next stream, and which have ended. It dials
//! none, and does not know why one is replaced.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::dialect::StreamHeader;
use crate::link::{Link, LinkEvent, OpenStreamError, Stream};
use crate::machine::Machine;
use crate::message::{Close, Message, Transmit};
use crate::mux::{ClosedStream, OpenError, StreamId};
use crate::recent_bytes::RecentBytes;
use crate::time::{Instant, earliest};

/// Links of one session. Loss and long round trips are outweighed by a few; each costs both sides a socket and a login.
pub const MAX_LINKS: u32 = 8;
/// How long the traffic of a link counts when the next stream chooses one: long enough to see a download that waits for a
/// window, short enough to forget it when it is over.
const RECENT: Duration = Duration::from_secs(1);
/// Traffic that makes no difference between two links: what a few small requests need.
const TRAFFIC_STEP: u64 = 64 * 1024;

/// How long several streams must have had more to send than a link takes before another one is worth a login and a socket:
/// longer than a burst that is over soon.
const HELD_BACK_FOR: Duration = Duration::from_secs(1);
/// The least round trip at which another link helps. Within a machine or a room, where it is shorter, one connection takes
/// what the network carries, whatever it loses.
const MIN_ROUND_TRIP: Duration = Duration::from_micros(500);

/// Since when a link takes less than its streams have.
#[derive(Default)]
struct HeldBack {
    since: Option<Instant>,
    /// More than one of them.
    is_shared: bool,
}

/// One link of a session.
pub(crate) struct BundledLink {
    /// Its number, which is also that of its streams.
    pub(crate) id: u32,
    pub(crate) link: Box<Link>,
    /// Since when it is up.
    pub(crate) up_since: Option<Instant>,
    /// Another link is to take its place.
    pub(crate) is_retiring: bool,
    /// The other side ends it when it has no more use for it.
    pub(crate) is_left_to_peer: bool,
    /// Another session has begun since: what this link says of its own concerns no other link.
    pub(crate) is_of_earlier_session: bool,
    traffic: RecentBytes,
    held_back: HeldBack,
}

impl BundledLink {
    /// Whether it takes new streams, and will for a while.
    pub(crate) fn is_steady(&self) -> bool {
        self.link.is_up() && !self.is_retiring && !self.link.is_going_away()
    }
}

/// The links of one session, oldest first.
#[derive(Default)]
pub(crate) struct Bundle {
    members: Vec<BundledLink>,
}

impl Bundle {
    pub(crate) fn push(&mut self, id: u32, link: Box<Link>) {
        let (traffic, held_back) = (RecentBytes::new(RECENT), HeldBack::default());
        self.members.push(BundledLink {
            id,
            link,
            up_since: None,
            is_retiring: false,
            is_left_to_peer: false,
            is_of_earlier_session: false,
            traffic,
            held_back,
        });
    }

    pub(crate) fn get(&self, id: u32) -> Option<&BundledLink> {
        self.members.iter().find(|member| member.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut BundledLink> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &BundledLink> {
        self.members.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut BundledLink> {
        self.members.iter_mut()
    }

    /// Takes a link out; its streams are gone with it.
    pub(crate) fn remove(&mut self, id: u32) -> Option<BundledLink> {
        let at = self.members.iter().position(|member| member.id == id)?;
        Some(self.members.remove(at))
    }

    /// The link that control messages go over: the oldest that is up and stays, else the oldest that is up.
    pub(crate) fn control(&mut self) -> Option<&mut Link> {
        let at = self.first(BundledLink::is_steady).or_else(|| self.first(|member| member.link.is_up()))?;
        Some(&mut self.members[at].link)
    }

    /// The one to be asked about all: as [`Bundle::control`], or any that has not ended, or what is left of the last.
    pub(crate) fn main(&self) -> Option<&BundledLink> {
        let at = self.first(BundledLink::is_steady).or_else(|| self.first(|member| member.link.is_up()));
        let at = at.or_else(|| self.first(|member| !member.link.is_ended()));
        at.map(|at| &self.members[at]).or(self.members.last())
    }

    fn first(&self, is_it: impl Fn(&BundledLink) -> bool) -> Option<usize> {
        self.members.iter().position(is_it)
    }

    /// Links that are up.
    pub(crate) fn up(&self) -> usize {
        self.members.iter().filter(|member| member.link.is_up()).count()
    }

    /// Links that take new streams, and will for a while.
    pub(crate) fn steady(&self) -> usize {
        self.members.iter().filter(|member| member.is_steady()).count()
    }

    /// Whether a stream had better be opened anew than kept on the link `id` for another request: another link has little to
    /// carry, and this one much. What is kept is used before a stream is opened, and streams do not move.
    pub(crate) fn is_crowded(&self, id: u32, now: Instant) -> bool {
        let Some(own) = self.get(id).map(|member| member.traffic.recent(now)) else { return false };
        let steady = self.members.iter().filter(|member| member.is_steady() && member.id != id);
        let least = steady.map(|member| member.traffic.recent(now)).min();
        least.is_some_and(|least| own > 2 * least + TRAFFIC_STEP)
    }

    /// Opens a stream on the link with the least traffic, then the fewest streams. One that is to be replaced is used when
    /// there is no other.
    pub(crate) fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        if let [only] = &mut self.members[..] {
            return only.link.open(header, now);
        }
        let mut order = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            if member.link.is_up() && !member.link.is_going_away() {
                let traffic = member.traffic.recent(now) / TRAFFIC_STEP;
                let counts = member.link.stream_counts();
                let place = (member.is_retiring, traffic, counts.opened + counts.accepted, at);
                // Sorting by a library is 3 KB of the browser package, and there are some few.
                order.insert(order.partition_point(|other| *other < place), place);
            }
        }
        let none = match self.up() {
            0 => OpenStreamError::NotUp,
            _ => OpenStreamError::Refused(OpenError::Draining),
        };
        let mut outcome = Err(none);
        for (.., at) in order {
            outcome = self.members[at].link.open(header, now);
            // A full link, and one whose ids are used up, may have a neighbour that is not.
            if !matches!(&outcome, Err(OpenStreamError::Refused(_))) {
                break;
            }
        }
        outcome
    }

    pub(crate) fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        self.get_mut(id.session()).ok_or(ClosedStream)?.link.stream(id)
    }

    pub(crate) fn has_output(&self) -> bool {
        self.members.iter().any(|member| member.link.has_output())
    }

    pub(crate) fn handle_message(&mut self, id: u32, message: Message, now: Instant) {
        if let Some(member) = self.get_mut(id) {
            member.traffic.add(message.payload().len(), now);
            member.link.handle_message(message, now);
        }
    }

    pub(crate) fn handle_oversized(&mut self, id: u32, head: Bytes, now: Instant) {
        if let Some(member) = self.get_mut(id) {
            member.link.handle_oversized(head, now);
        }
    }

    /// The end of a transport. What the link still had to say is not sent.
    pub(crate) fn handle_close(&mut self, id: u32, close: Close, now: Instant) {
        if let Some(member) = self.get_mut(id) {
            member.link.handle_close(close, now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for member in &mut self.members {
            if member.link.poll_timeout().is_some_and(|at| now >= at) {
                member.link.handle_timeout(now);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.members.iter().fold(None, |due, member| earliest(due, member.link.poll_timeout()))
    }

    pub(crate) fn poll_transmit(&mut self, id: u32) -> Option<Transmit> {
        let member = self.get_mut(id)?;
        let counts = member.link.stream_counts();
        let transmit = member.link.poll_transmit();
        if let Some(Transmit::Send(message)) = &transmit {
            let now = member.link.now();
            member.traffic.add(message.payload().len(), now);
            member.held_back.since.get_or_insert(now);
            member.held_back.is_shared |= counts.unsent > member.link.max_stream_unsent();
        } else {
            // The socket took all there was.
            member.held_back = HeldBack::default();
        }
        transmit
    }

    /// Whether several streams of one link have had more to send than it takes, for a while, so that another link helps.
    pub(crate) fn is_held_back(&self, now: Instant) -> bool {
        self.members.iter().filter(|member| member.is_steady()).any(|member| {
            let HeldBack { since, is_shared } = &member.held_back;
            *is_shared
                && since.is_some_and(|since| now - since >= HELD_BACK_FOR)
                && member.link.stream_counts().rtt.is_none_or(|rtt| rtt >= MIN_ROUND_TRIP)
        })
    }

    /// The newest link that takes new streams, if it is not the only one.
    pub(crate) fn newest_of_several(&mut self) -> Option<&mut BundledLink> {
        let several = self.steady() > 1;
        self.members.iter_mut().rev().find(|member| several && member.is_steady())
    }

    /// The next event of any link.
    pub(crate) fn poll_event(&mut self) -> Option<(u32, LinkEvent)> {
        self.members.iter_mut().find_map(|member| member.link.poll_event().map(|event| (member.id, event)))
    }

    /// Forgets links that have ended; what they still have to say is not said.
    pub(crate) fn forget_ended(&mut self) {
        self.members.retain(|member| !member.link.is_ended());
    }

    /// Forgets links that have ended and said so.
    pub(crate) fn forget_spent(&mut self) {
        self.members.retain(|member| !member.link.is_spent());
    }
}
