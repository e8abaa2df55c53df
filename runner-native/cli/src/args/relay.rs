//! `relay`: what a person types to run the public side.

use std::path::PathBuf;

use clap::Args;

use super::access_log::AccessLogArgs;
use super::identity::{IdentityRole, SourceArgs};
use super::operator::OperatorArgs;
use super::registry::{RegistryArgs, RelayCommand};
use super::tunely_env::TunelyEnv;
use super::{Cli, Command, Output};
use crate::exit::{EXIT_CODES, ExitError};
use hvym_tunnel_net::key::Source;
use hvym_tunnel_relay::config::{
    AdmissionSettings, ClusterSettings, GuestOptions, HttpsSettings, IngressSettings, KeepaliveSettings,
    Limits, LoginSettings, NameSettings, PublicSettings, RelayOptions, RestartSettings, TunnelPortSettings,
    UpstreamSettings, VisitorSettings,
};

const AFTER: &str = "\
Examples:
    hvym-tunnel relay                        on this machine alone, localhost:4896
    hvym-tunnel relay --domain tunnel.example --acme you@mail.example \\
        --dns-listen 0.0.0.0:53 --allow-agent G...
                                             public, with certificates by itself
    hvym-tunnel relay --domain tunnel.example --listen 0.0.0.0:443 \\
        --tls-cert cert.pem --tls-key key.pem --allow-agent G...
    hvym-tunnel relay --domain tunnel.example --public-scheme https --open
                                             for everybody's agents, behind a
                                             proxy that speaks TLS

tunnel.example and every name below it must lead to the relay. The first lines
of standard output are its URL and the command for an agent. Every option
--so-named can be set by a variable HVYM_TUNNEL_SO_NAMED.";

/// Run a relay, where agents connect and visitors come
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct RelayArgs {
    // Fields: one for each group of options.
    #[command(flatten)]
    ingress: IngressSettings,
    #[command(flatten)]
    https: HttpsSettings,
    #[command(flatten)]
    public: PublicSettings,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    admission: AdmissionSettings,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    #[command(flatten)]
    login: LoginSettings,
    #[command(flatten)]
    names: NameSettings,
    #[command(flatten)]
    restart: RestartSettings,
    #[command(flatten)]
    cluster: ClusterSettings,
    #[command(flatten)]
    upstream: UpstreamSettings,
    #[command(flatten)]
    keepalive: KeepaliveSettings,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    visitors: VisitorSettings,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    tunnel_ports: TunnelPortSettings,
    #[command(flatten)]
    pub(crate) access_log: AccessLogArgs,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Option<RelayCommand>,
}

/// The options of this process's command line, with the file that it names as it is now.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn options_again() -> Result<RelayOptions, String> {
    let cli = Cli::parse(std::env::args_os().collect()).map_err(|error| error.to_string())?;
    match cli.command {
        Command::Relay(arguments) => {
            arguments.options().map(|(_, options)| options).map_err(|error| error.message)
        }
        _ => Err("this process runs no relay".to_owned()),
    }
}

impl RelayArgs {
    /// The file of the relay's identity.
    ///
    /// # Errors
    /// There is no home folder.
    pub(crate) fn identity_file(&self) -> Result<PathBuf, ExitError> {
        Ok(self.source.source(IdentityRole::Relay).destination()?.to_owned())
    }

    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, RelayOptions), ExitError> {
        let source = self.source.source(IdentityRole::Relay);
        let has_tunely_env = self.registry.tunely_env;
        let mut options = RelayOptions {
            ingress: self.ingress,
            public: self.public,
            https: self.https,
            admission: self.admission,
            access: self.operator.access,
            login: self.login,
            state: self.operator.state,
            admin: self.operator.admin,
            names: self.names,
            restart: self.restart,
            cluster: self.cluster,
            upstream: self.upstream,
            keepalive: self.keepalive,
            limits: self.limits,
            visitors: self.visitors,
            tunnel_ports: self.tunnel_ports,
            guests: GuestOptions::default(),
        };
        options.load_guests()?;
        if has_tunely_env {
            TunelyEnv::of_process().add_to(&mut options.guests)?;
        }
        options.check()?;
        options.check_access()?;
        Ok((source, options))
    }
}
