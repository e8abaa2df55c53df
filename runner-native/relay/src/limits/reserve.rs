//! Connections beyond the limit of all, on which agents may log in and nothing else happens: visitors keep no agent out.
//!
//! When their places are taken, the one that has waited longest is cut for a newcomer. An agent sends its request within a
//! round trip, and has a place among the agents then.

use std::collections::VecDeque;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Places. Each costs a descriptor and some 20 KiB, as any connection.
const PLACES: usize = 256;

/// The connections in the reserve, oldest first.
#[derive(Default)]
pub(crate) struct Reserve(Mutex<VecDeque<Weak<TcpStream>>>);

impl Reserve {
    /// Takes a connection in until the last handle of it is dropped. The oldest is cut if there is no place.
    pub(crate) fn enter(&self, tcp: &Arc<TcpStream>) {
        let mut places = self.lock();
        places.retain(|place| place.strong_count() > 0);
        if places.len() >= PLACES
            && let Some(oldest) = places.pop_front().and_then(|oldest| oldest.upgrade())
        {
            let _gone = oldest.shutdown(Shutdown::Both);
        }
        places.push_back(Arc::downgrade(tcp));
    }

    /// A connection is an agent's from now on, and is not cut any more.
    pub(crate) fn leave(&self, tcp: &Arc<TcpStream>) {
        self.lock().retain(|place| !std::ptr::eq(place.as_ptr(), Arc::as_ptr(tcp)));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Weak<TcpStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn the_oldest_connection_is_cut_for_a_newcomer_unless_it_is_an_agents() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let at = listener.local_addr().expect("it is bound");
        let connect = || {
            let client = TcpStream::connect(at).expect("it listens");
            (client, Arc::new(listener.accept().expect("a client").0))
        };
        let reserve = Reserve::default();
        let agent = connect();
        reserve.enter(&agent.1);
        reserve.leave(&agent.1);
        let mut inside: Vec<_> = (0..PLACES).map(|_| connect()).collect();
        inside.iter().for_each(|(_, tcp)| reserve.enter(tcp));
        // One that ended by itself makes room.
        inside.swap_remove(1);
        let another = connect();
        reserve.enter(&another.1);
        inside[0].0.set_nonblocking(true).expect("a socket");
        let open = inside[0].0.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(open, Err(std::io::ErrorKind::WouldBlock));
        let newcomer = connect();
        reserve.enter(&newcomer.1);
        inside[0].0.set_nonblocking(false).expect("a socket");
        assert_eq!(inside[0].0.read(&mut [0]).ok(), Some(0), "it was cut");
        for (client, _) in [&agent, &another, &newcomer] {
            client.set_nonblocking(true).expect("a socket");
            let mut client = client;
            assert_eq!(
                client.read(&mut [0]).map_err(|error| error.kind()),
                Err(std::io::ErrorKind::WouldBlock)
            );
        }
    }
}
