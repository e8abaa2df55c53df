//! TLS as a server, from two PEM files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures_rustls::TlsAcceptor;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::config::TlsFiles;

/// Unsent ciphertext that may wait: a few batches, so that one write carries much.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// Why TLS cannot be spoken. Names the file, never what is in it.
#[derive(Clone, PartialEq, Debug, Error)]
pub(crate) enum TlsError {
    /// The file is missing, or closed to us.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's words.
        error: String,
    },
    /// No PEM block of the kind that is needed.
    #[error("{file} contains no {wanted}")]
    Empty {
        /// The file.
        file: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// Readable, but not what it says it is.
    #[error("{file} is damaged: {error}")]
    Damaged {
        /// The file.
        file: String,
        /// What the parser found.
        error: String,
    },
    /// Certificate and key do not fit each other, or the algorithm is not supported.
    #[error("the certificate and the key cannot be used together: {0}")]
    Unusable(String),
}

/// Reads certificate and key, once. A renewed certificate needs a new relay.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let chain = read(&files.certificate)?;
    let key = read(&files.key)?;
    let file = files.certificate.display().to_string();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Damaged { file: file.clone(), error: error.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::Empty { file, wanted: "certificate (-----BEGIN CERTIFICATE-----)" });
    }
    let file = files.key.display().to_string();
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            TlsError::Empty { file, wanted: "private key (-----BEGIN PRIVATE KEY-----)" }
        }
        error => TlsError::Damaged { file, error: error.to_string() },
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| TlsError::Unusable(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path)
        .map_err(|error| TlsError::Unreadable { file: path.display().to_string(), error: error.to_string() })
}
