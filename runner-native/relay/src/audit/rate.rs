//! How many records of each kind are written. Pure: it knows the time that it is told.

use std::time::Duration;

use hvym_tunnel_core::time::Instant;

use super::AuditKind;

/// Records of one kind at once, after a pause.
const BURST: u32 = 20;
/// Time between two records of one kind in the long run: 86 400 a day are some 20 MB.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Copy, Clone)]
struct KindRate {
    /// The theoretical arrival time of the next record at the rate of [`INTERVAL`].
    due: Instant,
    /// Left out since the last one that was written.
    suppressed: u64,
}

/// The rates of all kinds, none of which shares with another: a flood of wrong keys hides no ban.
pub(crate) struct AuditRate([KindRate; AuditKind::ALL.len()]);

impl Default for AuditRate {
    fn default() -> Self {
        Self([KindRate { due: Instant::ZERO, suppressed: 0 }; AuditKind::ALL.len()])
    }
}

impl AuditRate {
    /// One record. Returns how many were left out before it.
    ///
    /// # Errors
    /// It is left out too; how many are by now.
    pub(crate) fn record(&mut self, kind: AuditKind, now: Instant) -> Result<u64, u64> {
        let rate = &mut self.0[kind as usize];
        let due = rate.due.max(now);
        if due - now >= INTERVAL * BURST {
            rate.suppressed += 1;
            return Err(rate.suppressed);
        }
        rate.due = due + INTERVAL;
        Ok(std::mem::take(&mut rate.suppressed))
    }

    /// How many records of this kind were left out since the last one that was written; they count as told then.
    pub(crate) fn take(&mut self, kind: AuditKind) -> u64 {
        std::mem::take(&mut self.0[kind as usize].suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_counted_and_hides_no_other() {
        let (mut rate, mut now) = (AuditRate::default(), Instant::from_millis(5));
        for _ in 0..BURST {
            assert_eq!(rate.record(AuditKind::WrongKey, now), Ok(0));
        }
        for left_out in 1..=1000 {
            assert_eq!(rate.record(AuditKind::WrongKey, now), Err(left_out));
        }
        assert_eq!(rate.record(AuditKind::Banned, now), Ok(0));
        now = now + INTERVAL;
        assert_eq!(
            rate.record(AuditKind::WrongKey, now),
            Ok(1000),
            "one more, and what is missing before it"
        );
        assert_eq!(rate.record(AuditKind::WrongKey, now), Err(1));
        assert_eq!((rate.take(AuditKind::WrongKey), rate.take(AuditKind::WrongKey)), (1, 0));
        now = now + INTERVAL * BURST * 2;
        assert_eq!((0..1000).filter(|_| rate.record(AuditKind::WrongKey, now).is_ok()).count(), 20);
    }

    #[test]
    fn every_kind_has_a_rate_and_a_word_of_its_own() {
        for (index, kind) in AuditKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(AuditKind::ALL.iter().filter(|other| other.as_str() == kind.as_str()).count(), 1);
        }
    }
}
