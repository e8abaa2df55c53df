//! What has come from agents and was not read by visitors, of all sessions together. Knows no visitor: a session decides which of its
//! streams go.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_net::timer::Timer;

use crate::relay_state::RelayState;
use crate::sessions::AgentSession;

/// How often it is looked at. A gigabit brings 128 MB meanwhile.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same while there is more than there may be: a session gives up some streams each time.
const INTERVAL_ABOVE: Duration = Duration::from_millis(50);

/// Keeps what is unread below [`Limits::unread_mib`](crate::config::Limits::unread_mib), until the relay ends.
pub(crate) async fn limit_unread(state: Arc<RelayState>) {
    let max = state.settings.options.limits.unread_mib.saturating_mul(1024 * 1024);
    let mut interval = INTERVAL;
    loop {
        Timer::after(interval).await;
        let sessions = state.sessions.all();
        let held: Vec<usize> = sessions.iter().map(unread).collect();
        let kept = level(&held, max);
        let is_above = held.iter().any(|held| *held > kept);
        interval = if is_above { INTERVAL_ABOVE } else { INTERVAL };
        if !is_above {
            continue;
        }
        tracing::warn!(
            unread = held.iter().sum::<usize>(),
            max,
            "too much is unread: streams that stand still are reset"
        );
        for (session, held) in sessions.iter().zip(held).filter(|(_, held)| *held > kept) {
            session.session.with(|session, now| session.shed_unread(held - kept, now));
        }
    }
}

/// What visitors have not read of one session.
pub(crate) fn unread(session: &AgentSession) -> usize {
    session.session.look(|session| session.stream_counts().map(|counts| counts.unread).sum())
}

/// What each may keep so that all together have `max` at most, and those with little keep it all.
fn level(held: &[usize], max: usize) -> usize {
    let mut sorted = held.to_vec();
    sorted.sort_unstable();
    let mut left = max;
    for (at, held) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - at);
        if *held > share {
            return share;
        }
        left -= held;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_hold_most_give_up_what_is_too_much() {
        for (held, max, expected) in [
            (&[][..], 0, usize::MAX),
            (&[10, 20, 30], 61, usize::MAX),
            (&[10, 20, 30], 60, usize::MAX),
            (&[10, 20, 30], 59, 29),
            (&[30, 10, 20], 50, 20),
            (&[30, 10, 20], 49, 19),
            (&[30, 10, 20], 30, 10),
            (&[30, 10, 20], 29, 9),
            (&[5, 0], 0, 0),
            (&[usize::MAX / 2, 1], 100, 99),
        ] {
            let kept = level(held, max);
            assert_eq!(kept, expected, "{held:?} {max}");
            assert!(held.iter().map(|held| (*held).min(kept)).sum::<usize>() <= max);
        }
    }
}
