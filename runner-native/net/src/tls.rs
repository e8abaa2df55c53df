//! TLS as a client: to the relay, and to local services that speak it.

use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::tcp::Tcp;

/// Unsent ciphertext that may wait: a few batches, so that one write carries much.
const BUFFER_BYTES: usize = 256 * 1024;

/// Whose certificate is good enough.
#[derive(Clone, Debug)]
pub enum Trust {
    /// One that a public authority vouches for, or one that this machine trusts.
    Verify,
    /// The same, or an authority of one's own.
    Also(Arc<ClientConfig>),
    /// Anybody's. Only for a service on the person's own machine or network.
    Anyone,
}

impl Trust {
    /// The public authorities, this machine's, and those in the PEM file `path`.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no certificate of an authority.
    pub fn with_authorities(path: &Path) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut roots = known();
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| invalid(e.to_string()))? {
            let certificate = certificate.map_err(|e| invalid(e.to_string()))?;
            roots.add(certificate).map_err(|e| invalid(e.to_string()))?;
        }
        if roots.len() == before {
            return Err(invalid("there is no certificate in it".to_owned()));
        }
        Ok(Trust::Also(Arc::new(builder().with_root_certificates(roots).with_no_client_auth())))
    }
}

static VERIFYING: LazyLock<Arc<ClientConfig>> =
    LazyLock::new(|| Arc::new(builder().with_root_certificates(known()).with_no_client_auth()));

static TRUSTING: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let anyone = Arc::new(Anyone(ring::default_provider()));
    Arc::new(builder().dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth())
});

/// The public authorities, and those that this machine's owner added. What is wrong with the latter is no reason to
/// do without the former, as in a container that has none.
fn known() -> RootCertStore {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let own = rustls_native_certs::load_native_certs();
    for error in own.errors {
        tracing::info!(%error, "an authority that this machine trusts cannot be read");
    }
    let (taken, ignored) = roots.add_parsable_certificates(own.certs);
    tracing::debug!(taken, ignored, "authorities that this machine trusts");
    roots
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
}

/// Speaks TLS over `tcp` to the server that is called `host`.
pub async fn client(tcp: Tcp, host: &str, trust: Trust) -> io::Result<TlsStream<Tcp>> {
    let config = match trust {
        // The first time, this machine's authorities are read from its disk.
        Trust::Verify => smol::unblock(|| Arc::clone(&VERIFYING)).await,
        Trust::Also(config) => config,
        Trust::Anyone => Arc::clone(&TRUSTING),
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a name that a certificate can have"))?;
    let mut stream = TlsConnector::from(config).connect(name, tcp).await?;
    stream.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES));
    Ok(stream)
}

/// Accepts every certificate, but still checks that the peer holds its key.
#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
