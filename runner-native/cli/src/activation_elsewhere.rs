//! Sockets that whoever started this process has opened for it, on systems where nobody does.

use std::sync::Arc;

use hvym_tunnel_manager::api::PassedSockets;
use hvym_tunnel_relay::InheritedListener;

use crate::exit::ExitError;

/// None.
pub(crate) fn relay_listeners() -> Result<Vec<InheritedListener>, ExitError> {
    Ok(Vec::new())
}

/// `None`.
pub(crate) fn api_sockets() -> Result<Option<Arc<PassedSockets>>, ExitError> {
    Ok(None)
}
