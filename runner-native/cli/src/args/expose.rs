//! `expose`: what a person types to give local services an address.

use std::net::SocketAddr;

use clap::Args;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::stellar::Address;

use super::compat::CompatArgs;
use super::identity::{IdentityRole, SourceArgs, known_relays};
use super::inspect::InspectArgs;
use super::names::NameArgs;
use super::own_relay::OwnRelayArgs;
use super::sessions::SessionArgs;
use super::upstream::UpstreamArgs;
use super::{OptionError, Output};
use crate::exit::{EXIT_CODES, ExitError};
use crate::expose::ExposeOptions;
use hvym_tunnel_agent::ServiceSpec;
use hvym_tunnel_agent::settings::{FilterSettings, LinkSettings, SettingsError};
use hvym_tunnel_net::key::Source;
use hvym_tunnel_net::target::{Binding, ServiceName, Target};
use hvym_tunnel_relay::config::listen_address;

const AFTER: &str = "\
Examples:
    hvym-tunnel expose 3000
    hvym-tunnel expose 3000 --lan
    hvym-tunnel expose 3000 --relay tunnel.example --relay-address GRELAY...
    hvym-tunnel expose https+insecure://localhost:8443 --service api
    hvym-tunnel expose 3000 --name cool-app --relay tunnel.example
    hvym-tunnel expose tcp://localhost:5432 --service db
    hvym-tunnel expose 3000 --bind api=3001 --bind docs=./public
    hvym-tunnel expose ./site --basic-auth-file accounts.txt
    hvym-tunnel expose tcp://localhost:5432 --service db --private --allow GFRIEND...
    hvym-tunnel expose 3000 --relay wss://tunely.example --dialect tunely --token-file token.txt
    hvym-tunnel expose 3000 --url-file url.txt --json | tee events.jsonl

The URL stands alone on the first line of standard output. On a terminal the key
q shows it as a QR code, c copies it and o opens it. Ctrl-C once finishes
what is under way (10 s at most), twice stops at once. Every option --so-named
can be set by a variable HVYM_TUNNEL_SO_NAMED. The way to the relay goes through
a proxy where HTTPS_PROXY (for ws:// HTTP_PROXY) or ALL_PROXY names one, as
http://, socks5:// or socks5h://, and NO_PROXY does not except the relay.";

/// Give a service on this machine a public address
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct ExposeArgs {
    // Fields: the options of this command, and one for each group of options.
    /// What to expose: 3000, host:3000, https://host, unix:/path, ./folder, h2c:// or tcp://host:port
    ///
    /// http:// is what a place without a scheme means, and a bare port is on localhost. https+insecure:// takes any
    /// certificate. unix: is HTTP over a Unix socket. Of a folder the files are served. h2c:// is HTTP/2 without TLS,
    /// as gRPC needs it. tcp:// is anything else.
    target: Target,
    /// The name of the service
    ///
    /// It is reached under this name, and at the bare address if it is web or nothing else is exposed. Without it: web, or
    /// the first that the relay lists, if its operator does not let web in.
    #[arg(long, value_name = "NAME", env = "HVYM_TUNNEL_SERVICE", hide_env = true)]
    service: Option<ServiceName>,
    /// Expose one more service under its own name; repeat for more
    #[arg(
        long,
        value_name = "NAME=TARGET",
        value_delimiter = ',',
        env = "HVYM_TUNNEL_BIND",
        hide_env = true
    )]
    bind: Vec<Binding>,
    #[command(flatten)]
    upstream: UpstreamArgs,
    #[command(flatten)]
    filter: FilterSettings,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    link: LinkSettings,
    #[command(flatten)]
    own_relay: OwnRelayArgs,
    #[command(flatten)]
    compat: CompatArgs,
    #[command(flatten)]
    inspect: InspectArgs,
    /// Leave a manager of yours alone that runs, and whose link could be shared
    ///
    /// Otherwise what needs nothing but a link to the same relay, with the same identity, is offered by the manager for as long as
    /// this command runs.
    #[arg(long, env = "HVYM_TUNNEL_ALONE", hide_env = true)]
    alone: bool,
    /// Have the API of a manager while it runs: at port 8765 of this machine, or at this address of it
    ///
    /// By it other programs see the link, and stop and start it. There is no variable for it: HVYM_TUNNEL_API names the API of a
    /// manager for the commands that ask one.
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:8765",
        value_parser = listen_address
    )]
    api: Option<SocketAddr>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Who may reach it")]
struct AccessArgs {
    /// Keep visitors out: you, whom you share with, and identities named by --allow reach the services, by forward
    #[arg(long, env = "HVYM_TUNNEL_PRIVATE", hide_env = true)]
    private: bool,
    /// Let in the identity with this address (G...); repeat for more
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', env = "HVYM_TUNNEL_ALLOW", hide_env = true)]
    allow: Vec<Address>,
    #[command(flatten)]
    sessions: SessionArgs,
}

impl AccessArgs {
    fn access(self) -> Result<Access, OptionError> {
        match (self.private, self.allow) {
            (true, allow) => Ok(Access::Private(allow.into_iter().collect())),
            (false, allow) if allow.is_empty() => Ok(Access::Public),
            (false, _) => Err(OptionError::AllowedButPublic),
        }
    }
}

impl ExposeArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, ExposeOptions), ExitError> {
        let source = self.source.source(IdentityRole::Agent);
        let compat = self.compat.settings()?;
        let on_conflict = self.access.sessions.on_conflict();
        let process_label = self.access.sessions.label();
        let access = self.access.access()?;
        let filter = self.filter.with_file().map_err(SettingsError::from)?;
        let is_named = self.service.is_some();
        let service = self.service.unwrap_or_else(ServiceName::web);
        let first = Binding { service, target: self.target };
        let bindings: Vec<_> = std::iter::once(first).chain(self.bind).collect();
        let has_tcp = bindings.iter().any(|binding| binding.target.proto() == Proto::Tcp);
        let spec = |Binding { service, target }| {
            // Of several services, those that carry bytes are meant. If there is none, the check says so.
            let proxy_protocol = self.upstream.proxy_protocol && (target.proto() == Proto::Tcp || !has_tcp);
            let mut spec = ServiceSpec::new(service, target);
            (spec.access, spec.filter, spec.proxy_protocol) =
                (access.clone(), filter.clone(), proxy_protocol);
            spec.ca.clone_from(&self.upstream.ca_file);
            spec.on_conflict = on_conflict;
            spec
        };
        let options = ExposeOptions {
            link: self.link,
            compat,
            known_relays: known_relays(&source),
            own_relay: self.own_relay.own_relay(),
            process_label,
            services: bindings.into_iter().map(spec).collect(),
            is_named,
            names: self.names.names,
            require_upstream: self.upstream.require_upstream,
            inspect: self.inspect.options(self.output.is_json()),
            alone: self.alone,
            api: self.api,
        };
        options.check()?;
        Ok((source, options))
    }
}
