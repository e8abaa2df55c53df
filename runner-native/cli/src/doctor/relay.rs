//! The way to a relay, step by step, and what the relay says of itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::dial_error::DialError;
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::host_connect::{connect, resolve};
use hvym_tunnel_net::http_get::{self, Answer};
use hvym_tunnel_net::proxy::Proxy;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::target::RelayUrl;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls::{self, Trust};
use hvym_tunnel_net::validity::ValidityPeriod;
use serde::Deserialize;

use super::check::{Check, Diagnosis, STEP_LIMIT};
use super::{DoctorOptions, login};
use crate::exit::{Exit, ExitError};
use crate::failure::problem_hint;

/// Beyond this, clocks differ so much that something sets neither of them.
const CLOCK_WARNING: Duration = Duration::from_secs(10);
/// Beyond this, a relay takes no login: tokens are good for a minute.
const CLOCK_LIMIT: Duration = Duration::from_secs(60);
/// A certificate that ends sooner than this is not renewed by itself: authorities renew after two thirds of 90 days.
const RENEWAL: Duration = Duration::from_secs(20 * 86_400);

/// Everything that needs a relay, in order.
const STEPS: [&str; 8] = ["proxy", "dns", "tcp", "tls", "relay", "clock", "login", "visitor"];

/// There is no relay to look at.
///
/// # Errors
/// Nobody reads.
pub(super) fn skip_all(found: &mut Diagnosis) -> Result<(), ExitError> {
    found.skip(&STEPS, "no relay is named (--relay)")
}

/// Looks at the way to `relay` until something is in it.
///
/// # Errors
/// Nobody reads.
pub(super) async fn examine(
    relay: &RelayUrl,
    options: &DoctorOptions,
    signer: Option<Signer>,
    found: &mut Diagnosis,
) -> Result<(), ExitError> {
    let proxy = match Proxy::from_variables(relay, |name| std::env::var(name).ok()) {
        Ok(proxy) => proxy,
        Err(error) => {
            found.add(Check::fail(STEPS[0], error.to_string()), Exit::Config)?;
            return found.skip(&STEPS[1..], "because of the proxy");
        }
    };
    let way = proxy.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    found.add(Check::ok(STEPS[0], way), Exit::Config)?;
    let is_reached = match &proxy {
        Some(_) => found.skip(&STEPS[1..3], "it is the proxy that connects").map(|()| true)?,
        None => dns(relay, signer.as_ref(), found).await? && tcp(relay, found).await?,
    };
    if !is_reached {
        return Ok(());
    }
    let trust = match &options.link.relay_ca {
        Some(path) => Trust::with_authorities(path).map_err(|error| {
            ExitError::new(Exit::Config, format!("cannot use {}: {error}", path.display()))
        })?,
        None => Trust::Verify,
    };
    let dial = DialOptions { allow_plaintext: options.link.plain_relay, trust, proxy, token: None };
    if !certificates(relay, &dial, found).await? {
        return found.skip(&STEPS[4..], "without TLS nothing more is said");
    }
    let Some(is_ours) = info(relay, options, &dial, found).await? else {
        return found.skip(&STEPS[6..], "there is no relay to log in at");
    };
    match signer {
        None => found.skip(&STEPS[6..], "there is no key"),
        // The newest login would take the place of an agent that is connected there.
        Some(_) if !is_ours => found.skip(&STEPS[6..], "this is a server of an older system"),
        Some(signer) => login::examine(options, signer, &dial, found).await,
    }
}

/// The name of the relay and one below it. Returns whether there is a way on.
async fn dns(relay: &RelayUrl, signer: Option<&Signer>, found: &mut Diagnosis) -> Result<bool, ExitError> {
    let name = STEPS[1];
    if relay.is_address() || relay.is_loopback() {
        return found.add(Check::ok(name, "not needed"), Exit::RelayUnreachable).map(|()| true);
    }
    let host = &relay.host;
    let addresses = match addresses(host, relay.port).await {
        Ok(addresses) => addresses,
        Err(why) => {
            let check = Check::fail(name, format!("{host} does not resolve: {why}"));
            let check = check
                .with_hint("check the spelling, this machine's network, and the record at its DNS provider");
            found.add(check, Exit::RelayUnreachable)?;
            return found.skip(&STEPS[2..], "the relay's name does not resolve").map(|()| false);
        }
    };
    let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let label = signer.map_or_else(
        || "hvym-tunnel-doctor".to_owned(),
        |signer| ShortLabel::new(&signer.address()).to_string(),
    );
    let below = format!("{label}.{host}");
    let wildcard =
        format!("lead *.{host} to the relay too, or have the relay be the DNS server of its domain");
    let check = match self::addresses(&below, relay.port).await {
        Ok(other) if other.is_disjoint(&addresses) => {
            let other = other.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Check::warn(name, format!("{host} is {list}, but {below} is {other}")).with_hint(wildcard)
        }
        Ok(_) => Check::ok(name, format!("{host} and names below it are {list}")),
        Err(why) => Check::fail(name, format!("{host} is {list}, but {below} does not resolve: {why}"))
            .with_hint(wildcard),
    };
    found.add(check, Exit::RelayUnreachable).map(|()| true)
}

