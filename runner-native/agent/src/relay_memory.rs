//! Trust on first use: the relay of an agent that was told no address is who proved to be there first, in this process or an earlier
//! one. The core checks; this file reads and writes the file.

use hvym_tunnel_core::handshake::{AgentLogin, dialled_authority};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::known_relays::{KnownRelays, KnownRelaysError};

/// Where the relay of an agent is to be written down, once it has proved who it is.
pub(crate) struct RelayMemory {
    file: KnownRelays,
    host: String,
}

impl RelayMemory {
    /// Lets the agent believe whom the file has for the relay at `url`. If it has nobody, the first is to be noted.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn recall(
        file: KnownRelays,
        url: &str,
        login: &mut AgentLogin,
    ) -> Result<Option<Self>, KnownRelaysError> {
        let Some(host) = dialled_authority(url).filter(|_| login.relay_address.is_none()) else {
            return Ok(None);
        };
        login.relay_address = file.find(&host)?;
        login.is_remembered = login.relay_address.is_some();
        Ok(if login.is_remembered { None } else { Some(Self { file, host }) })
    }

    /// Writes down a relay that has proved its address. One that cannot be written is found again by the next process.
    pub(crate) fn note(&self, address: Address) {
        let host = &self.host;
        match self.file.remember(host, address) {
            Ok(()) => tracing::info!(%host, %address, "the relay's address is known from now on"),
            Err(error) => tracing::warn!(%host, %address, %error, "the relay's address is not kept"),
        }
    }
}
