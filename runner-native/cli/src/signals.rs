//! Ctrl-C and SIGTERM as a person means them: the first asks to finish, the second to stop.
//!
//! Does nothing itself; whoever runs listens and acts.

use std::io;
use std::time::Duration;

use async_signal::{Signal, Signals};
use futures_util::StreamExt;

/// How long what is under way may take to finish after the first signal.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What a signal asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Take nothing new, finish what is under way within [`DRAIN_LIMIT`], then stop.
    Drain,
    /// Stop at once.
    Now,
}

/// The signals of this process, in order. From its creation on Ctrl-C no longer ends the process by itself.
#[derive(Debug)]
pub(crate) struct StopSignals {
    signals: Signals,
    draining: bool,
}

impl StopSignals {
    /// Starts to listen.
    ///
    /// # Errors
    /// What the system says when it refuses a handler or a pipe.
    pub(crate) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        let wanted = [Signal::Int, Signal::Term];
        #[cfg(not(unix))]
        let wanted = [Signal::Int];
        Ok(StopSignals { signals: Signals::new(wanted)?, draining: false })
    }

    /// Waits for the next signal: the first is [`Stop::Drain`], every later one [`Stop::Now`]. Dropping
    /// the future loses no signal.
    pub(crate) async fn next(&mut self) -> Stop {
        match self.signals.next().await {
            Some(Ok(_)) if !self.draining => {
                self.draining = true;
                Stop::Drain
            }
            Some(Ok(_)) => Stop::Now,
            // Without a way to hear signals, waiting on would make the process deaf to Ctrl-C.
            None | Some(Err(_)) => Stop::Now,
        }
    }
}

/// SIGHUP, by which operators ask for files to be read again. From its creation on it no longer ends the process.
#[derive(Debug)]
pub(crate) struct ReloadSignals(Signals);

impl ReloadSignals {
    /// Starts to listen; elsewhere than on Unix nothing will be heard.
    ///
    /// # Errors
    /// What the system says when it refuses a handler or a pipe.
    pub(crate) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        let wanted = [Signal::Hup];
        #[cfg(not(unix))]
        let wanted: [Signal; 0] = [];
        Ok(ReloadSignals(Signals::new(wanted)?))
    }

    /// Waits for the next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) {
        if !matches!(self.0.next().await, Some(Ok(_))) {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGUSR2, by which an operator has a relay start its next process. From its creation on it no longer ends the process.
#[derive(Debug)]
pub(crate) struct UpgradeSignals(Option<Signals>);

impl UpgradeSignals {
    /// Starts to listen; elsewhere than on Linux nothing will be heard.
    pub(crate) fn new() -> Self {
        #[cfg(target_os = "linux")]
        let signals = Signals::new([Signal::Usr2]).ok();
        #[cfg(not(target_os = "linux"))]
        let signals = None;
        UpgradeSignals(signals)
    }

    /// Waits for the next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) {
        if let Some(signals) = &mut self.0
            && matches!(signals.next().await, Some(Ok(_)))
        {
            return;
        }
        std::future::pending().await
    }
}

/// SIGHUP, by which a process learns that its terminal is gone. From its creation on it no longer ends the process by itself.
#[derive(Debug)]
pub(crate) struct HangupSignal(Option<Signals>);

impl HangupSignal {
    /// Starts to listen, unless whoever started the process (nohup) has it ignored, or the system has no such signal.
    pub(crate) fn new() -> Self {
        #[cfg(unix)]
        let signals = if is_hangup_ignored() { None } else { Signals::new([Signal::Hup]).ok() };
        #[cfg(not(unix))]
        let signals = None;
        HangupSignal(signals)
    }

    /// Waits for it. Dropping the future does not lose it.
    pub(crate) async fn next(&mut self) {
        if let Some(signals) = &mut self.0
            && matches!(signals.next().await, Some(Ok(_)))
        {
            return;
        }
        std::future::pending().await
    }
}

/// Whether SIGHUP was ignored when the process started. Systems other than Linux do not say so without unsafe code.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn the_first_signal_asks_to_finish_and_the_second_to_stop() {
        smol::block_on(async {
            let mut signals = StopSignals::new().expect("signals can be heard");
            for (signal, stop) in
                [(Signal::INT, Stop::Drain), (Signal::TERM, Stop::Now), (Signal::INT, Stop::Now)]
            {
                kill_process(getpid(), signal).expect("a process may signal itself");
                assert_eq!(signals.next().await, stop);
            }
        });
    }
}
