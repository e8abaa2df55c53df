//! One visitor's connection joined with a connection to a service for each request: bodies pass between them as they come.
//!
//! It decides which connection a request needs, whether it is sent again, and when a connection to a service is free. Which
//! service it is, and what an error looks like, its runner knows.

mod event;
mod response;
mod timeouts;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use hvym_http1::HostMapping;
use hvym_yamux::Instant;

pub use self::event::{ExchangeError, ExchangeEvent, Released, RetryAction};
pub use self::response::LocalBody;
use crate::body_reader::BodyMode;
use crate::config::ProxyConfig;
use crate::downstream::{Downstream, DownstreamEvent, RequestBody};
use crate::facts::RequestFacts;
use crate::history::Choice;
use crate::min_rate::RateMeter;
use crate::send_queue::SendQueue;
use crate::upstream::{Upstream, UpstreamFailure};

/// How far the request under way is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// None is under way.
    Idle,
    /// The runner decides about it.
    Routing,
    /// A connection is wanted, and the runner has not been told.
    Wanted(Choice),
    /// The runner brings one.
    Connecting,
    /// It passes between visitor and service.
    Joined,
    /// The runner answers it.
    Local,
    /// Both sides speak another protocol now.
    Tunnel,
}

/// Sessions to which one request moves, each time because the one before was lost. Several agents of one service may end
/// together; a request that ends them all is not asked for ever.
pub const MAX_MOVES: u32 = 3;

/// A visitor's connection and its requests.
#[derive(Debug)]
pub struct Exchange {
    // Fields: both connections, how far the request is, and what waits to be told.
    config: Arc<ProxyConfig>,
    down: Downstream,
    up: Option<Box<Upstream>>,
    stage: Stage,
    /// The head for the service, until a response has come.
    head: Bytes,
    /// What a connection that failed had not sent.
    unsent: Option<SendQueue>,
    /// Whether the connection had carried a request before this one.
    is_used: bool,
    /// The sessions that the request was moved to.
    moves: u32,
    pending: Pending,
    /// When anything last passed in either direction.
    moved: Instant,
    /// How fast the request's body comes.
    upload: RateMeter,
    /// When the visitor is told to send the body, if nobody else does.
    continue_at: Option<Instant>,
    /// Whether the visitor knows that its body is wanted, or sends it unasked.
    is_continued: bool,
    /// Whether each piece of the response's body is made a chunk.
    is_encoding: bool,
    /// Whether the runner's response has no body, whatever it sends.
    is_bodiless: bool,
    heads: BytesMut,
    /// The value of `Date` for responses without one.
    date: Option<HttpDate>,
    /// How names in the response are mapped back.
    host: Option<Box<HostMapping>>,
}

/// A point in time as `Date` has it (RFC 9110 section 5.6.7).
pub type HttpDate = [u8; 29];

/// What the runner has not been told yet.
#[derive(Debug, Default)]
struct Pending {
    answered: Option<u16>,
    lost: Option<UpstreamFailure>,
    failed: Option<ExchangeError>,
    released: Option<Released>,
    is_finished: bool,
    is_closed: bool,
}

impl Exchange {
    /// A visitor's connection that was just accepted.
    pub fn new(config: Arc<ProxyConfig>, now: Instant) -> Self {
        let upload = RateMeter::new(config.body_rate());
        Exchange {
            down: Downstream::new(Arc::clone(&config), now),
            config,
            up: None,
            stage: Stage::Idle,
            head: Bytes::new(),
            unsent: None,
            is_used: false,
            moves: 0,
            pending: Pending::default(),
            moved: now,
            upload,
            continue_at: None,
            is_continued: false,
            is_encoding: false,
            is_bodiless: false,
            heads: BytesMut::new(),
            date: None,
            host: None,
        }
    }

    /// What is sent to the visitor.
    pub const fn visitor_output(&self) -> &SendQueue {
        self.down.output()
    }

