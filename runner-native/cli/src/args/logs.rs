//! Where log lines go: standard error, between the reports, never through them; and files, once somebody opens them.

use hvym_tunnel_net::trace::TARGET;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::report::{PlainEvents, Reporter};
use crate::trace_file::TraceFile;

/// Logs from now on. `HVYM_TUNNEL_LOG`, or else `RUST_LOG`, decides what; without them `verbose` does, and without that only what
/// is wrong is told, in the words of the reports.
/// `trace` gets the events of the data path.
pub(crate) fn begin(verbose: u8, trace: Option<TraceFile>, reporter: &Reporter) {
    let asked = ["HVYM_TUNNEL_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok());
    if subscriber(verbose, asked, trace, reporter).try_init().is_err() {
        tracing::debug!("logging had begun already");
    }
}

/// What formats log lines. What strangers sent is in them as it came: [`Reporter::log`] escapes whole lines.
pub(crate) fn subscriber(
    verbose: u8,
    asked: Option<String>,
    trace: Option<TraceFile>,
    reporter: &Reporter,
) -> impl tracing::Subscriber + Send + Sync + 'static {
    let asked = asked.filter(|text| !text.is_empty());
    let is_wanted = verbose > 0 || asked.is_some();
    let filter = asked.unwrap_or_else(|| {
        // Other crates write whole TLS and HTTP conversations below `info`.
        let (ours, others) = match verbose {
            0 => ("warn", "error"),
            1 => ("info", "error"),
            2 => ("debug", "warn"),
            _ => ("trace", "info"),
        };
        format!("{others},hvym_tunnel={ours},hvym_tunnel_core={ours}")
    });
    let (reporter, files) = (reporter.clone(), reporter.log_files().layer());
    let log = tracing_subscriber::fmt::layer().with_writer(move || reporter.log()).with_ansi(false);
    // Whoever asks for no log reads what is wrong as everything else.
    let log = match is_wanted {
        true => log.boxed(),
        false => log.event_format(PlainEvents).boxed(),
    };
    let log = log.with_filter(EnvFilter::new(filter));
    let trace = trace.map(|file| file.with_filter(filter_fn(|metadata| metadata.target() == TARGET)));
    tracing_subscriber::registry().with(files).with(log).with(trace)
}
