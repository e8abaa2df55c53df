//! The limit of open files of this process.

/// Raises the soft limit of open files, as far as the hard one allows, so that `connections` fit. Most systems start
/// a process with 1024, for the sake of programs that use `select`.
#[cfg(unix)]
pub(super) fn allow(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// Descriptors that are no connection: listener, poller, standard streams, logs.
    const OTHERS: u64 = 64;

    let old = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let wanted = old.maximum.map_or(wanted, |hard| wanted.min(hard));
    if old.current.is_some_and(|soft| soft < wanted) {
        let new = Rlimit { current: Some(wanted), maximum: old.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, new) {
            tracing::warn!(%error, wanted, "the limit of open files stays low, and with it the number of connections");
        }
    }
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(super) fn allow(_connections: usize) {}
