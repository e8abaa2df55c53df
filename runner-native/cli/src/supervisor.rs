//! What whoever started the process is told: that it is ready, that it lives, that it stops (sd_notify(3)).
//!
//! Nobody is told anything unless the environment names a socket.

#[cfg(unix)]
mod unix {
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    use hvym_tunnel_net::runtime::spawn;
    use hvym_tunnel_net::timer::Timer;

    /// Sends one message, if anybody wants it. Whoever does not read it learns nothing, which is no reason to stop.
    fn notify(message: &str) {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").and_then(|name| name.into_string().ok()) else {
            return;
        };
        let Some(address) = address(&name) else { return };
        let sent =
            UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(message.as_bytes(), &address));
        if let Err(error) = sent {
            tracing::debug!(%error, "the supervisor was not told");
        }
    }

    #[cfg(target_os = "linux")]
    fn address(name: &str) -> Option<SocketAddr> {
        use std::os::linux::net::SocketAddrExt;
        match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn address(name: &str) -> Option<SocketAddr> {
        SocketAddr::from_pathname(name).ok()
    }

    /// The process runs. An agent is ready although no relay answers yet: a network that is late must not end a service.
    /// From now on it says that it lives, as often as it is asked to: a runtime that stands still does not.
    pub(crate) fn ready() {
        notify("READY=1");
        if let Some(interval) = watchdog() {
            spawn(async move {
                loop {
                    Timer::after(interval).await;
                    notify("WATCHDOG=1");
                }
            })
            .detach();
        }
    }

    /// How often a sign of life is wanted: twice within the time after which the process counts as dead.
    fn watchdog() -> Option<Duration> {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let micros = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0)?;
        Some(Duration::from_micros(micros) / 2)
    }

    /// Another process is the service from now on, and this one finishes what is under way.
    pub(crate) fn handed_over(pid: u32) {
        notify(&format!("MAINPID={pid}"));
    }

    /// The process finishes what is under way.
    pub(crate) fn stopping() {
        notify("STOPPING=1");
    }
}

#[cfg(unix)]
pub(crate) use unix::{handed_over, ready, stopping};

/// Nobody wants to know.
#[cfg(not(unix))]
pub(crate) fn handed_over(_pid: u32) {}

/// Nobody wants to know.
#[cfg(not(unix))]
pub(crate) fn ready() {}

/// Nobody wants to know.
#[cfg(not(unix))]
pub(crate) fn stopping() {}
