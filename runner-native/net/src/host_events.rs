//! Hears from Linux that a route or an address of this machine changed, or that its clock was set, which also happens when it
//! wakes from sleep. Nothing wakes the process as long as nothing happens.
//!
//! Says only that something happened: what it means, the listener looks up.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use futures_util::future::poll_fn;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::registration::Registration;

/// Groups of rtnetlink(7) in the form of bind(2): changes of addresses and routes of both families.
const GROUPS: u32 = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV4_ROUTE: u32 = 0x40;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;
const RTMGRP_IPV6_ROUTE: u32 = 0x400;

/// When the timer would expire if the clock were never set; in 2200, by when it has been.
const NEVER: Itimerspec = Itimerspec {
    it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
    it_value: Timespec { tv_sec: 7_258_118_400, tv_nsec: 0 },
};

/// What the kernel says about this machine from now on.
#[derive(Debug)]
pub struct HostEvents {
    /// Each before its descriptor, which must outlive it.
    routes: (Registration, OwnedFd),
    clock: (Registration, OwnedFd),
}

impl HostEvents {
    /// Listens from now on.
    ///
    /// # Errors
    /// The process may not, as in some sandboxes, or has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // NETLINK_ROUTE is 0, the protocol of whoever names none.
        let routes = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&routes, &SocketAddrNetlink::new(0, GROUPS))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let clock = rustix::time::timerfd_create(TimerfdClockId::Realtime, flags)?;
        rearm(&clock)?;
        Ok(Self { routes: (Registration::new(&routes)?, routes), clock: (Registration::new(&clock)?, clock) })
    }

    /// Waits until something has happened. Everything that happened by then is said at once. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) {
        poll_fn(|cx| {
            let (routes, clock) = (self.poll_routes(cx), self.poll_clock(cx));
            if routes.is_ready() || clock.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn poll_routes(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (registration, socket) = &self.routes;
        // The messages are not read: one that is cut is as good as whole.
        let read = || match rustix::net::recv(socket, &mut [0; 16], RecvFlags::TRUNC) {
            // More happened than there was room for.
            Ok(_) | Err(Errno::NOBUFS) => true,
            Err(_) => false,
        };
        poll_all(registration, read, cx)
    }

    fn poll_clock(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (registration, timer) = &self.clock;
        let read = || match rustix::io::read(timer, &mut [0; 8]) {
            // A timer that could not be set again is one that says nothing any more.
            Ok(_) | Err(Errno::CANCELED) => rearm(timer).is_ok(),
            Err(_) => false,
        };
        poll_all(registration, read, cx)
    }
}

/// Sets the timer, which the kernel then cancels when the clock is set.
fn rearm(timer: &OwnedFd) -> io::Result<()> {
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    match rustix::time::timerfd_settime(timer, flags, &NEVER) {
        // Set meanwhile: it is armed all the same (timerfd_create(2)).
        Ok(_) | Err(Errno::CANCELED) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads everything that there is; ready if it was anything.
fn poll_all(registration: &Registration, read: impl Fn() -> bool, cx: &mut Context<'_>) -> Poll<()> {
    let mut happened = false;
    while let Poll::Ready(Ok(())) = registration.poll_readable(cx) {
        registration.about_to_read();
        while read() {
            happened = true;
        }
    }
    if happened { Poll::Ready(()) } else { Poll::Pending }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn nothing_is_said_until_something_happens() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let _inside = runtime.handle().enter();
        let mut events = HostEvents::new().expect("descriptors");
        assert!(events.next().now_or_never().is_none());
        // What the kernel sends when an address was added: messages in the same socket.
        ask_for_addresses(&events.routes.1);
        runtime.block_on(pin!(events.next()));
        // The rest of the answer comes in the same moment, or has come.
        while events.next().now_or_never().is_some() {}
        assert!(events.next().now_or_never().is_none());
    }

    /// Asks for the list of addresses (rtnetlink(7): RTM_GETADDR with NLM_F_DUMP), which every process may.
    fn ask_for_addresses(socket: &OwnedFd) {
        const RTM_GETADDR: u16 = 22;
        const NLM_F_REQUEST_DUMP: u16 = 0x301;
        let mut request = Vec::new();
        request.extend_from_slice(&17_u32.to_ne_bytes());
        request.extend_from_slice(&RTM_GETADDR.to_ne_bytes());
        request.extend_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
        request.extend_from_slice(&[0; 9]);
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = rustix::net::sendto(socket, &request, rustix::net::SendFlags::empty(), &kernel);
        assert_eq!(sent, Ok(request.len()));
    }
}
