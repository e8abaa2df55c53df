//! A running relay, and its events.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_json::relay_options;
use hvym_tunnel_relay::{self as relay, RelayHandle};
use pyo3::prelude::*;

use crate::error::{invalid, of_relay};
use crate::identity::Identity;
use crate::process::{OwnedByProcess, runtime};
use crate::tunnels;

/// A running relay. Dropped, it stops.
#[pyclass(frozen)]
pub(crate) struct Relay {
    handle: OwnedByProcess<Arc<RelayHandle>>,
}

/// The events of a relay. They end with it.
#[pyclass(frozen)]
pub(crate) struct RelayEvents {
    events: OwnedByProcess<relay::RelayEvents>,
}

#[pymethods]
impl Relay {
    /// Listens, and serves. ``options`` is JSON; ``database`` is the URL of a database with the tunnels of Tunely's agents.
    #[new]
    #[pyo3(signature = (identity, options, database = None))]
    fn new(py: Python<'_>, identity: &Identity, options: &str, database: Option<&str>) -> PyResult<Self> {
        let options = relay_options::parse(options).map_err(|error| invalid(py, error))?;
        let mut builder = relay::Relay::builder(identity.key.clone()).options(options);
        let runtime = runtime(py)?;
        if let Some(url) = database {
            builder = builder.tunnels(tunnels::open(py, &runtime, url)?);
        }
        let started = py.detach(|| builder.start(&runtime));
        let handle = started.map_err(|error| of_relay(py, &error))?;
        Ok(Self { handle: OwnedByProcess::new(Arc::new(handle)) })
    }

    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.handle.get(py)?.address().to_string())
    }

    /// Where it listens: an IP address and a port.
    #[getter]
    fn listen(&self, py: Python<'_>) -> PyResult<(String, u16)> {
        let at = self.handle.get(py)?.local_addr();
        Ok((at.ip().to_string(), at.port()))
    }

    /// The URL of its own page, and the URL that agents dial.
    #[getter]
    fn urls(&self, py: Python<'_>) -> PyResult<(String, String)> {
        Ok(self.handle.get(py)?.urls())
    }

    /// The events from the start on, each of which goes to one reader.
    fn events(&self, py: Python<'_>) -> PyResult<RelayEvents> {
        Ok(RelayEvents { events: OwnedByProcess::new(self.handle.get(py)?.events()) })
    }

    /// Where it is reached, and its counters, as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        let status = hvym_tunnel_json::relay::status(self.handle.get(py)?);
        Ok(status.to_string())
    }

    /// Takes over other options while it runs, as far as they can change then.
    fn apply(&self, py: Python<'_>, options: &str) -> PyResult<()> {
        let options = relay_options::parse(options).map_err(|error| invalid(py, error))?;
        let handle = self.handle.get(py)?;
        let applied = py.detach(|| handle.apply(options));
        applied.map(drop).map_err(|error| of_relay(py, &error))
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

    /// Waits for the end.
    fn closed(&self, py: Python<'_>) -> PyResult<()> {
        let handle = self.handle.get(py)?;
        py.detach(|| smol::block_on(handle.closed()));
        Ok(())
    }
}

#[pymethods]
impl RelayEvents {
    /// Waits for events, each as JSON; ``None`` after the last.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Vec<String>>> {
        let events = self.events.get(py)?;
        let next = py.detach(|| smol::block_on(events.next()));
        Ok(next.map(|event| vec![hvym_tunnel_json::relay::event(&event).to_string()]))
    }
}
