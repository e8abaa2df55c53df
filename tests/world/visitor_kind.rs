//! How visitors behave. It knows neither their connections nor what they ask for.

/// How a visitor behaves.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum VisitorKind {
    /// Asks, reads, waits, asks again.
    Honest,
    /// Honest, behind a line of so many bytes a second.
    Reader(u64),
    /// Honest, and downloads as much as the line of its agent carries in a quarter of a minute.
    Bulk,
    /// Upgrades, and has a conversation.
    Chatting,
    /// The same over a TCP service.
    Tcp,
    /// Reads so few bytes a second that it is in the way.
    Crawling(u64),
    /// Asks for much and reads nothing.
    Stalled,
    /// Upgrades, and says nothing.
    Silent,
    /// Breaks off now and then.
    Aborting,
    /// Asks and breaks off as fast as it can.
    Flooding,
    /// Logs in, and lets its body be taken for requests.
    Hostile,
    /// Sends what is no HTTP.
    Garbage,
    /// Sends its body a byte at a time.
    Dribbling,
    /// Does what was recorded.
    Traced,
}

impl VisitorKind {
    /// Whether it must be served, whatever others do.
    pub(crate) fn is_honest(self) -> bool {
        matches!(
            self,
            VisitorKind::Honest
                | VisitorKind::Reader(_)
                | VisitorKind::Bulk
                | VisitorKind::Chatting
                | VisitorKind::Tcp
                | VisitorKind::Traced
        )
    }

    /// Whether what it does outlasts a planned end of its agent.
    pub(crate) fn is_long(self) -> bool {
        self.is_honest() && self != VisitorKind::Honest
    }

    /// Whether it reads by its own clock, and not when something arrives.
    pub(crate) fn reads_later(self) -> bool {
        matches!(self, VisitorKind::Stalled | VisitorKind::Crawling(_) | VisitorKind::Reader(_))
    }

    /// Whether it has a conversation instead of requests.
    pub(crate) fn talks(self) -> bool {
        matches!(self, VisitorKind::Chatting | VisitorKind::Tcp | VisitorKind::Silent)
    }
}
