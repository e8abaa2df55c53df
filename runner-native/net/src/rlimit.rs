//! The limit of open descriptors of this process.

/// Raises the soft limit of open descriptors to the hard one, and says what it is then; `None` is no limit. Most systems
/// start a process with 1024 for the sake of programs that use `select`, which we never do.
#[cfg(unix)]
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let old = getrlimit(Resource::Nofile);
    let wanted = highest(old.maximum);
    if old.current == wanted || old.current.is_none() {
        return old.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: old.maximum }) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            old.current
        }
    }
}

/// The hard limit, as far as the kernel takes it for a soft one.
#[cfg(unix)]
fn highest(hard: Option<u64>) -> Option<u64> {
    /// `OPEN_MAX` of macOS, beyond which `setrlimit` fails whatever the hard limit says (setrlimit(2)).
    const OPEN_MAX: u64 = 10_240;

    if cfg!(target_vendor = "apple") { Some(hard.map_or(OPEN_MAX, |hard| hard.min(OPEN_MAX))) } else { hard }
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub fn raise_open_files() -> Option<u64> {
    None
}
