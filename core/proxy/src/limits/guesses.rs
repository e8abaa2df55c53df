//! How long whoever gave a wrong key or password waits before another one is looked at, by address.
//!
//! It compares nothing and holds no password. A right one does not undo wrong ones: whoever has an account could guess
//! those of others otherwise.

use alloc::collections::BTreeMap;
use core::time::Duration;

use hvym_yamux::Instant;

use super::VisitorKey;

/// Wrong ones without a delay: a person mistypes.
pub const FREE_GUESSES: u32 = 10;
/// The delay after the next one. It doubles with each.
pub const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay. A guess a minute finds no password, and a person behind the same address waits no longer.
pub const MAX_DELAY: Duration = Duration::from_secs(60);
/// Without a wrong one for so long, an address begins anew.
pub const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);
/// Addresses that are remembered, some 50 bytes each. Of more, those that were silent for longest are forgotten.
pub const MAX_GUESSERS: usize = 16_384;

#[derive(Copy, Clone, Debug)]
struct Guesser {
    wrong: u32,
    last: Instant,
}

impl Guesser {
    fn delay(self) -> Duration {
        let Some(doublings) = self.wrong.checked_sub(FREE_GUESSES + 1) else { return Duration::ZERO };
        FIRST_DELAY.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(MAX_DELAY)
    }

    fn is_forgotten(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGET_AFTER
    }
}

/// The addresses that gave wrong keys lately.
#[derive(Debug, Default)]
pub struct GuessLimits {
    guessers: BTreeMap<VisitorKey, Guesser>,
}

impl GuessLimits {
    /// Whether a key of this address is looked at now.
    ///
    /// # Errors
    /// How long none of this address is.
    pub fn check(&self, from: VisitorKey, now: Instant) -> Result<(), Duration> {
        let Some(guesser) = self.guessers.get(&from) else { return Ok(()) };
        let until = guesser.last + guesser.delay();
        if now >= until { Ok(()) } else { Err(until - now) }
    }

    /// A key of this address was wrong. Returns how long none of its keys is looked at from now on.
    pub fn handle_wrong(&mut self, from: VisitorKey, now: Instant) -> Duration {
        if self.guessers.len() >= MAX_GUESSERS && !self.guessers.contains_key(&from) {
            self.guessers.retain(|_, guesser| !guesser.is_forgotten(now));
            if self.guessers.len() >= MAX_GUESSERS {
                let silent = self.guessers.iter().min_by_key(|(_, guesser)| guesser.last);
                let silent = silent.map(|(key, _)| *key);
                silent.and_then(|key| self.guessers.remove(&key));
            }
        }
        let guesser = self.guessers.entry(from).or_insert(Guesser { wrong: 0, last: now });
        if guesser.is_forgotten(now) {
            guesser.wrong = 0;
        }
        *guesser = Guesser { wrong: guesser.wrong.saturating_add(1), last: guesser.last.max(now) };
        guesser.delay()
    }

    /// Addresses of which no key is looked at now.
    pub fn delayed(&self, now: Instant) -> usize {
        self.guessers.values().filter(|guesser| now < guesser.last + guesser.delay()).count()
    }

    /// Addresses that are remembered.
    pub fn remembered(&self) -> usize {
        self.guessers.len()
    }
}
