//! A minimum rate for what a visitor sends or reads, with an allowance for pauses. It knows no bytes and no direction.

use core::time::Duration;

use hvym_yamux::Instant;

/// How slow a visitor may be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MinRate {
    /// Bytes a second, in the long run.
    pub bytes_per_second: u32,
    /// How long nothing may come. What comes above the rate fills it up again, never beyond this.
    pub pause: Duration,
}

/// Measures one body against a [`MinRate`], as long as it is the visitor who is waited for.
#[derive(Copy, Clone, Debug)]
pub struct RateMeter {
    rate: MinRate,
    /// What is left of the pause while nobody waits for the visitor.
    left: Duration,
    /// When it is used up, while the visitor is waited for.
    deadline: Option<Instant>,
}

impl RateMeter {
    /// A whole pause is left, and nobody waits.
    pub const fn new(rate: MinRate) -> Self {
        Self { rate, left: rate.pause, deadline: None }
    }

    /// The visitor is waited for from now on. Does nothing if it was already.
    pub fn start(&mut self, now: Instant) {
        if self.deadline.is_none() {
            self.deadline = Some(now + self.left);
        }
    }

    /// It is not waited for: its time stands still.
    pub fn stop(&mut self, now: Instant) {
        if let Some(deadline) = self.deadline.take() {
            self.left = deadline.saturating_duration_since(now);
        }
    }

    /// Bytes came. `is_enforced`: they earn only the time that they may take at the minimum rate. Else the whole pause is
    /// there again, as it is right where slow visitors are in nobody's way.
    pub fn handle_bytes(&mut self, count: usize, is_enforced: bool, now: Instant) {
        let earned = if is_enforced && self.rate.bytes_per_second > 0 {
            let micros = (count as u64).saturating_mul(1_000_000) / u64::from(self.rate.bytes_per_second);
            Duration::from_micros(micros)
        } else {
            self.rate.pause
        };
        match &mut self.deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(now).saturating_add(earned);
                *deadline = now + left.min(self.rate.pause);
            }
            None => self.left = self.left.saturating_add(earned).min(self.rate.pause),
        }
    }

    /// When the visitor is too slow; `None` while it is not waited for.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the visitor was too slow.
    pub fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}
