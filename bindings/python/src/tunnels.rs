//! The database with the tunnels of Tunely's agents.

use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_registry::{DatabaseUrl, Migrate, RegistryError, TunnelRegistry, import_tunely};
use pyo3::prelude::*;

use crate::error::{exception, invalid};
use crate::process::runtime;

/// Opens the database at `url`, and makes its tables if there are none.
///
/// # Errors
/// It cannot be reached, or its tables are of another version or program.
pub(crate) fn open(py: Python<'_>, runtime: &RuntimeHandle, url: &str) -> PyResult<TunnelRegistry> {
    let url = parse(py, url)?;
    let opened = py.detach(|| {
        let _inside = runtime.enter();
        smol::block_on(TunnelRegistry::open(&url, Migrate::IfEmpty))
    });
    opened.map_err(|error| failed(py, &error))
}

/// Adds the tunnels of a database of Tunely's own server to that of a relay, which does not run. Returns how many, and the names
/// that were left out because no host name is like that, and because they were taken.
#[pyfunction]
pub(crate) fn import_tunnels(
    py: Python<'_>,
    source: &str,
    destination: &str,
) -> PyResult<(usize, Vec<String>, Vec<String>)> {
    let (source, destination, runtime) = (parse(py, source)?, parse(py, destination)?, runtime(py)?);
    let imported = py.detach(|| {
        let _inside = runtime.enter();
        smol::block_on(import_tunely(&source, &destination))
    });
    let report = imported.map_err(|error| failed(py, &error))?;
    Ok((report.imported, report.unusable, report.taken))
}

fn parse(py: Python<'_>, url: &str) -> PyResult<DatabaseUrl> {
    url.parse().map_err(|error| invalid(py, error))
}

fn failed(py: Python<'_>, error: &RegistryError) -> PyErr {
    exception(py, "database", error)
}
