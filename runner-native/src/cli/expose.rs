//! `expose`: what a person types to give local services an address.

use clap::Args;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::stellar::Address;

use super::Output;
use super::exit::{EXIT_CODES, Failure};
use super::identity::{Role, SourceArgs};
use super::link::LinkArgs;
use crate::config::{ConfigError, ExposeOptions};
use crate::key::Source;
use crate::target::{Binding, ServiceName, Target};

const AFTER: &str = "\
Examples:
    hvym-tunnel expose 3000
    hvym-tunnel expose 3000 --relay tunnel.example --relay-address GRELAY...
    hvym-tunnel expose https+insecure://localhost:8443 --service api
    hvym-tunnel expose tcp://localhost:5432 --service db
    hvym-tunnel expose 3000 --bind api=3001 --bind docs=docs.internal:80
    hvym-tunnel expose tcp://localhost:5432 --service db --private --allow GFRIEND...
    hvym-tunnel expose 3000 --url-file url.txt --json | tee events.jsonl

The URL stands alone on the first line of standard output. Ctrl-C once finishes
what is under way (10 s at most), twice stops at once. Every option --so-named
can be set by a variable HVYM_TUNNEL_SO_NAMED. The way to the relay goes through
a proxy where HTTPS_PROXY (for ws:// HTTP_PROXY) or ALL_PROXY names one, as
http://, socks5:// or socks5h://, and NO_PROXY does not except the relay.";

/// Give a service on this machine a public address
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct ExposeArgs {
    /// What to expose: 3000, host:3000, https://host, unix:/path, ./folder, h2c:// or tcp://host:port
    ///
    /// http:// is what a place without a scheme means, and a bare port is on localhost. https+insecure:// takes any
    /// certificate. unix: is HTTP over a Unix socket. Of a folder the files are served. h2c:// is HTTP/2 without TLS,
    /// as gRPC needs it. tcp:// is anything else.
    target: Target,
    /// The name of the service
    ///
    /// It is reached at the bare address, and under this name before it.
    #[arg(long, value_name = "NAME", default_value = "web", env = "HVYM_TUNNEL_SERVICE", hide_env = true)]
    service: ServiceName,
    /// Expose one more service under its own name; repeat for more
    #[arg(
        long,
        value_name = "NAME=TARGET",
        value_delimiter = ',',
        env = "HVYM_TUNNEL_BIND",
        hide_env = true
    )]
    bind: Vec<Binding>,
    /// Send services this Host, for those that refuse the public name; often localhost:PORT
    #[arg(long, value_name = "HOST", value_parser = host, env = "HVYM_TUNNEL_HOST_HEADER", hide_env = true)]
    host_header: Option<String>,
    /// Tell TCP services who the visitor is, before the first byte (PROXY protocol, version 2)
    #[arg(long, env = "HVYM_TUNNEL_PROXY_PROTOCOL", hide_env = true)]
    proxy_protocol: bool,
    /// Stop (exit 7) if nothing listens at a target at the start
    #[arg(long, env = "HVYM_TUNNEL_REQUIRE_UPSTREAM", hide_env = true)]
    require_upstream: bool,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    link: LinkArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Who may reach it")]
struct AccessArgs {
    /// Keep visitors out: only identities named by --allow reach the services, by hvym-tunnel forward
    #[arg(long, env = "HVYM_TUNNEL_PRIVATE", hide_env = true)]
    private: bool,
    /// Let in the identity with this address (G...); repeat for more
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', env = "HVYM_TUNNEL_ALLOW", hide_env = true)]
    allow: Vec<Address>,
}

impl AccessArgs {
    fn access(self) -> Result<Access, ConfigError> {
        match (self.private, self.allow) {
            (true, allow) => Ok(Access::Private(allow.into_iter().collect())),
            (false, allow) if allow.is_empty() => Ok(Access::Public),
            (false, _) => Err(ConfigError::AllowedButPublic),
        }
    }
}

impl ExposeArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, ExposeOptions), Failure> {
        let source = self.source.source(Role::Agent);
        let first = Binding { service: self.service, target: self.target };
        let options = ExposeOptions {
            link: self.link.options(),
            access: self.access.access()?,
            bindings: std::iter::once(first).chain(self.bind).collect(),
            host_header: self.host_header,
            proxy_protocol: self.proxy_protocol,
            require_upstream: self.require_upstream,
        };
        options.check()?;
        Ok((source, options))
    }
}

/// A value of the `Host` field (RFC 9110 section 7.2), no more: what else could be sent with it would be another field.
fn host(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    match text {
        "" => Err("a host is needed, as in localhost:3000".to_owned()),
        text if text.bytes().all(allowed) => Ok(text.to_owned()),
        _ => Err("a host has only letters, digits, - . _ : and brackets".to_owned()),
    }
}
