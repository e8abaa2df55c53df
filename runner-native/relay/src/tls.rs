//! TLS termination, and the sources of its certificates.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use futures_rustls::server::TlsStream;
use futures_rustls::{LazyConfigAcceptor, TlsAcceptor};
use futures_util::io::AsyncWriteExt;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::TlsFiles;
use hvym_tunnel_acme::ACME_TLS_ALPN;
use hvym_tunnel_net::files::{mode_for_others, read_limited};
use hvym_tunnel_net::tcp::Tcp;

/// The largest file with a private key. RSA keys are the longest, with about 3 KiB; some files have the chain too.
const MAX_KEY_BYTES: usize = 64 * 1024;
/// Limit of buffered ciphertext: a few batches, so that one write sends much.
const BUFFER_BYTES: usize = 256 * 1024;

/// The response to plain HTTP. Every method begins with a letter, and no TLS record does (RFC 8446 section 5.1).
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 40\r\n\
    connection: close\r\n\r\nThis port speaks TLS: use https:// here\n";

/// Why a certificate cannot be used. Names the file, never its content.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum TlsError {
    /// The file is missing, or not readable for this process.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's message.
        error: String,
    },
    /// Others could have copied the key.
    #[error(
        "{file} can be read by others (mode {mode:04o}), so it may not hold a private key: chmod 600 {file}"
    )]
    TooOpen {
        /// The file.
        file: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file has no PEM block of the needed kind.
    #[error("{file} contains no {wanted}")]
    Empty {
        /// The file.
        file: String,
        /// The kind of block.
        wanted: &'static str,
    },
    /// A PEM block is malformed.
    #[error("{file} is damaged: {error}")]
    Damaged {
        /// The file.
        file: String,
        /// The parser's message.
        error: String,
    },
    /// Certificate and key do not fit each other, or the algorithm is not supported.
    #[error("the certificate and the key cannot be used together: {0}")]
    Unusable(String),
}

/// A certificate that is on its way.
pub type Preparation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Selects the certificate of a TLS handshake by server name (SNI, RFC 6066 section 3).
pub trait CertSource: fmt::Debug + Send + Sync {
    /// The chain and key for `server_name`; `None` ends the handshake. Called within each handshake: it must not block.
    fn certificate(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>>;

    /// The certificate that answers a certificate authority that verifies `server_name` (RFC 8737).
    fn challenge(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let _none = server_name;
        None
    }

    /// Whether certificates may come while a handshake waits: then [`Self::prepare`] is called, and challenges are answered.
    fn is_on_demand(&self) -> bool {
        false
    }

    /// Begins to get a certificate for `server_name`; the handshake goes on once it is there, or cannot be had, at the latest
    /// after ten seconds. `None`: there is nothing to wait for.
    fn prepare(&self, server_name: &str) -> Option<Preparation> {
        let _any = server_name;
        None
    }

    /// Reloads the certificates for later handshakes; open connections keep theirs.
    ///
    /// # Errors
    /// The new certificates cannot be used; those before stay in use.
    fn reload(&self) -> Result<(), TlsError> {
        Ok(())
    }

    /// Called every half minute. Reloads if something changed, else returns `None`.
    fn poll(&self) -> Option<Result<(), TlsError>> {
        None
    }
}

/// The default source: one certificate for every name, from two PEM files that may be replaced at any time.
#[derive(Debug)]
pub struct FileCertificate {
    files: TlsFiles,
    certified: RwLock<Arc<CertifiedKey>>,
    /// The stamp of the files that were loaded last.
    stamp: Mutex<Stamp>,
}

impl FileCertificate {
    /// Loads certificate and key.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        // Taken before the files are read, so that a later write is noticed.
        let stamp = Mutex::new(Stamp::new(files));
        let certified = RwLock::new(Arc::new(certified(files)?));
        Ok(Self { files: files.clone(), certified, stamp })
    }
}

