//! A login at a relay, and the request of a visitor there and back, by a service that is exposed for a moment.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use hvym_tunnel_agent::event::AgentEvent;
use hvym_tunnel_agent::settings::{LinkSettings, RetrySettings};
use hvym_tunnel_agent::{Agent, AgentHandle, ConflictPolicy, ServiceSpec};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::http_get;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::target::Target;
use hvym_tunnel_net::timeout::within;

use super::DoctorOptions;
use super::check::{Check, Diagnosis, STEP_LIMIT};
use crate::exit::{Exit, ExitError};

/// How long a login may take.
const LOGIN_LIMIT: Duration = Duration::from_secs(20);
/// The status that the service answers with: no page of a relay or a proxy has it.
const ANSWER: u16 = 204;
/// The most that is read of a request.
const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// Logs in, and visits.
///
/// # Errors
/// Nobody reads.
pub(super) async fn examine(
    options: &DoctorOptions,
    signer: Signer,
    dial: &DialOptions,
    found: &mut Diagnosis,
) -> Result<(), ExitError> {
    let nonce = format!("{:016x}", getrandom::u64().map_err(|_| no_randomness())?);
    let port = serve(nonce.clone()).map_err(|error| {
        ExitError::new(Exit::Unexpected, format!("cannot listen on this machine: {}", words(&error)))
    })?;
    let service = format!("doctor-{}", &nonce[..8]).parse().expect("lower case letters, digits and a hyphen");
    let mut spec = ServiceSpec::new(service, Target::local(port));
    spec.conflict = ConflictPolicy::Stay;
    let retry = RetrySettings { no_retry: true, timeout: Some(LOGIN_LIMIT), ..options.link.retry };
    let link = LinkSettings { retry, ..options.link.clone() };
    let address = signer.address();
    let agent = Agent::builder(signer).link(link).known_relays(options.known_relays.clone()).service(spec);
    let agent = match agent.start(&RuntimeHandle::current()) {
        Ok(agent) => agent,
        Err(error) => {
            found.add(Check::of_error("login", &error.into()), Exit::Config)?;
            return found.skip(&["visitor"], "there is no login");
        }
    };
    let begun = Instant::now();
    let url = match outcome(&agent).await {
        Ok(url) => url,
        Err(error) => {
            let exit = error.exit;
            found.add(Check::of_error("login", &error), exit)?;
            return found.skip(&["visitor"], "there is no login");
        }
    };
    let text = format!("as {address} in {} ms", begun.elapsed().as_millis());
    found.add(Check::ok("login", text), Exit::Refused)?;
    let check = match url {
        Ok(url) => visit(&url, &nonce, dial).await,
        Err(why) => Check::warn("visitor", format!("the relay does not take a service for this test: {why}")),
    };
    agent.stop();
    let _ended = agent.closed().await;
    found.add(check, Exit::RelayUnreachable)
}

fn no_randomness() -> ExitError {
    ExitError::new(Exit::Unexpected, "the system gives no randomness")
}

/// Where the service is reached, or why the relay did not take it.
async fn outcome(agent: &AgentHandle) -> Result<Result<String, String>, ExitError> {
    let events = agent.events();
    while let Some(event) = events.next().await {
        match event {
            AgentEvent::Online { services } => {
                return Ok(services.into_iter().next().map(|bound| bound.url).ok_or_else(String::new));
            }
            AgentEvent::ServiceRefused { message, .. } => return Ok(Err(message)),
            _ => {}
        }
    }
    match agent.closed().await {
        Ok(()) => Err(ExitError::new(Exit::RelayUnreachable, DownReason::ClosedByPeer.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// What a visitor of `url` gets.
async fn visit(url: &str, nonce: &str, dial: &DialOptions) -> Check {
    const NAME: &str = "visitor";
    // As relays are dialled.
    let dialled = url.trim_end_matches('/').replacen("http", "ws", 1);
    let Some((_, host)) = dialled.split_once("://") else {
        return Check::fail(NAME, format!("{url} is no URL"));
    };
    let begun = Instant::now();
    let dial = DialOptions { allow_plaintext: true, ..dial.clone() };
    match within(STEP_LIMIT, http_get::get(&dialled, host, &format!("/{nonce}"), &dial)).await {
        Some(Ok(fetched)) if fetched.status == ANSWER => {
            Check::ok(NAME, format!("a request came back by {url} in {} ms", begun.elapsed().as_millis()))
        }
        Some(Ok(fetched)) => {
            Check::fail(NAME, format!("{url} answered HTTP {}, and not this machine", fetched.status))
                .with_hint("does that name lead to the relay, and does a proxy in front of it pass Host on?")
        }
        Some(Err(error)) => Check::fail(NAME, format!("{url}: {}", words(&error)))
            .with_hint("names below the relay's have to lead there, and its certificate has to cover them"),
        None => Check::fail(NAME, format!("{url} did not answer in time")),
    }
}

/// A service that answers whoever knows `nonce`, until the process ends; its port.
fn serve(nonce: String) -> std::io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let answer = move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let mut request = Vec::new();
            let mut room = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST_BYTES {
                match stream.read(&mut room) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => request.extend_from_slice(&room[..n]),
                }
            }
            let is_ours = request.starts_with(format!("GET /{nonce} ").as_bytes());
            let status = if is_ours { "204 No Content" } else { "404 Not Found\r\nContent-Length: 0" };
            let _gone =
                stream.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").as_bytes());
        }
    };
    std::thread::Builder::new().name("doctor".to_owned()).spawn(answer).map(|_| port)
}
