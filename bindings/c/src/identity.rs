//! A Stellar key pair. Its secret leaves by `save` alone.

use std::path::Path;
use std::sync::Arc;

use hvym_tunnel_net::key;
use hvym_tunnel_net::passphrase::PassphraseSource;

use crate::error::Error;

/// A Stellar key pair: its address is public, its secret can only sign.
pub struct Identity {
    pub(crate) key: Arc<key::Identity>,
}

impl Identity {
    pub(crate) fn generate() -> Result<Self, Error> {
        Self::new(key::Identity::generate())
    }

    pub(crate) fn from_secret(secret: &str) -> Result<Self, Error> {
        Self::new(key::Identity::from_secret(secret))
    }

    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        Self::new(key::Identity::from_file(path, &PassphraseSource::default()))
    }

    pub(crate) fn save(&self, path: &Path, replace: bool) -> Result<(), Error> {
        self.key.store(path, replace).map_err(|error| Error::from(&error))
    }

    fn new(key: Result<key::Identity, key::KeyError>) -> Result<Self, Error> {
        key.map(|key| Self { key: Arc::new(key) }).map_err(|error| Error::from(&error))
    }
}