impl CertSource for FileCertificate {
    fn certificate(&self, _server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certified.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn reload(&self) -> Result<(), TlsError> {
        let new = Arc::new(certified(&self.files)?);
        *self.certified.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn poll(&self) -> Option<Result<(), TlsError>> {
        let now = Stamp::new(&self.files);
        let before = std::mem::replace(&mut *self.stamp.lock().unwrap_or_else(PoisonError::into_inner), now);
        (now != before).then(|| self.reload())
    }
}

/// Modification time and length of both files. The length is there because two writes can share one tick of the file
/// system.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Stamp([Option<(SystemTime, u64)>; 2]);

impl Stamp {
    /// The stamp of these files.
    fn new(files: &TlsFiles) -> Self {
        let at = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Stamp([at(&files.certificate), at(&files.key)])
    }
}

/// The TLS acceptor. Clones share the certificates.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    config: Arc<ServerConfig>,
    pub(super) source: Arc<dyn CertSource>,
}

/// What a listener takes.
#[derive(Clone)]
pub(crate) enum ListenerKind {
    /// HTTP.
    Plain,
    /// HTTPS.
    Tls(Tls),
    /// HTTP, which is led to HTTPS.
    HttpsRedirect,
}

/// Adapts a [`CertSource`] to rustls.
#[derive(Debug)]
struct Resolver(Arc<dyn CertSource>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name().filter(|_| is_challenge(&hello)) {
            Some(name) => self.0.challenge(name),
            None => self.0.certificate(hello.server_name()),
        }
    }
}

impl Tls {
    /// An acceptor with the certificates of `source`.
    ///
    /// # Errors
    /// None with the built-in cryptography.
    pub(super) fn new(source: Arc<dyn CertSource>) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(Arc::clone(&source))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if source.is_on_demand() {
            config.alpn_protocols.push(ACME_TLS_ALPN.to_vec());
        }
        let config = Arc::new(config);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::clone(&config)), config, source })
    }
}

fn certified(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = read(&files.certificate)?;
    let key = read_private(&files.key)?;
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
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| TlsError::Unusable(error.to_string()))
}

/// Performs the TLS handshake. A client that sends plain HTTP gets a response that says so.
pub(super) async fn accept(tls: &Tls, mut tcp: Tcp) -> io::Result<TlsStream<Tcp>> {
    let mut first = [0];
    if tcp.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
        tcp.write_all(PLAIN).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP where TLS is spoken"));
    }
    let mut stream = match tls.source.is_on_demand() {
        false => tls.acceptor.accept(tcp).await?,
        true => accept_on_demand(tls, tcp).await?,
    };
    if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS_ALPN) {
        // The certificate was all that was wanted (RFC 8737 section 3).
        stream.close().await?;
        return Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "a certificate authority verified a name",
        ));
    }
    stream.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES));
    Ok(stream)
}

/// Reads a file that nobody else may read.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let file = path.display().to_string();
    let unreadable = |error: io::Error| TlsError::Unreadable { file: file.clone(), error: error.to_string() };
    let opened = fs::File::open(path).map_err(unreadable)?;
    if let Some(mode) = mode_for_others(&opened).map_err(unreadable)? {
        return Err(TlsError::TooOpen { file, mode });
    }
    read_limited(opened, MAX_KEY_BYTES).map_err(unreadable)
}

/// As the acceptor does it, after a certificate for the name was waited for.
async fn accept_on_demand(tls: &Tls, tcp: Tcp) -> io::Result<TlsStream<Tcp>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let hello = start.client_hello();
    let wanted = hello.server_name().filter(|_| !is_challenge(&hello));
    let preparation = wanted.and_then(|name| tls.source.prepare(name));
    if let Some(preparation) = preparation {
        preparation.await;
    }
    start.into_stream(Arc::clone(&tls.config)).await
}

/// Whether this comes from a certificate authority that verifies a name: it speaks nothing else (RFC 8737 section 3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut protocols| protocols.next() == Some(ACME_TLS_ALPN) && protocols.next().is_none())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path)
        .map_err(|error| TlsError::Unreadable { file: path.display().to_string(), error: error.to_string() })
}
