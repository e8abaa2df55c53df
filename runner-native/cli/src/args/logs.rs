//! Where log lines go: standard error, between the reports, never through them.

use tracing_subscriber::EnvFilter;

use crate::report::Reporter;

/// Logs from now on. `HVYM_TUNNEL_LOG`, or else `RUST_LOG`, decides what; without them `verbose` does.
pub(crate) fn begin(verbose: u8, reporter: &Reporter) {
    let asked = ["HVYM_TUNNEL_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok());
    let filter = asked.filter(|text| !text.is_empty()).unwrap_or_else(|| {
        // Other crates write whole TLS and HTTP conversations below `info`.
        let (ours, others) = match verbose {
            0 => ("warn", "error"),
            1 => ("info", "error"),
            2 => ("debug", "warn"),
            _ => ("trace", "info"),
        };
        format!("{others},hvym_tunnel={ours},hvym_tunnel_core={ours}")
    });
    let reporter = reporter.clone();
    let begun = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(move || reporter.log())
        .with_ansi(false)
        .try_init();
    if begun.is_err() {
        tracing::debug!("logging had begun already");
    }
}
