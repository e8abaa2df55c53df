//! A running agent, and its events.

use std::time::Duration;

use hvym_tunnel_agent::settings::{CompatSettings, CompatSystem, LinkSettings};
use hvym_tunnel_agent::{self as agent, AgentHandle};
use hvym_tunnel_core::stellar::Signature;
use hvym_tunnel_core::stellar::delegation::{Delegation, SignatureForm, SignedDelegation};
use hvym_tunnel_json::{code, service};
use pyo3::prelude::*;

use crate::error::{invalid, of_agent};
use crate::identity::Identity;
use crate::process::{OwnedByProcess, runtime};

/// How many events are handed over at once.
const BATCH: usize = 256;

/// A running agent. Dropped, it closes its link and ends.
#[pyclass(frozen)]
pub(crate) struct Agent {
    handle: OwnedByProcess<AgentHandle>,
}

/// The events of an agent. They end with it.
#[pyclass(frozen)]
pub(crate) struct AgentEvents {
    events: OwnedByProcess<agent::AgentEvents>,
}

#[pymethods]
impl Agent {
    /// Starts dialling at once. ``link`` and ``services`` are JSON; ``login`` is the token of a server of
    /// Tunely, and whether to take the place of another agent there; ``delegation`` is a text and the signature of its owner.
    #[new]
    #[pyo3(signature = (identity, link, services, *, names, login = None, delegation = None))]
    fn new(
        py: Python<'_>,
        identity: &Identity,
        link: &str,
        services: Vec<String>,
        names: Vec<String>,
        login: Option<(String, bool)>,
        delegation: Option<(String, [u8; 64])>,
    ) -> PyResult<Self> {
        let link: LinkSettings = serde_json::from_str(link).map_err(|error| invalid(py, error))?;
        let mut builder = agent::Agent::builder(identity.key.clone()).link(link);
        for text in &services {
            builder = builder.service(service::parse(text).map_err(|error| invalid(py, error))?);
        }
        for name in names {
            builder = builder.name(name);
        }
        if let Some((token, force)) = login {
            let token = token.parse().map_err(|error| invalid(py, error))?;
            builder = builder.compat(CompatSettings {
                system: CompatSystem::Tunely,
                token,
                token_file: None,
                force,
            });
        }
        if let Some((text, signature)) = delegation {
            builder = builder.delegation(signed(py, &text, signature)?);
        }
        let runtime = runtime(py)?;
        let started = py.detach(|| builder.start(&runtime));
        let handle = started.map_err(|error| of_agent(py, &error))?;
        Ok(Self { handle: OwnedByProcess::new(handle) })
    }

    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.handle.get(py)?.address().to_string())
    }

    /// The events from the start on, each of which goes to one reader.
    fn events(&self, py: Python<'_>) -> PyResult<AgentEvents> {
        Ok(AgentEvents { events: OwnedByProcess::new(self.handle.get(py)?.events()) })
    }

    /// How things stand, as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        let status = hvym_tunnel_json::agent::status(&self.handle.get(py)?.status());
        Ok(status.to_string())
    }

    /// Offers one more service; with ``replace``, in place of the one of its name.
    fn bind(&self, py: Python<'_>, service: &str, replace: bool) -> PyResult<()> {
        let spec = service::parse(service).map_err(|error| invalid(py, error))?;
        let handle = self.handle.get(py)?;
        let bound =
            py.detach(|| if replace { handle.update_service(spec) } else { handle.add_service(spec) });
        bound.map_err(|error| of_agent(py, &error))
    }

    /// Withdraws a service.
    fn unbind(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let name = name.parse().map_err(|error| invalid(py, error))?;
        self.handle.get(py)?.remove_service(&name).map_err(|error| of_agent(py, &error))
    }

    /// Ends when no request runs any more, at the latest after this many seconds.
    fn drain(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let deadline = Duration::try_from_secs_f64(seconds).map_err(|error| invalid(py, error))?;
        self.handle.get(py)?.drain(deadline);
        Ok(())
    }

    /// Ends at once.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.get(py)?.stop();
        Ok(())
    }

    /// Waits for the end: ``None`` if it was asked for, else the code and the text of the error.
    fn closed(&self, py: Python<'_>) -> PyResult<Option<(&'static str, String)>> {
        let handle = self.handle.get(py)?;
        let outcome = py.detach(|| smol::block_on(handle.closed()));
        Ok(outcome.err().map(|error| (code::of_agent(&error), error.to_string())))
    }
}

#[pymethods]
impl AgentEvents {
    /// Waits for events, each as JSON; ``None`` after the last.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Vec<String>>> {
        let events = self.events.get(py)?;
        Ok(py.detach(|| {
            let first = smol::block_on(events.next())?;
            let more = std::iter::from_fn(|| events.try_next()).take(BATCH - 1);
            Some(
                std::iter::once(first)
                    .chain(more)
                    .map(|event| hvym_tunnel_json::agent::event(&event).to_string())
                    .collect(),
            )
        }))
    }
}

fn signed(py: Python<'_>, text: &str, signature: [u8; 64]) -> PyResult<SignedDelegation> {
    let delegation: Delegation = text.parse().map_err(|error| invalid(py, error))?;
    Ok(delegation.signed(Signature(signature), SignatureForm::Raw))
}
