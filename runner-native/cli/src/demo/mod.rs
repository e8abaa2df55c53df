//! `demo`: a relay of its own, an agent, and a page that is a second agent in a browser tab.
//!
//! It shows what the rest of the program does and adds nothing to it: the page is one more service that is exposed.

mod site;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use hvym_tunnel_agent::ServiceSpec;
use hvym_tunnel_agent::settings::LinkSettings;

use crate::embedded::OwnRelay;
use crate::exit::{Exit, ExitError};
use crate::expose::{self, ExposeOptions};
use crate::report::Reporter;
use crate::signals::StopSignals;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::target::Target;
use site::Site;

/// What `demo` does.
pub(crate) struct DemoOptions {
    /// Where a relay of its own listens, on this machine alone; 0 is a free port.
    pub port: u16,
    /// The link to the relay; without one there is a relay of its own.
    pub link: LinkSettings,
    /// Where relays whose addresses nobody told are kept.
    pub known_relays: Option<KnownRelays>,
    /// The folder of the browser package.
    pub package: PathBuf,
}

/// Runs the demo until a person ends it.
///
/// # Errors
/// No browser package, a port that is taken, or why the agent ended.
pub(crate) async fn run(
    signer: Signer,
    options: DemoOptions,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), ExitError> {
    let site = Site::load(&options.package, signer.address())?;
    let refused =
        |error| ExitError::new(Exit::Unexpected, format!("cannot listen for the page's visitors: {error}"));
    let listener = TcpListener::listen((Ipv4Addr::LOCALHOST, 0).into(), None).map_err(refused)?;
    let at = listener.local_addr().map_err(refused)?;
    let serving = spawn(site.serve(listener));
    let ended = expose::run(signer, options_for(at, options), reporter, signals).await;
    serving.cancel().await;
    ended
}

/// The page at the bare address, under the name that it reaches itself by.
fn options_for(at: SocketAddr, DemoOptions { port, link, known_relays, .. }: DemoOptions) -> ExposeOptions {
    let target = Target::local(at.port());
    let exposed = ExposeOptions::new(ServiceSpec::new(site::service(), target));
    let own_relay = OwnRelay { port: Some(port), is_reaching: true, ..OwnRelay::default() };
    ExposeOptions { own_relay, link, known_relays, ..exposed }
}
