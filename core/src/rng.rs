//! Randomness as the core knows it: one deterministic stream from one seed.
//!
//! The seed comes from the runner, which takes it from the operating system; challenges are as
//! unpredictable as that seed. The same seed gives the same stream, which is what makes a run repeatable.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

/// A machine's 32 bytes of entropy. Fresh for every machine, secret on a relay (challenges come from it).
pub type Seed = [u8; 32];

/// A stream of random values from a [`Seed`] (ChaCha20).
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// The stream that belongs to `seed`.
    pub fn new(seed: Seed) -> Self {
        Rng(ChaCha20Rng::from_seed(seed))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A seed for a machine inside this one.
    pub fn fork(&mut self) -> Seed {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// `N` random bytes as base64url without padding, for nonces and ids on the wire.
    pub fn token<const N: usize>(&mut self) -> String {
        let mut raw = [0; N];
        self.0.fill_bytes(&mut raw);
        Base64UrlUnpadded::encode_string(&raw)
    }

    /// The next `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut raw = [0; N];
        self.0.fill_bytes(&mut raw);
        raw
    }

    /// A duration drawn evenly from zero to `max`, both included.
    pub fn up_to(&mut self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
        let draw = self.0.next_u64();
        Duration::from_micros(match max.checked_add(1) {
            // The high half of a 128-bit product: even to within one part in 2^64 / max.
            Some(span) => ((u128::from(draw) * u128::from(span)) >> 64) as u64,
            None => draw,
        })
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let (mut a, mut b) = (Rng::new([7; 32]), Rng::new([7; 32]));
        assert_eq!(a.token::<32>(), b.token::<32>());
        assert_eq!(a.next_u64(), b.next_u64());
        assert_ne!(a.fork(), Rng::new([8; 32]).fork());
    }

    #[test]
    fn the_stream_is_the_keystream_of_chacha20() {
        // RFC 8439 appendix A.1, test vector 1.
        assert_eq!(Rng::new([0; 32]).bytes::<8>(), [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
    }

    #[test]
    fn a_drawn_duration_never_exceeds_the_most() {
        let mut rng = Rng::new([1; 32]);
        for _ in 0..1000 {
            assert!(rng.up_to(Duration::from_micros(3)) <= Duration::from_micros(3));
        }
        assert_eq!(rng.up_to(Duration::ZERO), Duration::ZERO);
    }
}
