//! The listeners of a relay, which the next process of it may take over: both accept from the same queues then, so that no
//! connection is refused or reset in between.
//!
//! Knows not how they travel.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hvym_tunnel_net::listener::TcpListener;

use crate::config::RestartSettings;
use crate::settings::TCP_KEEPALIVE;

/// What a listener is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ListenerRole {
    /// Visitors and agents.
    Visitors,
    /// Visitors who are led to HTTPS.
    Redirect,
    /// Programs of the operator.
    Operator,
    /// Visitors of the service that has this TCP port.
    Port(u16),
}

impl fmt::Display for ListenerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenerRole::Visitors => f.write_str("listen"),
            ListenerRole::Redirect => f.write_str("http"),
            ListenerRole::Operator => f.write_str("admin"),
            ListenerRole::Port(port) => write!(f, "port {port}"),
        }
    }
}

/// A text is no role.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is not what a listener is for: listen, http, admin, or port and a number")]
pub struct ListenerRoleError;

impl FromStr for ListenerRole {
    type Err = ListenerRoleError;

    fn from_str(text: &str) -> Result<Self, ListenerRoleError> {
        match text {
            "listen" => Ok(ListenerRole::Visitors),
            "http" => Ok(ListenerRole::Redirect),
            "admin" => Ok(ListenerRole::Operator),
            text => {
                let port = text.strip_prefix("port ").and_then(|port| port.parse().ok());
                port.map(ListenerRole::Port).ok_or(ListenerRoleError)
            }
        }
    }
}

/// A socket that listens already; without a role it is known by its address alone.
pub type InheritedListener = (Option<ListenerRole>, std::net::TcpListener);

/// The listeners of one relay.
#[derive(Default)]
pub(crate) struct Handover {
    /// Those of another process that were not taken yet.
    inherited: Mutex<Vec<InheritedListener>>,
    /// Whether there were any.
    is_successor: bool,
    /// Those of this process, while they are open.
    own: Mutex<Vec<(ListenerRole, Weak<TcpListener>)>>,
    has_successor: AtomicBool,
}

impl Handover {
    /// With what another process has opened.
    pub(crate) fn new(inherited: Vec<InheritedListener>) -> Self {
        let is_successor = !inherited.is_empty();
        Self { inherited: Mutex::new(inherited), is_successor, ..Self::default() }
    }

    /// Listens at `at`, or takes the listener over that another process has opened for this.
    ///
    /// # Errors
    /// Those of [`TcpListener::listen`].
    pub(crate) fn listen(
        &self,
        restart: &RestartSettings,
        role: ListenerRole,
        at: SocketAddr,
    ) -> io::Result<Arc<TcpListener>> {
        let listener = match self.take(role, at) {
            Some(listener) => TcpListener::from_listening(listener, Some(TCP_KEEPALIVE))?,
            None => restart.listen(at, TCP_KEEPALIVE)?,
        };
        let listener = Arc::new(listener);
        let mut own = lock(&self.own);
        own.retain(|(_, listener)| listener.strong_count() > 0);
        own.push((role, Arc::downgrade(&listener)));
        Ok(listener)
    }

    /// A listener of another process for this role, at this address or, if any port will do, at any.
    fn take(&self, role: ListenerRole, at: SocketAddr) -> Option<std::net::TcpListener> {
        let mut inherited = lock(&self.inherited);
        let is_it = |(known, listener): &InheritedListener| match known {
            Some(known) => {
                *known == role && (at.port() == 0 || listener.local_addr().is_ok_and(|local| local == at))
            }
            None => listener.local_addr().is_ok_and(|local| local == at),
        };
        let found = inherited.iter().position(is_it)?;
        Some(inherited.swap_remove(found).1)
    }

    /// Closes the listeners of another process that nobody has taken.
    pub(crate) fn close_rest(&self) {
        for (role, listener) in lock(&self.inherited).drain(..) {
            tracing::info!(?role, at = ?listener.local_addr().ok(), "nobody listens here any more");
        }
    }

    /// Whether another process gave this one its listeners.
    pub(crate) const fn is_successor(&self) -> bool {
        self.is_successor
    }

    /// The listeners that are open, for the next process.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub(crate) fn clones(&self) -> io::Result<Vec<(ListenerRole, std::net::TcpListener)>> {
        let own = lock(&self.own);
        let open = own.iter().filter_map(|(role, listener)| Some((*role, listener.upgrade()?)));
        open.map(|(role, listener)| Ok((role, listener.try_clone_socket()?))).collect()
    }

    /// The next process has the listeners.
    pub(crate) fn set_successor(&self) {
        self.has_successor.store(true, Ordering::Release);
    }

    /// Whether another process accepts from the same queues.
    pub(crate) fn has_successor(&self) -> bool {
        self.has_successor.load(Ordering::Acquire)
    }
}

fn lock<T>(listeners: &Mutex<T>) -> MutexGuard<'_, T> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use hvym_tunnel_net::runtime::Runtime;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in
            [ListenerRole::Visitors, ListenerRole::Redirect, ListenerRole::Operator, ListenerRole::Port(7)]
        {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        for text in ["", "port", "port 65536", "Listen"] {
            assert_eq!(text.parse::<ListenerRole>(), Err(ListenerRoleError), "{text}");
        }
    }

    #[test]
    fn a_listener_is_taken_by_its_role_and_address_and_those_that_are_closed_are_not_handed_over() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let _inside = runtime.handle().enter();
        let restart = RestartSettings::default();
        let before = Handover::default();
        let visitors = before.listen(&restart, ListenerRole::Visitors, ANY).expect("a free port");
        let operator = before.listen(&restart, ListenerRole::Operator, ANY).expect("a free port");
        let gone = before.listen(&restart, ListenerRole::Port(1), ANY).expect("a free port");
        drop(gone);
        let clones = before.clones().expect("descriptors");
        assert_eq!(
            clones.iter().map(|(role, _)| *role).collect::<Vec<_>>(),
            [ListenerRole::Visitors, ListenerRole::Operator]
        );
        let after =
            Handover::new(clones.into_iter().map(|(role, listener)| (Some(role), listener)).collect());
        assert!(after.is_successor() && !before.is_successor());
        let at = visitors.local_addr().expect("its address");
        assert!(after.take(ListenerRole::Redirect, at).is_none(), "it is for something else");
        assert!(after.take(ListenerRole::Visitors, operator.local_addr().expect("its address")).is_none());
        let taken = after.listen(&restart, ListenerRole::Visitors, ANY).expect("the one from before");
        assert_eq!(taken.local_addr().expect("its address"), at);
        drop(visitors);
        TcpStream::connect(at).expect("it still listens");
        let at = operator.local_addr().expect("its address");
        drop(operator);
        TcpStream::connect(at).expect("nobody has closed it");
        after.close_rest();
        TcpStream::connect(at).expect_err("it is closed");
    }

    #[test]
    fn a_listener_without_a_role_is_known_by_its_address() {
        let listener = std::net::TcpListener::bind(ANY).expect("a free port");
        let at = listener.local_addr().expect("its address");
        let handover = Handover::new(vec![(None, listener)]);
        assert!(handover.take(ListenerRole::Visitors, ANY).is_none());
        assert!(handover.take(ListenerRole::Operator, at).is_some());
    }
}