async fn addresses(host: &str, port: u16) -> Result<BTreeSet<IpAddr>, String> {
    match within(STEP_LIMIT, resolve(host, port)).await {
        Some(Ok(list)) if list.is_empty() => Err("it has no address".to_owned()),
        Some(Ok(list)) => Ok(list.into_iter().map(|at| at.ip()).collect()),
        Some(Err(error)) => Err(words(&error)),
        None => Err("no answer in time".to_owned()),
    }
}

/// A connection. Returns whether there is one.
async fn tcp(relay: &RelayUrl, found: &mut Diagnosis) -> Result<bool, ExitError> {
    let begun = Instant::now();
    let why = match within(STEP_LIMIT, connect(&relay.host, relay.port, None)).await {
        Some(Ok((_, at))) => {
            let text = format!("{at} in {} ms", begun.elapsed().as_millis());
            return found.add(Check::ok(STEPS[2], text), Exit::RelayUnreachable).map(|()| true);
        }
        Some(Err(error)) => words(&error.into()),
        None => "no answer in time".to_owned(),
    };
    let check = Check::fail(STEPS[2], format!("{}: {why}", relay.authority()));
    let check = check.with_hint("is the relay running, is the port right, and does a firewall let it pass?");
    found.add(check, Exit::RelayUnreachable)?;
    found.skip(&STEPS[3..], "there is no connection").map(|()| false)
}

/// The certificates. Returns whether there is TLS, or none is wanted.
async fn certificates(
    relay: &RelayUrl,
    dial: &DialOptions,
    found: &mut Diagnosis,
) -> Result<bool, ExitError> {
    let name = STEPS[3];
    if !relay.tls {
        return found.add(Check::skip(name, "ws:// has none"), Exit::RelayUnreachable).map(|()| true);
    }
    let failed =
        |check: Check, found: &mut Diagnosis| found.add(check, Exit::RelayUnreachable).map(|()| false);
    let tcp = match open(relay, dial).await {
        Ok(tcp) => tcp,
        Err(why) => return failed(Check::fail(name, why), found),
    };
    // Whoever it is, so that what is wrong with the certificate can be said.
    let stream = match within(STEP_LIMIT, tls::client(tcp, &relay.host, Trust::Anyone)).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            let error = DialError::of_tls(&error, &relay.host, relay.authority());
            let hint = problem_hint(&error.problem);
            let check = Check::fail(name, error.close.reason);
            return failed(hint.into_iter().fold(check, Check::with_hint), found);
        }
        None => return failed(Check::fail(name, "no answer in time"), found),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = chain
        .first()
        .and_then(|leaf| ValidityPeriod::read(leaf))
        .map(|period| Duration::from_secs(period.not_after).saturating_sub(now));
    let days =
        left.map_or_else(|| "unreadable".to_owned(), |left| format!("{} days left", left.as_secs() / 86_400));
    let text = format!("{} certificates, {days}", chain.len());
    if let Some(error) = untrusted(relay, dial).await {
        let check = Check::fail(name, format!("{text}: {error}"));
        let check = check.with_hint("renew it on the relay, or name its authority with --relay-ca FILE");
        return failed(check, found);
    }
    let check = match left {
        Some(left) if left < RENEWAL => {
            Check::warn(name, text).with_hint("it ends soon: see why the relay does not renew it")
        }
        _ => Check::ok(name, text),
    };
    found.add(check, Exit::RelayUnreachable).map(|()| true)
}

