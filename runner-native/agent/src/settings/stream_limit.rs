//! How many streams an agent lets its relay open on one link. Knows no link.

/// Streams of one link, whatever the system allows: twice what a relay opens by default. An idle one costs a few KiB.
const MAX_STREAMS: usize = 16_384;
/// Files that are no connection to a service: links, the poller, standard streams, files of a folder.
const OTHER_FILES: u64 = 64;

/// How many, where the process may have `open_files` open; `None` is no limit. Each stream has a connection to a service, and
/// the relay answers better than a connection that fails: it lets visitors wait, and says why.
pub(crate) fn max_streams(open_files: Option<u64>) -> usize {
    let connections = open_files.map(|files| files.saturating_sub(OTHER_FILES).max(1));
    let connections = connections.map_or(MAX_STREAMS, |files| usize::try_from(files).unwrap_or(MAX_STREAMS));
    connections.min(MAX_STREAMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_opens_no_more_streams_than_the_agent_may_have_files() {
        let files =
            [None, Some(u64::MAX), Some(16_449), Some(16_448), Some(16_447), Some(65), Some(64), Some(0)];
        let streams = [MAX_STREAMS, MAX_STREAMS, MAX_STREAMS, MAX_STREAMS, MAX_STREAMS - 1, 1, 1, 1];
        assert_eq!(files.map(max_streams), streams);
    }
}