    /// `count` bytes were sent to the visitor.
    pub fn handle_visitor_sent(&mut self, count: usize, now: Instant) {
        self.down.handle_sent(count, now);
        self.moved = now;
    }

    /// The visitor sent `data`.
    pub fn handle_visitor_data(&mut self, data: Bytes, now: Instant) {
        self.upload.handle_bytes(data.len(), self.down.is_rate_enforced(), now);
        self.down.handle_data(data, now);
        self.moved = now;
    }

    /// The visitor ended its half.
    pub fn handle_visitor_end(&mut self, now: Instant) {
        self.down.handle_end();
        self.moved = now;
    }

    /// The visitor's connection failed: nobody is there to be answered.
    pub fn handle_visitor_reset(&mut self) {
        self.give_up();
    }

    /// Whether more should be read from the visitor.
    pub fn wants_visitor_data(&self) -> bool {
        let has_room = self.up.as_ref().is_none_or(|up| self.has_room_for_body(up));
        self.down.wants_data() && (has_room || self.down.is_request_complete())
    }

    fn has_room_for_body(&self, up: &Upstream) -> bool {
        up.unsent() < self.config.max_unsent
    }

    /// What is sent to the service, if there is one that takes anything.
    pub fn service_output(&mut self) -> Option<&mut SendQueue> {
        let up = self.up.as_mut().filter(|up| !up.is_write_closed())?;
        Some(up.output()).filter(|out| !out.is_empty())
    }

    /// Something of the service's output was sent.
    pub fn handle_service_sent(&mut self, now: Instant) {
        self.moved = now;
    }

    /// The service takes nothing more.
    pub fn handle_service_write_closed(&mut self) {
        if let Some(up) = &mut self.up {
            up.handle_write_closed();
        }
    }

    /// The service sent `data`.
    pub fn handle_service_data(&mut self, data: Bytes, now: Instant) {
        self.moved = now;
        if let Some(up) = &mut self.up {
            up.handle_data(data);
        }
    }

    /// The service ended its half.
    pub fn handle_service_end(&mut self) {
        if let Some(up) = &mut self.up {
            up.handle_end();
        }
    }

    /// The connection to the service was reset, or its link was lost.
    pub fn handle_service_reset(&mut self) {
        if let Some(up) = &mut self.up {
            up.handle_reset();
        }
    }

    /// Whether more should be read from the service.
    pub fn wants_service_data(&self) -> bool {
        let has_room = self.down.output().len() < self.config.max_unsent;
        self.up.as_ref().is_some_and(|up| has_room && up.wants_data())
    }

    /// The value of `Date` for responses that have none (RFC 9110 section 6.6.1).
    pub fn set_date(&mut self, date: HttpDate) {
        self.date = Some(date);
    }

    /// The next response is the last, or that under way if its head has not been sent: another request may be on its way.
    /// Without one for `linger`, the connection ends.
    pub fn drain(&mut self, linger: Duration, now: Instant) {
        self.down.drain(linger, now);
    }

    /// Facts about the request under way.
    pub const fn request(&self) -> &RequestFacts {
        self.down.request()
    }

