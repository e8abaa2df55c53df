//! What an agent knows of the relay that it dialled, and whether who answers is that relay. Asked before anything is signed.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use super::agent_login::AgentLogin;
use super::proof::ProofInput;
use crate::dialect::{ShownProof, VERSION};
use crate::reason::DownReason;
use crate::stellar::Address;

/// One dial: the authority in its URL, and the nonce in its query.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Dialled {
    /// As [`dialled_authority`](super::dialled_authority) has it. The token of the login names it.
    pub host: String,
    /// What the relay's proof must be over.
    pub nonce: String,
}

/// Checks relays for one login.
pub(super) struct RelayCheck<'a> {
    pub(super) login: &'a AgentLogin,
    pub(super) dialled: &'a Dialled,
}

impl RelayCheck<'_> {
    /// Who the relay shows to be, and proves to be.
    ///
    /// # Errors
    /// It is not the expected one, speaks another version, was dialled by another name, or has not proved its key.
    pub(super) fn native(
        &self,
        server_address: &str,
        challenge: &str,
        shown: &ShownProof,
        version: Option<u32>,
    ) -> Result<Address, DownReason> {
        let relay = self.address(server_address)?;
        if version != Some(VERSION) {
            let theirs = version.map_or_else(|| "an unknown version".to_owned(), |v| format!("version {v}"));
            let text = format!(
                "the relay speaks {theirs} of the protocol, this program version {VERSION}: update both"
            );
            return Err(DownReason::NotAllowed(text));
        }
        let host = shown.host.as_deref().unwrap_or_default();
        if host != self.dialled.host {
            let (dialled, found) = (self.dialled.host.clone(), host.to_owned());
            return Err(DownReason::WrongHost { dialled, found });
        }
        let input = ProofInput::new(&self.dialled.nonce, challenge, host, relay);
        match &shown.proof {
            Some(proof) if input.is_proven_by(relay, proof) => Ok(relay),
            _ => Err(DownReason::RelayUnproven(relay.to_string())),
        }
    }

    /// Who the relay of an older system shows to be; nothing proves it.
    ///
    /// # Errors
    /// It is not the expected one, or one that proved its key before.
    pub(super) fn older(&self, server_address: &str) -> Result<Address, DownReason> {
        let relay = self.address(server_address)?;
        if self.login.is_remembered { Err(DownReason::RelayUnproven(relay.to_string())) } else { Ok(relay) }
    }

    /// The address that the relay shows, if it is the expected one. Nothing is signed for anybody else.
    fn address(&self, server_address: &str) -> Result<Address, DownReason> {
        let found = parse(server_address)?;
        match self.login.relay_address {
            Some(known) if known != found && self.login.is_remembered => Err(DownReason::RelayKeyChanged {
                host: self.dialled.host.clone(),
                known: known.to_string(),
                found: found.to_string(),
            }),
            Some(pinned) if pinned != found => {
                Err(DownReason::WrongRelay { pinned: pinned.to_string(), found: found.to_string() })
            }
            _ => Ok(found),
        }
    }
}

pub(super) fn parse(server_address: &str) -> Result<Address, DownReason> {
    server_address.parse().map_err(|e| DownReason::Malformed(format!("the relay's address: {e}")))
}
