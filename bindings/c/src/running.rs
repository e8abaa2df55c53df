//! What agents and relays have in common once they run.

use std::time::Duration;

use hvym_tunnel_net::runtime::Runtime;

use crate::error::Error;
use crate::event_queue::{EventQueue, Wait};

/// Something that runs until it is asked to end.
pub(crate) trait Running {
    /// Its events.
    fn events(&self) -> &EventQueue;
    /// Where it runs.
    fn runtime(&self) -> &Runtime;
    /// How things stand, as JSON.
    fn status(&self) -> String;
    /// Asks it to finish within this.
    fn drain(&self, deadline: Duration);
    /// Asks it to end at once.
    fn stop(&self);
    /// Waits for the end; `false`: it goes on.
    ///
    /// # Errors
    /// Why it ended, unless it was asked to.
    fn closed(&self, wait: Wait) -> Result<bool, Error>;
}
