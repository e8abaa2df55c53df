//! Where terminals are no Unix terminals, keys do nothing.

use std::sync::Arc;

use hvym_tunnel_net::runtime::Task;

use crate::agent_reports::AgentReports;
use crate::report::Reporter;

/// Listens to nothing.
pub(crate) fn listen(
    _reports: &Arc<AgentReports>,
    _reporter: &Reporter,
    _shows_code: bool,
) -> Option<Task<()>> {
    None
}
