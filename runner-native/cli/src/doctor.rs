//! `doctor`: looks at everything between a service and its visitors, and says what is wrong and what to do.
//!
//! It changes nothing but what a first run of `expose` would: the relay that proves itself is remembered. Shows no secret.

mod check;
mod login;
mod machine;
mod relay;
mod service;

use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_net::key::Source;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::target::Target;

use crate::exit::ExitError;
use check::Diagnosis;

/// What `doctor` looks at.
#[derive(Debug)]
pub(crate) struct DoctorOptions {
    /// Where the identity is.
    pub(crate) source: Source,
    /// The link to the relay, if one is named.
    pub(crate) link: LinkSettings,
    /// Where known relays are kept.
    pub(crate) known_relays: Option<KnownRelays>,
    /// The local service.
    pub(crate) target: Option<Target>,
    /// Whether a program reads what is found.
    pub(crate) json: bool,
}

/// Looks at everything, in the order in which one thing needs another.
///
/// # Errors
/// Something is wrong; the exit code is that of the first fault.
pub(crate) async fn run(options: DoctorOptions) -> Result<(), ExitError> {
    let mut found = Diagnosis::new(options.json);
    let signer = machine::key(&options.source, &mut found)?;
    match &options.link.relay {
        Some(relay) => relay::examine(relay, &options, signer, &mut found).await?,
        None => relay::skip_all(&mut found)?,
    }
    machine::target(options.target.as_ref(), &mut found).await?;
    machine::ports(&mut found)?;
    service::service(&mut found)?;
    found.finish()
}
