//! A session as visitors use it: a way to open streams, and to wait while there is no room for one.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hvym_tunnel_core::dialect::{Opening, Proto};
use hvym_tunnel_core::http1::Page;
use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::relay::{Name, Session};
use hvym_tunnel_core::stellar::Address;

use super::pages;
use super::settings::ROOM_TIMEOUT;
use crate::io::clock::within;
use crate::io::driver::Handle;
use crate::io::stream::TunnelStream;

/// One session, for everybody but the task that drives it. Clones are the same session.
#[derive(Clone)]
pub(super) struct Live {
    /// The machine.
    pub(super) session: Handle<Session>,
    /// Who waits for room.
    waiting: Arc<Mutex<Vec<Waker>>>,
}

impl Live {
    /// Nobody waits yet.
    pub(super) fn new(session: Handle<Session>) -> Self {
        Self { session, waiting: Arc::default() }
    }

    /// There may be room again, or there never will be.
    pub(super) fn wake(&self) {
        self.waiting().drain(..).for_each(Waker::wake);
    }

    /// Whether streams may flow.
    pub(super) fn is_up(&self) -> bool {
        self.session.with(|session, _| session.is_up())
    }

    /// Opens a stream for the service that `name` means, as soon as there is room; the page says why there is none.
    pub(super) async fn open(&self, name: &Name, mut opening: Opening) -> Result<TunnelStream, Page> {
        let opened = poll_fn(|cx| self.poll_room(|| self.try_open(name, &mut opening), cx));
        within(ROOM_TIMEOUT, opened).await.unwrap_or_else(|| Err(pages::overloaded()))
    }

    /// Opens a stream for the identity `from`, as soon as there is room. `None`: not there, not bound, or no room; which
    /// of them is nobody's business.
    pub(super) async fn open_for(&self, from: Address, service: &str, id: &str) -> Option<TunnelStream> {
        let opened = poll_fn(|cx| self.poll_room(|| self.try_open_for(from, service, id), cx));
        within(ROOM_TIMEOUT, opened).await.flatten()
    }

    /// Tries again whenever there may be room; an attempt gives `None` for want of it.
    fn poll_room<T>(&self, mut attempt: impl FnMut() -> Option<T>, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(outcome) = attempt() {
            return Poll::Ready(outcome);
        }
        self.waiting().push(cx.waker().clone());
        // Room may have come before anybody knew that we wait.
        attempt().map_or(Poll::Pending, Poll::Ready)
    }

    fn try_open_for(&self, from: Address, service: &str, id: &str) -> Option<Option<TunnelStream>> {
        let opened = self.session.with(|session, now| {
            let service = session.service_for_identities(service)?;
            let opening = Opening::reached(from, service, Some(id.to_owned()));
            Some(session.open(&opening, now))
        });
        match opened {
            Some(Ok(id)) => Some(Some(self.session.stream(id))),
            Some(Err(error)) if error.is_for_want_of_room() => None,
            Some(Err(_)) | None => Some(None),
        }
    }

    /// `None` is for want of room.
    fn try_open(&self, name: &Name, opening: &mut Opening) -> Option<Result<TunnelStream, Page>> {
        let absent = || Page::no_agent(&name.address.to_string());
        let opened = self.session.with(|session, now| {
            if !session.is_up() {
                return Err(Some(absent()));
            }
            let Some(service) = session.service(name.service.as_deref()) else {
                let page =
                    name.service.as_ref().map_or_else(pages::nothing_offered, |n| Page::unknown_service(n));
                return Err(Some(page));
            };
            if (service.proto == Proto::Tcp) != (opening.proto == Proto::Tcp) {
                return Err(Some(pages::other_language(&service.name)));
            }
            opening.service.clone_from(&service.name);
            opening.proto = service.proto;
            session.open(opening, now).map_err(|error| match error {
                error if error.is_for_want_of_room() => None,
                OpenStreamError::NotUp => Some(absent()),
                OpenStreamError::Refused(_) | OpenStreamError::NoRoom => Some(pages::overloaded()),
                OpenStreamError::Opening(_) => Some(Page::bad_host()),
            })
        });
        match opened {
            Ok(id) => Some(Ok(self.session.stream(id))),
            Err(page) => page.map(Err),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
