//! TLS as a server with one certificate, for what a person opens to other machines. A relay has certificates for many names.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::files::{mode_for_others, read_limited};
use crate::tcp::Tcp;

/// Maximum size of a file in bytes: a chain has a few kilobytes.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// A certificate chain and its key. Clones are the same.
#[derive(Clone)]
pub struct TlsServer(TlsAcceptor);

impl TlsServer {
    /// With the PEM files of a certificate chain and of its key, which nobody else may read.
    ///
    /// # Errors
    /// A file cannot be read or holds something else, others can read the key, or both do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> io::Result<Self> {
        let named = |path: &Path, what: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
        };
        let read = |path: &Path| {
            let text = File::open(path).and_then(|file| read_limited(file, MAX_FILE_BYTES));
            text.map_err(|error| named(path, error.to_string()))
        };
        let chain = CertificateDer::pem_slice_iter(&read(certificate)?).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| named(certificate, error.to_string()))?;
        if let Some(mode) = mode_for_others(&File::open(key).map_err(|error| named(key, error.to_string()))?)?
        {
            return Err(named(key, format!("others can read it: its mode is {mode:04o}")));
        }
        let secret: Zeroizing<Vec<u8>> = read(key)?;
        let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| named(key, error.to_string()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
        let mut config = config.map_err(|error| named(certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Performs the handshake.
    ///
    /// # Errors
    /// The other side speaks no TLS, or does not trust the certificate.
    pub async fn accept(&self, tcp: Tcp) -> io::Result<TlsStream<Tcp>> {
        self.0.accept(tcp).await
    }
}
