//! `token`: prints one signed token, for programs that speak to a relay themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use hvym_tunnel_core::stellar::{Address, Claims, Scope};
use hvym_tunnel_core::time::UnixTime;

use super::identity::{IdentityRole, SourceArgs};
use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use hvym_tunnel_net::external_signer::ExternalSigner;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::target::ServiceName;

/// Print a token that proves who you are to one relay
///
/// Whoever has the token is you, at that relay, until it expires: where its HTTP routes are asked, unless another --scope makes it
/// good for a login instead. The token goes to standard output, one line about it
/// to standard error.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel token --audience GRELAY...
    curl -H \"Authorization: Bearer $(hvym-tunnel token --audience GRELAY... --lifetime 60)\" ...")]
pub(crate) struct TokenArgs {
    /// The address of the relay that is to believe it
    #[arg(long, value_name = "ADDRESS", env = "HVYM_TUNNEL_AUDIENCE", hide_env = true)]
    audience: Address,
    /// Seconds until it expires
    ///
    /// Relays refuse what is good for longer than a day, unless their operator says otherwise.
    #[arg(long, value_name = "SECS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=MAX_LIFETIME), env = "HVYM_TUNNEL_LIFETIME", hide_env = true)]
    lifetime: u32,
    /// The challenge it answers, as the relay sent it
    #[arg(long, value_name = "TEXT", env = "HVYM_TUNNEL_CHALLENGE", hide_env = true)]
    challenge: Option<String>,
    /// What it is good for
    #[arg(long, value_enum, default_value_t, env = "HVYM_TUNNEL_SCOPE", hide_env = true)]
    scope: TokenScope,
    /// The host name, with its port if that is not the usual one, by which the relay is dialled; a login needs it
    #[arg(long, value_name = "HOST", env = "HVYM_TUNNEL_HOST", hide_env = true)]
    host: Option<String>,
    /// A service it asks for; repeat for more
    #[arg(
        long = "service",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "web",
        env = "HVYM_TUNNEL_SERVICE",
        hide_env = true
    )]
    services: Vec<ServiceName>,
    #[command(flatten)]
    source: SourceArgs,
}

/// The longest lifetime in seconds: 31 days, the most that a relay's operator can allow.
const MAX_LIFETIME: i64 = 31 * 86_400;

/// What a token is good for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, ValueEnum)]
enum TokenScope {
    /// The relay's HTTP routes, and no login
    #[default]
    Api,
    /// A login that may bind services
    Agent,
    /// A login that reaches services of others
    Call,
}

impl From<TokenScope> for Scope {
    fn from(scope: TokenScope) -> Self {
        match scope {
            TokenScope::Api => Scope::Api,
            TokenScope::Agent => Scope::Agent,
            TokenScope::Call => Scope::Call,
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &TokenArgs) -> Result<(), ExitError> {
    let source = arguments.source.source(IdentityRole::Agent);
    let signer: Signer = match source.signer.clone() {
        Some(place) => Signer::asked_each_time(ExternalSigner::connect(place)?),
        None => Identity::load(&source)?.into(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| {
        ExitError::new(Exit::Unexpected, "the clock of this machine is before 1970").with_hint("set it")
    })?;
    let mut claims =
        Claims::new(signer.address(), arguments.audience.to_string(), UnixTime::from_secs(now.as_secs()))
            .with_services(arguments.services.iter().map(ServiceName::as_str))
            .with_lifetime(Some(Duration::from_secs(arguments.lifetime.into())));
    if let Some(host) = &arguments.host {
        claims = claims.with_host(&host.to_ascii_lowercase());
    }
    claims = claims.with_scope(arguments.scope.into());
    if let Some(challenge) = &arguments.challenge {
        claims = claims.with_challenge(challenge);
    }
    let input = claims.signing_input();
    let signature = signer.sign(&input)?;
    let token = input
        .into_token(signature)
        .map_err(|error| ExitError::new(Exit::Unexpected, format!("cannot make a token: {error}")))?;
    eprintln!(
        "{} to {}, expires in {} s (unix time {})",
        signer.address(),
        arguments.audience,
        arguments.lifetime,
        now.as_secs() + u64::from(arguments.lifetime)
    );
    write_out(format!("{}\n", token.as_str()).as_bytes())
}
