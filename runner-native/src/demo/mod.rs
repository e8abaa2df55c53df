//! `demo`: a relay of its own, an agent, and a page that is a second agent in a browser tab.
//!
//! It shows what the rest of the program does and adds nothing to it: the page is one more service that is exposed.

mod site;

use std::net::{Ipv4Addr, SocketAddr};

use smol::net::TcpListener;

use crate::agent;
use crate::cli::exit::{Exit, Failure};
use crate::cli::report::Reporter;
use crate::cli::signals::StopSignals;
use crate::config::{DemoOptions, ExposeOptions};
use crate::io::executor::spawn;
use crate::key::Identity;
use crate::target::{Binding, Target};
use site::Site;

/// Runs the demo until a person ends it.
///
/// # Errors
/// No browser package, a port that is taken, or why the agent ended.
pub(crate) async fn run(
    identity: Identity,
    options: DemoOptions,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), Failure> {
    let site = Site::load(&options.package)?;
    let refused =
        |error| Failure::new(Exit::Unexpected, format!("cannot listen for the page's visitors: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(refused)?;
    let at = listener.local_addr().map_err(refused)?;
    let serving = spawn(site.serve(listener));
    let ended = agent::run(identity, expose(at, options.port), reporter, signals).await;
    serving.cancel().await;
    ended
}

/// The page at the bare address, under the name that it reaches itself by.
fn expose(at: SocketAddr, port: u16) -> ExposeOptions {
    let target = Target::local(at.port());
    ExposeOptions { own_relay_port: port, ..ExposeOptions::of(Binding { service: site::service(), target }) }
}
