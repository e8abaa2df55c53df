//! Finds the session for a request and connects to its service: where one ends or goes away, by way of another.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::relay::{Name, Owner};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_pages::Page;

use super::agent_session::{NoStream, Wanted};
use super::service_target::{Assigned, HostTarget};
use super::table::SessionTable;
use crate::settings::SUCCESSOR_TIMEOUT;
use crate::upstream::conn::UpstreamConn;
use crate::upstream::pool::StreamUser;

/// Sessions that one request tries before anything of it is sent. Each may end just when it is chosen.
const MAX_TRIES: usize = 8;

impl SessionTable {
    /// Chooses a session for a request to `name`; `None` if one is to be awaited.
    ///
    /// # Errors
    /// The page for the visitor.
    pub(crate) fn try_assign(&self, name: &Arc<Name>, is_tcp: bool) -> Result<Option<Assigned>, Page> {
        match self.lookup(Arc::clone(name), is_tcp) {
            HostTarget::Served(target) => match target.assign() {
                None if !target.is_left() => Err(Page::no_agent(&name.owner.to_string())),
                assigned => Ok(assigned),
            },
            HostTarget::Expected(..) => Ok(None),
            nowhere => nowhere.destination().map(|_| None),
        }
    }

    /// The same, after a wait for a session that is to follow one that goes away.
    async fn assign(&self, name: &Arc<Name>, is_tcp: bool) -> Result<Assigned, Page> {
        let mut ticket: Option<Arc<Waker>> = None;
        let assigned = poll_fn(|cx| {
            // First, so that no change is missed.
            ticket = Some(self.wait_for(&name.owner, cx.waker()));
            match self.try_assign(name, is_tcp) {
                Ok(Some(assigned)) => Poll::Ready(Ok(assigned)),
                Ok(None) => Poll::Pending,
                Err(page) => Poll::Ready(Err(page)),
            }
        });
        let assigned = within(SUCCESSOR_TIMEOUT, assigned).await;
        assigned.unwrap_or_else(|| Err(Page::no_agent(&name.owner.to_string())))
    }

    /// A connection for a request to `name`, to the session that it was assigned to or, if that goes away, to another one.
    ///
    /// # Errors
    /// The page for the visitor.
    pub(crate) async fn upstream(
        &self,
        user: StreamUser,
        name: &Arc<Name>,
        mut assigned: Option<Assigned>,
        wanted: Wanted,
    ) -> Result<(UpstreamConn, Assigned), Page> {
        for _ in 0..MAX_TRIES {
            let chosen = match assigned.take().filter(|assigned| assigned.session.takes_requests()) {
                Some(assigned) => assigned,
                None => self.assign(name, false).await?,
            };
            match chosen.session.upstream(user, &chosen.service, chosen.proto, wanted).await {
                Ok(upstream) => return Ok((upstream, chosen)),
                Err(NoStream::Page(page)) => return Err(page),
                Err(NoStream::Gone) => {}
            }
        }
        Err(Page::no_agent(&name.owner.to_string()))
    }

    /// A new stream for a visitor of the TCP service `name`. Sets the service in `opening`.
    ///
    /// # Errors
    /// The page about it.
    pub(crate) async fn open(
        &self,
        user: StreamUser,
        name: &Arc<Name>,
        opening: &mut StreamHeader,
    ) -> Result<(TunnelStream, Assigned), Page> {
        for _ in 0..MAX_TRIES {
            let chosen = self.assign(name, true).await?;
            opening.service = chosen.service.to_string();
            match chosen.session.open(user, opening).await {
                Ok(stream) => return Ok((stream, chosen)),
                Err(NoStream::Page(page)) => return Err(page),
                Err(NoStream::Gone) => {}
            }
        }
        Err(Page::no_agent(&name.owner.to_string()))
    }

    /// A new stream to a service of `owner` for the identity `from`, with a header that `delegated` completes. `None` if nobody serves it, or no stream is free;
    /// callers refuse without telling which. It waits for no session: the time would tell.
    pub(crate) async fn open_for_identity(
        &self,
        owner: &Owner,
        service: &str,
        from: Address,
        delegated: &(impl Fn(StreamHeader) -> StreamHeader + Sync),
    ) -> Option<(TunnelStream, Assigned)> {
        for _ in 0..MAX_TRIES {
            let target = self.served_to_identities(owner, service)?;
            let chosen = target.assign()?;
            match chosen.session.open_for(from, service, delegated).await {
                Ok(stream) => return Some((stream, chosen)),
                Err(NoStream::Page(_)) => return None,
                Err(NoStream::Gone) => {}
            }
        }
        None
    }
}