/// A connection as agents make it.
async fn open(relay: &RelayUrl, dial: &DialOptions) -> Result<Tcp, String> {
    if let Some(proxy) = &dial.proxy {
        return proxy.connect(&relay.host, relay.port).await.map_err(|error| error.to_string());
    }
    match within(STEP_LIMIT, connect(&relay.host, relay.port, None)).await {
        Some(Ok((tcp, _))) => Ok(tcp),
        Some(Err(error)) => Err(words(&error.into())),
        None => Err("no answer in time".to_owned()),
    }
}

/// Why an agent would not trust the certificates.
async fn untrusted(relay: &RelayUrl, dial: &DialOptions) -> Option<String> {
    let tcp = open(relay, dial).await.ok()?;
    match within(STEP_LIMIT, tls::client(tcp, &relay.host, dial.trust.clone())).await? {
        Ok(_) => None,
        Err(error) => Some(words(&error)),
    }
}

/// The part of what a relay says of itself that is looked at.
#[derive(Deserialize)]
struct Info {
    server_address: String,
    version: Option<String>,
    #[serde(default)]
    mux: Vec<String>,
}

/// Who answers, and when. Returns whether it is a relay of ours, or `None` if it is none.
async fn info(
    relay: &RelayUrl,
    options: &DoctorOptions,
    dial: &DialOptions,
    found: &mut Diagnosis,
) -> Result<Option<bool>, ExitError> {
    let scheme = if relay.tls { "wss" } else { "ws" };
    let url = format!("{scheme}://{}", relay.authority());
    let fetched = match within(STEP_LIMIT, http_get::get(&url, &relay.host_field(), "/info", dial)).await {
        Some(fetched) => fetched.map_err(|error| words(&error)),
        None => Err("no answer in time".to_owned()),
    };
    let (fetched, info) = match fetched {
        Ok(fetched) => {
            let info = serde_json::from_slice::<Info>(&fetched.body).ok().filter(|_| fetched.status == 200);
            (Some(fetched), info)
        }
        Err(why) => {
            found.add(Check::fail(STEPS[4], why), Exit::RelayUnreachable)?;
            (None, None)
        }
    };
    if let (Some(fetched), None) = (&fetched, &info) {
        let text =
            format!("there is a web server at {}, and no relay (HTTP {})", relay.authority(), fetched.status);
        let check = Check::fail(STEPS[4], text)
            .with_hint("check the host and the port; a proxy in front has to pass Host on");
        found.add(check, Exit::RelayUnreachable)?;
    }
    if let Some(info) = &info {
        found.add(identity(info, relay, options), Exit::Refused)?;
    }
    clock(fetched.as_ref(), found)?;
    Ok(info.map(|info| !info.mux.is_empty()))
}

/// Who the relay says it is, against who it should be.
fn identity(info: &Info, relay: &RelayUrl, options: &DoctorOptions) -> Check {
    let version = info.version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
    let text = format!("{}{version}", info.server_address);
    let host = relay.host_field();
    let known = options.known_relays.as_ref().and_then(|known| known.find(&host).ok().flatten());
    let expected: Option<Address> = options.link.relay_address.or(known);
    match expected {
        Some(expected) if expected.to_string() != info.server_address => {
            Check::fail(STEPS[4], format!("{text}, but {expected} is expected"))
                .with_hint(format!("if its operator changed the key: hvym-tunnel relays forget {host}"))
        }
        Some(_) => Check::ok(STEPS[4], format!("{text}, as expected")),
        None => Check::ok(STEPS[4], format!("{text}, not known here yet")),
    }
}

/// This machine's clock against the relay's.
fn clock(fetched: Option<&Answer>, found: &mut Diagnosis) -> Result<(), ExitError> {
    let theirs = fetched.and_then(|fetched| httpdate::parse_http_date(fetched.date.as_deref()?).ok());
    let Some(theirs) = theirs else {
        return found.add(Check::skip(STEPS[5], "the relay does not say what time it is"), Exit::Refused);
    };
    let now = SystemTime::now();
    let difference = now.duration_since(theirs).unwrap_or_else(|error| error.duration());
    let side = if now < theirs { "behind" } else { "ahead of" };
    let text = format!("{} s {side} the relay's", difference.as_secs());
    let hint = "set this machine's clock, or let it be set from the network";
    let check = match difference {
        difference if difference > CLOCK_LIMIT => Check::fail(STEPS[5], text).with_hint(hint),
        difference if difference > CLOCK_WARNING => Check::warn(STEPS[5], text).with_hint(hint),
        _ => Check::ok(STEPS[5], text),
    };
    found.add(check, Exit::Refused)
}
