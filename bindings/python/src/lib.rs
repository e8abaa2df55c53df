//! The native module of the Python package `hvym_tunnel`: agents, relays and identities.
//!
//! It calls no Python code and knows no event loop: Python calls in, and whatever waits does so without the interpreter's lock.
//! Settings come in and events go out as JSON, as `hvym-tunnel-json` has them.

mod agent;
mod error;
mod identity;
mod logging;
mod process;
mod relay;
mod tunnels;

use pyo3::prelude::*;

/// No state of it is guarded by the interpreter's lock, so an interpreter without one may run it.
#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<identity::Identity>()?;
    module.add_class::<agent::Agent>()?;
    module.add_class::<agent::AgentEvents>()?;
    module.add_class::<relay::Relay>()?;
    module.add_class::<relay::RelayEvents>()?;
    module.add_function(wrap_pyfunction!(identity::signing_input, module)?)?;
    module.add_function(wrap_pyfunction!(tunnels::import_tunnels, module)?)?;
    module.add_function(wrap_pyfunction!(logging::set_log_level, module)?)?;
    module.add_function(wrap_pyfunction!(logging::next_log_records, module)?)?;
    module.add_function(wrap_pyfunction!(logging::stop_logging, module)?)?;
    Ok(())
}
