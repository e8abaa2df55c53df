//! How `expose` reaches the services that it gives an address.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub(super) struct UpstreamArgs {
    /// Tell TCP services who the visitor is, before the first byte (PROXY protocol, version 2)
    #[arg(long, env = "HVYM_TUNNEL_PROXY_PROTOCOL", hide_env = true)]
    pub(super) proxy_protocol: bool,
    /// Trust this certificate authority (PEM) beside the public ones, for https services
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_CA_FILE", hide_env = true)]
    pub(super) ca_file: Option<PathBuf>,
    /// Stop (exit 7) if nothing listens at a target at the start
    #[arg(long, env = "HVYM_TUNNEL_REQUIRE_UPSTREAM", hide_env = true)]
    pub(super) require_upstream: bool,
}
