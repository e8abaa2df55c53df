//! Observes the HTTP/1.1 of one stream passively, and reports each request when its response is over.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::Direction;
use hvym_tunnel_net::observer::{ObservedStream, Piece};
use hvym_tunnel_net::target::Target;

use super::host_check::{HostCheck, HttpObserver, ObservedRequest};
use super::{LocalService, Source};
use crate::event::{AgentEvent, OngoingRequest, RequestNote, RequestRecord};
use crate::event_sink::EventSink;
use crate::shutdown::{Activity, DrainGuard};

/// The status of a request that its visitor abandoned. No visitor ever sees it; access logs agree on the number.
const CLIENT_CLOSED: u16 = 499;
/// A request that takes longer than this is reported before its end, as soon as bytes move: the answer of a language model, or
/// a download, may take minutes, and its owner wants to see that it arrived.
const LONG_REQUEST: Duration = Duration::from_secs(2);

/// The log of one HTTP stream.
pub(super) struct RequestLog {
    observer: HttpObserver,
    clock: Clock,
    sink: EventSink,
    stream: ObservedStream,
    /// Where the service is.
    place: String,
    /// The `Host` by which the service knows itself; `None` if requests carry one of our own already.
    own_host: Option<String>,
    /// Whether what requests say of their client is the relay's word.
    names_client: bool,
    /// Gets whether the stream is between two requests.
    activity: Arc<Activity>,
    /// Whether the service ended its direction.
    service_ended: bool,
    /// Of the requests that the agent answers itself, in the order of the responses.
    notes: VecDeque<Option<RequestNote>>,
}

impl RequestLog {
    /// The log of `stream`, which leads to `service`.
    pub(super) fn new(
        service: &LocalService,
        stream: ObservedStream,
        guard: &DrainGuard,
        sink: &EventSink,
        clock: Clock,
    ) -> Self {
        let (place, own_host) = match (&service.source, &service.spec.target) {
            (Source::Folder(_), _) => ("the folder".to_owned(), String::new()),
            (Source::Upstream(_), Target::Origin(origin)) => {
                (service.spec.target.place(), origin.authority())
            }
            (Source::Upstream(_), target) => (target.place(), "localhost".to_owned()),
        };
        Self {
            observer: HttpObserver::with_sniff(HostCheck),
            clock,
            sink: sink.clone(),
            stream,
            place,
            own_host: (!service.filter.sets_host()).then_some(own_host),
            names_client: true,
            activity: guard.activity(),
            service_ended: false,
            notes: VecDeque::new(),
        }
    }

    /// The same for a stream of another identity, of which nobody says where it comes from.
    pub(super) fn of_caller(mut self, is_caller: bool) -> Self {
        self.names_client = !is_caller;
        self
    }

    /// What is to be recorded of the next response that begins.
    pub(super) fn note(&mut self, note: Option<RequestNote>) {
        self.notes.push_back(note);
    }

    /// These bytes are about to pass; `None` is the end of that direction.
    pub(super) fn pass(&mut self, direction: Direction, bytes: Option<&[u8]>, now: Instant) {
        self.sink.show_bytes(&Piece::new(&self.stream, direction, bytes));
        match (direction, bytes) {
            (Direction::ToLocal, Some(bytes)) => self.observer.handle_request_bytes(bytes, now),
            (Direction::ToTunnel, Some(bytes)) => self.observer.handle_response_bytes(bytes, now),
            (Direction::ToLocal, None) => self.observer.handle_request_end(now),
            (Direction::ToTunnel, None) => {
                self.service_ended = true;
                self.observer.handle_response_end(now);
            }
        }
        self.report();
        self.report_long(now);
        self.activity.set_idle(self.observer.pending_requests() == 0);
    }

    fn report(&mut self) {
        while let Some(request) = self.observer.poll_event() {
            let (status, note) = self.outcome(&request);
            let note = self.notes.pop_front().flatten().or(note);
            self.sink.emit(AgentEvent::Request(RequestRecord {
                service: Arc::clone(&self.stream.service),
                visitor: self.visitor(&request),
                method: request.method,
                target: request.target,
                status,
                duration: request.duration,
                response_bytes: request.status.is_some().then_some(request.response_bytes),
                note,
            }));
        }
    }

    fn report_long(&mut self, now: Instant) {
        let Some(request) = self.observer.poll_long(LONG_REQUEST, now).cloned() else { return };
        self.sink.emit(AgentEvent::RequestOngoing(OngoingRequest {
            service: Arc::clone(&self.stream.service),
            visitor: self.visitor(&request),
            method: request.method,
            target: request.target,
            status: request.status,
            elapsed: now - request.started,
        }));
    }

    fn visitor(&self, request: &ObservedRequest) -> Option<IpAddr> {
        request.client.as_deref().filter(|_| self.names_client)?.parse().ok()
    }

    fn outcome(&self, request: &ObservedRequest) -> (u16, Option<RequestNote>) {
        let place = || self.place.clone();
        if let Some(reason) = request.refused {
            return (502, Some(RequestNote::BadResponse { place: place(), reason }));
        }
        let note = match (request.status, request.finding) {
            (Some(_), Some(server)) => Some(RequestNote::HostRefused {
                server,
                host: request.host.as_deref().map(str::to_owned),
                accepted: self.own_host.clone(),
            }),
            (Some(_), None) if request.complete || request.upgraded => None,
            (Some(_), None) if self.service_ended => Some(RequestNote::StoppedInResponse { place: place() }),
            (Some(_), None) => Some(RequestNote::CutOffInResponse),
            (None, _) if self.service_ended => Some(RequestNote::ClosedWithoutResponse { place: place() }),
            (None, _) => Some(RequestNote::CutOffBeforeResponse),
        };
        let unanswered = if self.service_ended { 502 } else { CLIENT_CLOSED };
        (request.status.unwrap_or(unanswered), note)
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        // If the stream broke, requests without a response are still reported.
        self.observer.handle_response_end(self.clock.now());
        self.report();
        self.sink.show_end(&self.stream);
    }
}
