//! The listeners that a relay does not open itself: those of the process before it, and those that a supervisor has opened.

use std::net::SocketAddr;

use hvym_tunnel_relay::config::RelayOptions;
use hvym_tunnel_relay::{InheritedListener, ListenerRole};

use crate::activation;
use crate::exit::{Exit, ExitError};
use crate::upgrade::Predecessor;

/// Listeners that are open already.
pub(super) struct Inherited {
    pub(super) predecessor: Option<Predecessor>,
    pub(super) listeners: Vec<InheritedListener>,
    pub(super) passed: PassedAddresses,
}

impl Inherited {
    /// Those of this process.
    ///
    /// # Errors
    /// They cannot be used.
    pub(super) fn find() -> Result<Self, ExitError> {
        let unknown = |error| ExitError::new(Exit::Unexpected, format!("cannot take over: {error}"));
        let Some(predecessor) = Predecessor::find().map_err(unknown)? else {
            let listeners = activation::relay_listeners()?;
            let passed = PassedAddresses::from_listeners(&listeners, |_| true);
            return Ok(Self { predecessor: None, listeners, passed });
        };
        let listeners = predecessor.listeners().map_err(unknown)?;
        let passed = PassedAddresses::from_listeners(&listeners, |role| predecessor.was_passed(role));
        Ok(Self { predecessor: Some(predecessor), listeners, passed })
    }
}

/// Where the sockets of a supervisor listen. They win over the options: whoever changes a socket unit need not change the
/// options of its service too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct PassedAddresses(Vec<(ListenerRole, SocketAddr)>);

impl PassedAddresses {
    fn from_listeners(listeners: &[InheritedListener], was_passed: impl Fn(ListenerRole) -> bool) -> Self {
        let address = |(role, listener): &InheritedListener| {
            let role = role.filter(|role| was_passed(*role))?;
            Some((role, listener.local_addr().ok()?))
        };
        Self(listeners.iter().filter_map(address).collect())
    }

    /// What the sockets are for.
    pub(super) fn roles(&self) -> impl Iterator<Item = ListenerRole> {
        self.0.iter().map(|(role, _)| *role)
    }

    /// Has `options` say where the sockets are.
    pub(super) fn apply(&self, options: &mut RelayOptions) {
        for (role, at) in &self.0 {
            match role {
                ListenerRole::Visitors => options.ingress.listen = *at,
                ListenerRole::Redirect => options.https.http_listen = Some(*at),
                ListenerRole::Operator => options.admin.admin_listen = Some(*at),
                ListenerRole::Port(_) => {}
            }
            // A process that ends makes the sockets of its own deaf; these are the next one's too.
            options.restart.reuse_port = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn sockets_of_a_supervisor_win_over_the_options_and_those_of_a_process_do_not() {
        let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let listeners: Vec<InheritedListener> =
            [ListenerRole::Visitors, ListenerRole::Redirect, ListenerRole::Operator, ListenerRole::Port(7)]
                .map(|role| (Some(role), listener()))
                .into();
        let at = |index: usize| listeners[index].1.local_addr().expect("its address");
        let mut options = RelayOptions::default();
        options.restart.reuse_port = true;
        let before = options.clone();
        PassedAddresses::from_listeners(&listeners, |_| false).apply(&mut options);
        assert_eq!(options, before);
        PassedAddresses::from_listeners(&listeners, |role| role == ListenerRole::Operator)
            .apply(&mut options);
        assert_eq!(options.admin.admin_listen, Some(at(2)));
        assert_eq!((options.ingress.listen, options.restart.reuse_port), (before.ingress.listen, false));
        let all = PassedAddresses::from_listeners(&listeners, |_| true);
        all.apply(&mut options);
        assert_eq!((options.ingress.listen, options.https.http_listen), (at(0), Some(at(1))));
    }
}
