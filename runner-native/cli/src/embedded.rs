//! A relay of the agent's own, for somebody who named none: on this machine, and for this machine or its network.
//!
//! It is the same relay as any other, and the agent trusts it no more than its address deserves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use hvym_tunnel_core::relay::AgentRule;
use hvym_tunnel_core::stellar::Address;

use crate::exit::{Exit, ExitError};
use hvym_tunnel_net::config::KeepaliveSettings;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_net::target::RelayUrl;
use hvym_tunnel_relay::config::{DEFAULT_PORT, RelayOptions};
use hvym_tunnel_relay::{Relay, RelayError, RelayHandle};

/// How many ports from the usual one on are tried, so that a URL stays the same from run to run: more agents with a relay of
/// their own than that, all at once, are no person's.
const PORTS: u16 = 16;

/// A name of the public DNS for every IPv4 address: below it every name leads to the address in it.
const LAN_DOMAIN: &str = "sslip.io";

/// An address of the public Internet that nobody has (RFC 5737): asking the system for the way there sends nothing.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Which relay of its own an agent has.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct OwnRelay {
    /// Where it listens; `None`: at the usual port, or the next that is free. 0 is any free port.
    pub(crate) port: Option<u16>,
    /// Whether its agents reach services of each other, as the page of the demo does; else what is exposed is for visitors alone.
    pub(crate) is_reaching: bool,
    /// The address of this machine in the network whose machines may visit; unspecified: the one by which it reaches others.
    pub(crate) lan: Option<Ipv4Addr>,
}

/// A relay that lives as long as the agent does.
pub(crate) struct Embedded {
    relay: RelayHandle,
}

/// Starts a relay for the agent `address`, with an identity that nobody will see again.
///
/// # Errors
/// No entropy, a port that is taken, or no network.
pub(crate) fn start(
    own: OwnRelay,
    keepalive: KeepaliveSettings,
    address: Address,
) -> Result<Embedded, ExitError> {
    let lan = own.lan.map(lan_address).transpose()?;
    let ports = match own.port {
        Some(port) => port..=port,
        None => DEFAULT_PORT..=DEFAULT_PORT + PORTS - 1,
    };
    for port in ports.chain((own.port.is_none()).then_some(0)) {
        let identity =
            Identity::generate().map_err(|error| ExitError::new(Exit::Unexpected, error.to_string()))?;
        let relay = Relay::builder(identity).reaching(own.is_reaching).with_options(|options| {
            options.keepalive = keepalive;
            options.ingress.listen.set_port(port);
            if let Some(lan) = lan {
                open_to_network(options, lan, address);
            }
        });
        match relay.start(&RuntimeHandle::current()) {
            Err(RelayError::Listen { kind: io::ErrorKind::AddrInUse, .. })
                if port != 0 && own.port.is_none() => {}
            started => return Ok(Embedded { relay: started? }),
        }
    }
    Err(ExitError::new(Exit::Unexpected, "no port is free"))
}

/// The address by which others in the network reach this machine.
fn lan_address(address: Ipv4Addr) -> Result<Ipv4Addr, ExitError> {
    if !address.is_unspecified() {
        return Ok(address);
    }
    let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(ELSEWHERE).and_then(|()| socket.local_addr()));
    match own.map(|own| own.ip()) {
        Ok(IpAddr::V4(own)) if !own.is_loopback() && !own.is_unspecified() => Ok(own),
        _ => Err(ExitError::new(Exit::Config, "this machine seems to be in no network")
            .with_hint("name its address there, as --lan=192.168.1.5")),
    }
}

/// Lets machines of the network visit; `agent` alone may be an agent.
fn open_to_network(options: &mut RelayOptions, lan: Ipv4Addr, agent: Address) {
    let port = options.ingress.listen.port();
    options.ingress.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    options.ingress.domain = lan_domain(lan);
    options.access.allowed = agent.to_string().parse::<AgentRule>().into_iter().collect();
    // By which the agent dials.
    options.login.also_names = vec![format!("{}:*", Ipv4Addr::LOCALHOST)];
}

/// `192-168-1-5.sslip.io`.
fn lan_domain(lan: Ipv4Addr) -> String {
    format!("{}.{LAN_DOMAIN}", lan.to_string().replace('.', "-"))
}

impl Embedded {
    /// Where its agent dials it.
    pub(crate) fn url(&self) -> RelayUrl {
        let at = self.relay.local_addr();
        let host = if at.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { at.ip() };
        let path = RelayUrl::DEFAULT_PATH.to_owned();
        RelayUrl { tls: false, host: host.to_string(), port: at.port(), path }
    }

    /// Its identity.
    pub(crate) fn address(&self) -> Address {
        self.relay.address()
    }

    /// Ends it and everything on it.
    pub(crate) async fn stop(self) {
        self.relay.stop();
        self.relay.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_network_is_a_name_that_phones_can_look_up() {
        assert_eq!(lan_domain(Ipv4Addr::new(192, 168, 1, 5)), "192-168-1-5.sslip.io");
        let named = Ipv4Addr::new(10, 0, 0, 7);
        assert_eq!(lan_address(named), Ok(named));
    }
}
