//! Sockets that whoever started this process has opened for it (sd_listen_fds(3)), as systemd does for a unit with a socket.
//!
//! Knows where none of them is: that is the business of who opened it.

use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hvym_tunnel_manager::api::PassedSockets;
use hvym_tunnel_relay::{InheritedListener, ListenerRole};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, sockopt};
use thiserror::Error;

use crate::exit::{Exit, ExitError};

/// The first descriptor (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// A relay has three listeners, and the API one for each address of the machine that somebody names.
const MAX_SOCKETS: usize = 16;
/// What a socket is called that nobody gave a name.
const UNNAMED: &str = "unknown";

/// Why sockets that were passed cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
enum ActivationError {
    #[error("LISTEN_FDS is no number from 1 to {MAX_SOCKETS}")]
    Count,
    #[error("the passed socket {0:?} is no TCP or Unix socket that listens")]
    NotListening(String),
    #[error("the passed socket {0:?} is a Unix socket, where a relay listens at TCP sockets")]
    NotTcp(String),
    #[error("the passed socket {0:?} is called after no listener of a relay: listen, http or admin")]
    UnknownName(String),
    #[error("two sockets were passed as {0}, and a relay listens at one")]
    Twice(ListenerRole),
    #[error("two Unix sockets were passed, and the API has one")]
    TwoUnix,
}

