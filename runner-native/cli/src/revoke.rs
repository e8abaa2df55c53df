//! `identity revoke`: has a relay take a delegation for revoked.

use std::path::PathBuf;
use std::sync::Arc;

use hvym_tunnel_agent::settings::{LinkSettings, SettingsError};
use hvym_tunnel_core::stellar::delegation::DelegationId;
use hvym_tunnel_net::key::Identity;

use crate::delegations::DelegationList;
use crate::exit::ExitError;

/// What `identity revoke` does.
#[derive(Debug)]
pub(crate) struct RevokeOptions {
    /// The owner, or the key whose delegation it is.
    pub(crate) identity: Identity,
    /// Beside which the list of delegations is kept.
    pub(crate) list: PathBuf,
    /// The link to the relay.
    pub(crate) link: LinkSettings,
    /// Which delegation.
    pub(crate) id: DelegationId,
}

/// Revokes a delegation at one relay.
///
/// # Errors
/// The relay cannot be reached, or does not revoke it.
pub(crate) async fn run(options: RevokeOptions) -> Result<(), ExitError> {
    let RevokeOptions { identity, list, link, id } = options;
    let list = DelegationList::beside(&list)?;
    let relay = link.relay.as_ref().ok_or(SettingsError::NoRelay)?.host_field();
    let until = list.find(id).map(|kept| kept.delegation().until);
    let persisted = hvym_tunnel_agent::revoke(Arc::new(identity), link, id, until).await?;
    eprintln!("revoked at {relay}: what acted by it is disconnected, and does not come in again");
    if !persisted {
        eprintln!(
            "but {relay} could not store it, and forgets it when it is started again: revoke it again then"
        );
    }
    list.mark_revoked(id, &relay)?;
    Ok(())
}
