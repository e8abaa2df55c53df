//! Verifies hashed passwords on threads that may block: few at once, and what was right is remembered for a while.
//!
//! Knows no visitor and no request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::secret::Fingerprint;
use smol::lock::Semaphore;
use smol::unblock;

use crate::credentials::HashCandidate;

/// Verifications at once: each takes a core and up to 256 MiB.
const AT_ONCE: usize = 2;
/// Verifications that wait for their turn; a browser sends a few requests at once before it knows that the first is answered.
const MAX_WAITING: usize = 64;
/// How long right credentials are remembered, so that not each request of a page costs a verification. An owner who changes a
/// password restarts its agent anyway.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// Right credentials that are remembered.
const MAX_REMEMBERED: usize = 256;

/// The verifications of one service.
pub(super) struct Verifier {
    turns: Semaphore,
    waiting: AtomicUsize,
    right: Mutex<Vec<(Fingerprint, Instant)>>,
}

/// Counts one that waits, until it is dropped.
struct QueueSlot<'a>(&'a AtomicUsize);

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// There are too many verifications.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Crowded;

impl Verifier {
    /// Nothing was verified.
    pub(super) fn new() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), waiting: AtomicUsize::new(0), right: Mutex::default() }
    }

    /// Whether these credentials were right a while ago.
    pub(super) fn remembers(&self, shown: &Fingerprint, now: Instant) -> bool {
        let mut right = self.right();
        right.retain(|(_, until)| now < *until);
        right.iter().fold(false, |known, (other, _)| known | other.matches(shown))
    }

    /// Verifies a password once it is its turn, and once `begins` allows it. One that is right is remembered.
    ///
    /// # Errors
    /// [`Crowded`], or what `begins` says.
    pub(super) async fn verify<E: From<Crowded>>(
        &self,
        candidate: HashCandidate,
        shown: Fingerprint,
        now: impl Fn() -> Instant,
        begins: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Crowded.into());
        }
        let waiting = QueueSlot(&self.waiting);
        let _turn = self.turns.acquire().await;
        drop(waiting);
        // Somebody may have shown the same meanwhile.
        if self.remembers(&shown, now()) {
            return Ok(true);
        }
        begins()?;
        let is_right = unblock(move || candidate.verify()).await;
        if is_right {
            let mut right = self.right();
            if right.len() >= MAX_REMEMBERED {
                right.remove(0);
            }
            right.push((shown, now() + REMEMBERED_FOR));
        }
        Ok(is_right)
    }

    fn right(&self) -> MutexGuard<'_, Vec<(Fingerprint, Instant)>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::credentials::{Credentials, CredentialsMatch};

    const NOW: Instant = Instant::from_millis(5);

    fn candidate(password: &str) -> HashCandidate {
        let account = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let shown = data_encoding::BASE64.encode(format!("ann:{password}").as_bytes());
        match Credentials::match_any(&[account.into()], format!("Basic {shown}").as_bytes()) {
            CredentialsMatch::Unsure(candidate) => candidate,
            CredentialsMatch::Right | CredentialsMatch::Wrong => panic!("a hash decides"),
        }
    }

    async fn verify(verifier: &Verifier, password: &str, now: Instant) -> Result<bool, Crowded> {
        let shown = Fingerprint::new(password.as_bytes());
        verifier.verify(candidate(password), shown, || now, || Ok(())).await
    }

    #[test]
    fn what_was_right_is_remembered_for_its_time_and_what_was_wrong_is_not() {
        smol::block_on(async {
            let verifier = Verifier::new();
            assert_eq!(verify(&verifier, "secret", NOW).await, Ok(true));
            assert_eq!(verify(&verifier, "wrong", NOW).await, Ok(false));
            let remembers =
                |password: &str, now| verifier.remembers(&Fingerprint::new(password.as_bytes()), now);
            assert!(!remembers("wrong", NOW));
            assert!(remembers("secret", NOW + (REMEMBERED_FOR - Duration::from_millis(1))));
            // What is remembered is not verified again, so nothing may stop it.
            let (right, shown) = (candidate("secret"), Fingerprint::new(b"secret"));
            assert_eq!(verifier.verify(right, shown, || NOW, || Err(Crowded)).await, Ok(true));
            assert!(!remembers("secret", NOW + REMEMBERED_FOR));
            let (right, shown) = (candidate("secret"), Fingerprint::new(b"secret"));
            assert_eq!(verifier.verify(right, shown, || NOW, || Err(Crowded)).await, Err(Crowded));
        });
    }

    #[test]
    fn so_many_wait_and_one_more_is_turned_away() {
        smol::block_on(async {
            let verifier = Verifier::new();
            let turns = [verifier.turns.acquire().await, verifier.turns.acquire().await];
            let all = join_all((0..=MAX_WAITING).map(|_| verify(&verifier, "wrong", NOW)));
            let mut turns = Some(turns);
            let all = futures_util::future::join(all, async { drop(turns.take()) }).await.0;
            let crowded = all.iter().filter(|verified| **verified == Err(Crowded)).count();
            assert_eq!((all.len(), crowded), (MAX_WAITING + 1, 1));
            assert_eq!(verify(&verifier, "secret", NOW).await, Ok(true), "there is room again");
        });
    }
}
