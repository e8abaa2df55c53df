//! The inspector beside the agent of `expose`, or those of a manager.

use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_agent::{AgentHandle, AgentView, Inspection};
use hvym_tunnel_inspector::{Capture, DEFAULT_PORT, Inspector};

use crate::exit::{Exit, ExitError};
use crate::report::{Report, Reporter};

/// Where requests are shown, and which.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct InspectOptions {
    /// Where, or at the next port that is free.
    pub(crate) at: SocketAddr,
    /// Whether those of private services are shown too.
    pub(crate) private: bool,
    /// Whether a person asked for it, and must know if it cannot be.
    pub(crate) is_asked_for: bool,
}

/// An inspector that runs, until it is dropped.
pub(crate) struct Inspecting {
    _inspection: Inspection,
    _inspector: Inspector,
}

/// Shows the requests of `agent`.
///
/// # Errors
/// A person asked for it, and no port is free.
pub(crate) fn begin(
    options: Option<InspectOptions>,
    agent: &AgentHandle,
    reporter: &Reporter,
) -> Result<Option<Inspecting>, ExitError> {
    let Some(options) = options else { return Ok(None) };
    let capture = Capture::new(options.private);
    let (inspection, view) = (agent.inspect(capture.observer()), agent.view());
    let inspector = serve(options, capture, move || vec![view.clone()], reporter)?;
    Ok(inspector.map(|inspector| Inspecting { _inspection: inspection, _inspector: inspector }))
}

/// Shows what `capture` keeps of `agents`. `None`: it cannot be, and nobody asked for it.
///
/// # Errors
/// As for [`begin`].
pub(crate) fn serve(
    options: InspectOptions,
    capture: Arc<Capture>,
    agents: impl Fn() -> Vec<AgentView> + Send + Sync + 'static,
    reporter: &Reporter,
) -> Result<Option<Inspector>, ExitError> {
    // Of a port that somebody named, a script or a bookmark may know.
    let is_port_fixed = options.is_asked_for && options.at.port() != DEFAULT_PORT;
    let started = match is_port_fixed {
        true => Inspector::start_at(options.at, capture, agents),
        false => Inspector::start(options.at, capture, agents),
    };
    match started {
        Ok(inspector) => {
            reporter.tell(&Report::Inspecting { url: inspector.url() });
            Ok(Some(inspector))
        }
        Err(error) if options.is_asked_for => {
            let message = format!("requests cannot be shown at {}: {error}", options.at);
            Err(ExitError::new(Exit::Config, message).with_hint("name another port: --inspect=PORT"))
        }
        Err(error) => {
            tracing::warn!(%error, at = %options.at, "requests are not shown in a browser");
            Ok(None)
        }
    }
}
