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
use smol::net::TcpStream;

/// Unsent ciphertext that may wait: a few batches, so that one write carries much.
const BUFFER_BYTES: usize = 256 * 1024;

/// Whose certificate is good enough.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// One that a public authority vouches for.
    Verify,
    /// The same, or an authority of one's own.
    Also(Arc<ClientConfig>),
    /// Anybody's. Only for a service on the person's own machine or network.
    Anyone,
}

impl Trust {
    /// The public authorities, and those in the PEM file `path`.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no certificate of an authority.
    pub(crate) fn with_authorities(path: &Path) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut roots = public();
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
    LazyLock::new(|| Arc::new(builder().with_root_certificates(public()).with_no_client_auth()));

static TRUSTING: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let anyone = Arc::new(Anyone(ring::default_provider()));
    Arc::new(builder().dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth())
});

fn public() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
}

/// Speaks TLS over `tcp` to the server that is called `host`.
pub(crate) async fn client(tcp: TcpStream, host: &str, trust: Trust) -> io::Result<TlsStream<TcpStream>> {
    let config = match trust {
        Trust::Verify => Arc::clone(&VERIFYING),
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
