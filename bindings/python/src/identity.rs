//! Stellar identities, and the tokens and delegations that they sign. The secret leaves by `save` alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::stellar::delegation::{Delegation, DelegationId, Scopes};
use hvym_tunnel_core::stellar::{Address, Claims, SigningInput};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::clock;
use hvym_tunnel_net::key;
use hvym_tunnel_net::passphrase::PassphraseSource;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{invalid, of_key};

/// A Stellar key pair: its address is public, its secret can only sign.
#[pyclass(frozen, module = "hvym_tunnel")]
pub(crate) struct Identity {
    pub(crate) key: Arc<key::Identity>,
}

impl Identity {
    fn new(key: key::Identity) -> Self {
        Self { key: Arc::new(key) }
    }
}

#[pymethods]
impl Identity {
    /// A new key pair from the system's randomness.
    #[staticmethod]
    fn generate(py: Python<'_>) -> PyResult<Self> {
        key::Identity::generate().map(Self::new).map_err(|error| of_key(py, &error))
    }

    /// The key pair of a secret seed, ``S...``.
    #[staticmethod]
    fn from_secret(py: Python<'_>, secret: &str) -> PyResult<Self> {
        key::Identity::from_secret(secret).map(Self::new).map_err(|error| of_key(py, &error))
    }

    /// The key pair of the 32 bytes of an Ed25519 seed.
    #[staticmethod]
    fn from_seed(py: Python<'_>, seed: &[u8]) -> PyResult<Self> {
        let seed: &[u8; 32] = seed.try_into().map_err(|_| invalid(py, "a seed has 32 bytes"))?;
        Ok(Self::new(key::Identity::from_seed(seed)))
    }

    /// The key pair in a file that only its owner may read.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        key::Identity::from_file(&path, &PassphraseSource::default())
            .map(Self::new)
            .map_err(|error| of_key(py, &error))
    }

    /// Writes the secret to a file that only its owner may read.
    #[pyo3(signature = (path, *, replace = false))]
    fn save(&self, py: Python<'_>, path: PathBuf, replace: bool) -> PyResult<()> {
        self.key.store(&path, replace).map_err(|error| of_key(py, &error))
    }

    /// The public half, ``G...``.
    #[getter]
    fn address(&self) -> String {
        self.key.address().to_string()
    }

    /// The 32 bytes of the public half.
    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.key.address().public_key())
    }

    /// The login token of this identity for a relay: the same arguments give the same token.
    #[pyo3(signature = (audience, *, issued_at, services, lifetime = None, challenge = None))]
    fn create_token(
        &self,
        py: Python<'_>,
        audience: &str,
        issued_at: u64,
        services: Vec<String>,
        lifetime: Option<f64>,
        challenge: Option<&str>,
    ) -> PyResult<String> {
        let address = self.key.address();
        let input = claims(py, address, audience, issued_at, services, lifetime, challenge)?;
        let signature = self.key.sign(&input);
        let token = input.into_token(signature).map_err(|error| invalid(py, error))?;
        Ok(token.as_str().to_owned())
    }

    /// The text by which ``owner`` lets this key serve as its agent from ``since`` until ``until``, for the owner to sign.
    fn delegation_text(&self, py: Python<'_>, owner: &str, since: u64, until: u64) -> PyResult<String> {
        let mut id = [0; 16];
        id.copy_from_slice(&clock::seed()[..16]);
        let delegation = Delegation {
            owner: owner.parse().map_err(|error| invalid(py, error))?,
            key: self.key.address(),
            may: Scopes::AGENT,
            services: Vec::new(),
            relay: None,
            from: UnixTime::from_secs(since),
            until: UnixTime::from_secs(until),
            id: DelegationId(id),
        };
        delegation.check().map_err(|error| invalid(py, error))?;
        Ok(delegation.to_string())
    }

    fn __repr__(&self) -> String {
        format!("Identity({})", self.key.address())
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.key.address() == other.key.address()
    }

    fn __hash__(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.key.address().public_key()[..8]);
        u64::from_le_bytes(first)
    }
}

/// What the key of ``address`` signs for a login token; the token is this text, a dot, and the signature in base64url.
#[pyfunction]
#[pyo3(signature = (address, audience, *, issued_at, services, lifetime = None, challenge = None))]
pub(crate) fn signing_input(
    py: Python<'_>,
    address: &str,
    audience: &str,
    issued_at: u64,
    services: Vec<String>,
    lifetime: Option<f64>,
    challenge: Option<&str>,
) -> PyResult<String> {
    let address: Address = address.parse().map_err(|error| invalid(py, error))?;
    let input = claims(py, address, audience, issued_at, services, lifetime, challenge)?;
    Ok(String::from_utf8_lossy(input.as_bytes()).into_owned())
}

fn claims(
    py: Python<'_>,
    address: Address,
    audience: &str,
    issued_at: u64,
    services: Vec<String>,
    lifetime: Option<f64>,
    challenge: Option<&str>,
) -> PyResult<SigningInput> {
    let mut claims = Claims::new(address, audience, UnixTime::from_secs(issued_at)).with_services(services);
    if let Some(seconds) = lifetime {
        let lifetime = Duration::try_from_secs_f64(seconds).map_err(|error| invalid(py, error))?;
        claims = claims.with_lifetime(Some(lifetime));
    }
    if let Some(challenge) = challenge {
        claims = claims.with_challenge(challenge);
    }
    Ok(claims.signing_input())
}
