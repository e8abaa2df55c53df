//! `health`: what a container or a load balancer runs to find out whether something answers.

use clap::Args;

const AFTER: &str = "\
Examples:
    hvym-tunnel health http://127.0.0.1:9100/readyz    a relay with --admin-listen
    hvym-tunnel health https://tunnel.example/readyz
    hvym-tunnel health unix:/run/relay/control.sock    /readyz at a Unix socket

It ends with 0 if the answer is a success, and with 6 if not.";

/// Ask a URL whether all is well, for the health check of a container
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(crate) struct HealthArgs {
    /// http://, https:// or unix: and a path; without a path, /readyz
    pub(crate) url: String,
}
