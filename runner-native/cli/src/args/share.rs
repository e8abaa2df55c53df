//! `share`: a link with which somebody without a key of their own reaches one service for a while.

use std::time::Duration;

use clap::Args;
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::delegation::{Delegation, Scopes, ShareLink, Timestamp};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::target::{RelayUrl, ServiceAddress, ServiceName};

use super::delegate::new_id;
use super::identity::{IdentityRole, SourceArgs, known_relays};
use crate::delegations::DelegationList;
use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::share::SharedService;

/// The longest time of a link: that of a delegation.
const MAX_DAYS: u64 = 366;

/// Make a link with which somebody reaches one of your private services for a while
///
/// The link has a key of its own in it, made for this link alone: whoever has the link reaches the service until its time is
/// over, or until you take it back with hvym-tunnel identity revoke.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel share web --for 2h --relay tunnel.example
    hvym-tunnel forward 'https://...#share=...' 8080             (on another machine)

Expose the service as private: what is public needs no link. The relay is asked
whether you serve it; if not, that is said, and the link is good once you do.")]
pub(crate) struct ShareArgs {
    /// The service, as you expose it
    service: ServiceName,
    /// How long the link is good: 30m, 2h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "1h", env = "HVYM_TUNNEL_FOR", hide_env = true)]
    lifetime: Duration,
    /// The relay where you expose it
    #[arg(long, value_name = "URL", env = "HVYM_TUNNEL_RELAY", hide_env = true)]
    relay: RelayUrl,
    #[command(flatten)]
    source: SourceArgs,
}

/// Prints the link. Returns what it leads to.
pub(crate) fn run(arguments: &ShareArgs) -> Result<SharedService, ExitError> {
    let source = arguments.source.source(IdentityRole::Agent);
    let (identity, key) = (Identity::load(&source)?, Identity::generate()?);
    let now = Clock::new().wall().unix;
    let until = UnixTime::from_secs(now.as_secs() + arguments.lifetime.as_secs());
    let (owner, relay) = (identity.address(), arguments.relay.host_field());
    let delegation = Delegation {
        owner,
        key: key.address(),
        may: Scopes::CALL,
        services: vec![arguments.service.to_string()],
        relay: Some(relay.clone()),
        from: now,
        until,
        id: new_id(),
    };
    delegation.check()?;
    let id = delegation.id;
    let signed = identity.sign_delegation(delegation);
    DelegationList::beside(source.destination()?)?.add(signed.clone(), now)?;
    let link = key.derive(|seed| ShareLink::new(*seed, signed, arguments.relay.tls));
    let link = link.map_err(|error| ExitError::new(Exit::Unexpected, error.to_string()))?;
    let host = match arguments.relay.is_address() {
        true => relay,
        false => format!("{}--{}.{relay}", arguments.service, ShortLabel::new(&owner).as_str()),
    };
    eprintln!("whoever has this link reaches {} until {}", arguments.service, Timestamp(until));
    eprintln!("    hvym-tunnel forward 'LINK' 8080");
    eprintln!("    hvym-tunnel identity revoke {id} --relay {}", arguments.relay);
    write_out(format!("{}\n", link.url(&host)).as_bytes())?;
    let to = ServiceAddress { owner, service: arguments.service.clone() };
    let link = LinkSettings { relay: Some(arguments.relay.clone()), ..LinkSettings::default() };
    Ok(SharedService { to, known_relays: known_relays(&source), link, identity })
}

/// A whole number of seconds, minutes, hours or days.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("a time is written 90s, 30m, 2h or 7d, and is {MAX_DAYS} days at most");
    let (number, unit) = text.split_at_checked(text.len().wrapping_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=MAX_DAYS * 24 * 3600).contains(seconds)).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        for (text, seconds) in
            [("1s", 1), ("90m", 5400), ("2h", 7200), ("366d", 366 * 86_400), ("8784h", 366 * 86_400)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "2", "0h", "-1h", "1.5h", "367d", "2w", "h2", "99999999999999999d", "2é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