impl From<ActivationError> for ExitError {
    fn from(error: ActivationError) -> Self {
        let hint = match &error {
            ActivationError::Twice(_) => {
                "ListenStream=443 takes connections of IPv4 and of IPv6 at one socket"
            }
            _ => "FileDescriptorName= of a socket unit names its sockets (systemd.socket(5))",
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

/// A socket that listens, with its name.
struct PassedSocket {
    name: String,
    listener: PassedListener,
}

enum PassedListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The listeners for a relay in this process; none unless the environment names some.
///
/// # Errors
/// They are none that a relay has.
pub(crate) fn relay_listeners() -> Result<Vec<InheritedListener>, ExitError> {
    Ok(assign(take()?)?)
}

/// The sockets for an API in this process; `None` unless the environment names some.
///
/// # Errors
/// They do not listen, or are too many.
pub(crate) fn api_sockets() -> Result<Option<Arc<PassedSockets>>, ExitError> {
    let mut sockets = PassedSockets::default();
    for passed in take()? {
        match passed.listener {
            PassedListener::Tcp(listener) => sockets.tcp.push(listener),
            PassedListener::Unix(_) if sockets.unix.is_some() => return Err(ActivationError::TwoUnix.into()),
            PassedListener::Unix(listener) => sockets.unix = Some(listener),
        }
    }
    let has_any = !sockets.tcp.is_empty() || sockets.unix.is_some();
    Ok(has_any.then(|| Arc::new(sockets)))
}

/// What each socket is for, by its name. One alone needs none.
fn assign(sockets: Vec<PassedSocket>) -> Result<Vec<InheritedListener>, ActivationError> {
    let is_alone = sockets.len() == 1;
    let mut assigned: Vec<InheritedListener> = Vec::new();
    for PassedSocket { name, listener } in sockets {
        let role = match name.as_str() {
            "listen" => ListenerRole::Visitors,
            "http" => ListenerRole::Redirect,
            "admin" => ListenerRole::Operator,
            _ if is_alone => ListenerRole::Visitors,
            _ => return Err(ActivationError::UnknownName(name)),
        };
        let PassedListener::Tcp(listener) = listener else { return Err(ActivationError::NotTcp(name)) };
        if assigned.iter().any(|(other, _)| *other == Some(role)) {
            return Err(ActivationError::Twice(role));
        }
        assigned.push((Some(role), listener));
    }
    Ok(assigned)
}

/// All sockets that were passed to this process. A second call returns none.
fn take() -> Result<Vec<PassedSocket>, ActivationError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let [pid, count, names] =
        ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(|name| std::env::var(name).ok());
    let names = passed_names(pid.as_deref(), count.as_deref(), names.as_deref(), std::process::id())?;
    let descriptors: Vec<OwnedFd> = (FIRST..).take(names.len()).map(own).collect();
    names.into_iter().zip(descriptors).map(|(name, descriptor)| open(name, descriptor)).collect()
}

/// The names of the sockets that variables with these values pass to the process `own`.
fn passed_names(
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
    own: u32,
) -> Result<Vec<String>, ActivationError> {
    // Variables for another process are inherited from it.
    if pid.and_then(|pid| pid.parse::<u32>().ok()) != Some(own) {
        return Ok(Vec::new());
    }
    let Some(count) = count else { return Ok(Vec::new()) };
    let count = count.parse().ok().filter(|count| (1..=MAX_SOCKETS).contains(count));
    let count = count.ok_or(ActivationError::Count)?;
    let named = names.unwrap_or_default().split(':').filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(named.chain(std::iter::repeat(UNNAMED.to_owned())).take(count).collect())
}

#[expect(unsafe_code, reason = "a descriptor that the process was started with has no other origin")]
fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: by the protocol it is open since the start of the process, `LISTEN_PID` says that it is for this one, nothing
    // else in it uses it, and `take` comes here once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn open(name: String, descriptor: OwnedFd) -> Result<PassedSocket, ActivationError> {
    let kind = || -> Result<_, Errno> {
        // Whatever this process starts is to have none of them.
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
        let is_stream = sockopt::socket_type(&descriptor)? == SocketType::STREAM;
        let is_listening = is_stream && sockopt::socket_acceptconn(&descriptor)?;
        Ok(is_listening.then_some(sockopt::socket_domain(&descriptor)?))
    };
    let listener = match kind() {
        Ok(Some(AddressFamily::INET | AddressFamily::INET6)) => PassedListener::Tcp(descriptor.into()),
        Ok(Some(AddressFamily::UNIX)) => PassedListener::Unix(descriptor.into()),
        _ => return Err(ActivationError::NotListening(name)),
    };
    Ok(PassedSocket { name, listener })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn the_variables_name_the_sockets_of_this_process_alone() {
        let names = |pid, count, names| passed_names(pid, count, names, 7);
        assert_eq!(names(Some("7"), Some("2"), Some("listen:admin")).unwrap(), ["listen", "admin"]);
        assert_eq!(names(Some("7"), Some("2"), Some("listen")).unwrap(), ["listen", UNNAMED]);
        assert_eq!(names(Some("7"), Some("1"), None).unwrap(), [UNNAMED]);
        for (pid, count) in
            [(None, Some("1")), (Some("8"), Some("1")), (Some("x"), Some("1")), (Some("7"), None)]
        {
            assert!(names(pid, count, Some("listen")).unwrap().is_empty(), "{pid:?} {count:?}");
        }
    }

    #[test]
    fn there_are_sixteen_sockets_at_most() {
        for (count, is_fine) in [("0", false), ("1", true), ("16", true), ("17", false), ("", false)] {
            assert_eq!(passed_names(Some("7"), Some(count), None, 7).is_ok(), is_fine, "{count}");
        }
    }

    fn socket(name: &str) -> PassedSocket {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        open(name.to_owned(), listener.into()).expect("it listens")
    }

    #[test]
    fn a_name_says_which_listener_a_socket_is_and_one_alone_is_for_visitors() {
        let roles = |names: &[&str]| {
            let sockets = names.iter().map(|name| socket(name)).collect();
            assign(sockets)
                .map(|assigned| assigned.into_iter().filter_map(|(role, _)| role).collect::<Vec<_>>())
        };
        use ListenerRole::{Operator, Redirect, Visitors};
        assert_eq!(roles(&["admin", "listen", "http"]), Ok(vec![Operator, Visitors, Redirect]));
        assert_eq!(roles(&["relay.socket"]), Ok(vec![Visitors]));
        assert_eq!(roles(&["http"]), Ok(vec![Redirect]));
        assert_eq!(roles(&["listen", "other"]), Err(ActivationError::UnknownName("other".to_owned())));
        assert_eq!(roles(&["listen", "listen"]), Err(ActivationError::Twice(Visitors)));
    }

    #[test]
    fn what_does_not_listen_is_no_socket_that_can_be_used() {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let dialled = std::net::TcpStream::connect(listener.local_addr().expect("its address"));
        let file = std::fs::File::open("/dev/null").expect("Linux has it");
        for descriptor in [OwnedFd::from(udp), dialled.expect("it listens").into(), file.into()] {
            let refused = open("x".to_owned(), descriptor).map(|_| ());
            assert_eq!(refused, Err(ActivationError::NotListening("x".to_owned())));
        }
    }
}