    /// Moves what can be moved, and tells what happened next.
    pub fn poll_event(&mut self, now: Instant) -> Option<ExchangeEvent<'_>> {
        if self.stage == Stage::Joined {
            self.pass_request(now);
            self.pass_response(now);
            self.finish_joined();
        }
        self.watch_upload(now);
        // The end of a request is told last of what happened to it, and before the next one is looked for.
        let has_ended = self.stage == Stage::Idle && !self.pending.is_finished;
        let has_head = has_ended && self.down.find_head(now);
        if let Some(event) = self.poll_pending() {
            return Some(event);
        }
        if let Stage::Wanted(choice) = self.stage {
            self.stage = Stage::Connecting;
            return Some(ExchangeEvent::Connect(choice));
        }
        if !has_head {
            return None;
        }
        (self.stage, self.moved) = (Stage::Routing, now);
        self.upload = RateMeter::new(self.config.body_rate());
        (self.moves, self.is_continued, self.continue_at) = (0, false, None);
        Some(self.down.read_head(now).into())
    }

    fn poll_pending(&mut self) -> Option<ExchangeEvent<'static>> {
        if let Some(status) = self.pending.answered.take() {
            return Some(ExchangeEvent::Answered(status));
        }
        if let Some(released) = self.pending.released.take() {
            return Some(ExchangeEvent::Released(released));
        }
        if let Some(failure) = self.pending.lost.take() {
            return Some(ExchangeEvent::Lost(failure));
        }
        if let Some(error) = self.pending.failed.take() {
            return Some(ExchangeEvent::Failed(error));
        }
        if core::mem::take(&mut self.pending.is_finished) {
            return Some(ExchangeEvent::Finished);
        }
        if self.stage == Stage::Tunnel && !core::mem::replace(&mut self.pending.is_closed, true) {
            return Some(ExchangeEvent::Upgraded);
        }
        let closing = self.down.closing().filter(|_| !self.pending.is_closed)?;
        self.pending.is_closed = true;
        Some(ExchangeEvent::Closed(closing))
    }

    /// Sends the request that was told to a service, with `head` in place of its own.
    pub fn forward(&mut self, head: Bytes) {
        let request = self.down.request();
        let choice = if request.is_repeatable() { Choice::Any } else { Choice::JustUsed };
        (self.head, self.stage) = (head, Stage::Wanted(choice));
    }

    /// Demands the minimum rate ([`ProxyConfig::min_rate`]) of the request under way, which its runner does where slow
    /// visitors are in the way of others. Else any byte shows that a visitor goes on. A request's body may be slow once its
    /// response has begun: then both sides talk.
    pub const fn set_rate_enforced(&mut self, is_enforced: bool) {
        self.down.set_rate_enforced(is_enforced);
    }

    /// The connection that was wanted.
    pub fn handle_connected(&mut self, mut up: Box<Upstream>, now: Instant) {
        self.is_used = up.history().requests > 0;
        let request = *self.down.request();
        match self.unsent.take() {
            Some(unsent) => up.begin_with(unsent, request),
            None => up.begin(self.head.clone(), request),
        }
        if request.expects_continue && !self.is_continued {
            self.continue_at = Some(now + self.config.continue_timeout);
        }
        (self.up, self.stage, self.moved) = (Some(up), Stage::Joined, now);
    }

    /// What becomes of a request that was [`ExchangeEvent::Lost`]. `is_session_up`: the link that carried it still is.
    pub fn resolve_loss(&mut self, failure: &UpstreamFailure, is_session_up: bool) -> RetryAction {
        let may_repeat = match failure {
            UpstreamFailure::Unsent => true,
            UpstreamFailure::Lost => self.down.request().is_repeatable(),
            // What an earlier request left on the connection is no response to this one.
            UpstreamFailure::Head(_) => self.down.request().is_repeatable() && is_session_up,
            UpstreamFailure::HeadTruncated | UpstreamFailure::Body(_) => false,
        };
        let retry = match (may_repeat, is_session_up) {
            (true, true) if self.is_used => RetryAction::Again,
            (true, false) if self.moves < MAX_MOVES => RetryAction::Elsewhere,
            (_, true) => RetryAction::No(ExchangeError::BadResponse),
            (_, false) => RetryAction::No(ExchangeError::SessionLost),
        };
        if retry == RetryAction::Again {
            self.stage = Stage::Wanted(Choice::Fresh);
        }
        retry
    }

    /// Sends the request over a connection of another session, after [`RetryAction::Elsewhere`].
    pub fn retry_elsewhere(&mut self) {
        (self.moves, self.stage) = (self.moves + 1, Stage::Wanted(Choice::Fresh));
    }

    fn pass_request(&mut self, now: Instant) {
        while let Some(up) = self.up.as_mut().filter(|up| up.unsent() < self.config.max_unsent) {
            match self.down.poll_body(now) {
                None => return,
                Some(RequestBody::Data(data)) => {
                    (self.is_continued, self.continue_at) = (true, None);
                    up.send_body(data);
                }
                Some(RequestBody::Trailers(_)) => {}
                Some(RequestBody::End) => up.end_body(),
                Some(RequestBody::Failed(_)) => return self.fail(ExchangeError::BodyBroken),
            }
        }
    }

    /// The request cannot be answered by the service: an error takes the place of its answer, or the answer is cut.
    fn fail(&mut self, error: ExchangeError) {
        self.release(false);
        if self.down.owes_head() {
            (self.stage, self.pending.failed) = (Stage::Routing, Some(error));
        } else {
            self.abort();
        }
    }

    /// The answer has begun and cannot go on.
    fn abort(&mut self) {
        self.release(false);
        self.down.abort_response();
        (self.stage, self.pending.is_finished) = (Stage::Idle, true);
    }

    /// Nobody is there to be answered.
    fn give_up(&mut self) {
        if self.stage != Stage::Idle {
            self.pending.is_finished = true;
        }
        self.release(false);
        if let Some(released) = &mut self.pending.released {
            released.is_abandoned = !released.upstream.is_response_complete();
        }
        self.down.discard();
        (self.stage, self.pending.lost, self.pending.failed) = (Stage::Idle, None, None);
    }

    /// Gives the connection to the service back, once nothing more passes over it.
    fn finish_joined(&mut self) {
        let Some(up) = self.up.as_ref().filter(|up| up.is_response_complete()) else { return };
        debug_assert!(self.stage == Stage::Joined && !self.down.owes_head(), "its head was sent before");
        if !self.down.is_request_complete() {
            let is_unsent = self.down.request().expects_continue && !self.is_continued;
            if !up.is_closing() && !is_unsent {
                return;
            }
            // The rest of the request is for nobody.
            self.down.stop_reading();
        } else if !up.is_flushed() && !up.is_closing() {
            return;
        }
        let is_reusable = up.is_reusable();
        self.release(is_reusable);
        (self.stage, self.pending.is_finished) = (Stage::Idle, true);
    }

    fn release(&mut self, is_reusable: bool) {
        if let Some(upstream) = self.up.take() {
            self.pending.released = Some(Released { upstream, is_reusable, is_abandoned: false });
        }
        self.continue_at = None;
    }

    /// The queues of an upgraded connection: for the visitor, and for whoever it speaks to now.
    pub fn into_tunnel(self) -> (SendQueue, SendQueue) {
        let (mut to_visitor, early) = self.down.into_tunnel();
        let (mut to_service, late) = self.up.map(|up| up.into_tunnel()).unwrap_or_default();
        to_visitor.push(late);
        to_service.push(early);
        (to_visitor, to_service)
    }

    /// What there is of the head of the request that the runner was told of last.
    pub fn request_head(&self) -> &[u8] {
        self.down.request_head()
    }

    /// The runner answers the request itself, and reads its body by [`poll_local_body`](Self::poll_local_body).
    pub fn take_over(&mut self) {
        self.down.set_body_mode(BodyMode::Payload);
        self.stage = Stage::Local;
    }

    /// The next piece of the body of a request that the runner answers. That it is asked for makes the visitor send it.
    pub fn poll_local_body(&mut self, now: Instant) -> Option<RequestBody> {
        let body = self.down.poll_body(now);
        if body.is_none() && self.down.request().expects_continue && !self.is_continued {
            self.down.send_continue(now);
        }
        self.is_continued = true;
        body
    }
}

impl<'a> From<DownstreamEvent<'a>> for ExchangeEvent<'a> {
    fn from(event: DownstreamEvent<'a>) -> Self {
        match event {
            DownstreamEvent::Request(view) => ExchangeEvent::Request(view),
            DownstreamEvent::Refused { reason, head } => ExchangeEvent::Refused { reason, head },
        }
    }
}
