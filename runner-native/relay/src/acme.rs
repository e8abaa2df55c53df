//! Certificates by ACME for the relay's handshakes, beside those of files; and which hosts get one.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use hvym_tunnel_acme::{AcmeConfig, Certificates, DnsConfig, Manager, ServedHosts, covers};
use hvym_tunnel_net::tls::Trust;
use rustls::sign::CertifiedKey;

use crate::config::{ConfigError, RelayOptions, is_public};
use crate::error::RelayError;
use crate::relay_state::RelayState;
use crate::router::Route;
use crate::sessions::HostTarget;
use crate::tls::{CertSource, FileCertificate, Preparation, TlsError};

/// An address of the documentation (RFC 5737): finding out which of our own leads to it sends nothing.
const ELSEWHERE: ([u8; 4], u16) = ([192, 0, 2, 1], 9);

/// Certificates of files for the names that these have, and by ACME for all others.
#[derive(Debug)]
pub(crate) struct AcmeSource {
    files: Option<FileCertificate>,
    acme: Certificates,
}

impl AcmeSource {
    /// Reads the state folder, and listens for DNS queries if that is set. The manager is to be run.
    ///
    /// # Errors
    /// A file, a folder or the DNS server's port cannot be used.
    pub(crate) fn open(
        options: &RelayOptions,
        email: &str,
        files: Option<FileCertificate>,
    ) -> Result<(Self, Manager), RelayError> {
        let https = &options.https;
        let trust = match &https.acme_root {
            None => Trust::Verify,
            Some(path) => Trust::with_authorities(path).map_err(|error| TlsError::Unreadable {
                file: path.display().to_string(),
                error: error.to_string(),
            })?,
        };
        let dns = https.dns_listen.map(|listen| {
            let addresses = public_addresses(options, listen)?;
            Ok::<_, ConfigError>(DnsConfig { listen, reuse_port: true, addresses })
        });
        let config = AcmeConfig {
            email: email.to_owned(),
            directory: https.directory().to_owned(),
            trust,
            domain: options.ingress.domain.clone(),
            dns: dns.transpose()?,
            state_dir: options.state.state_dir.clone().ok_or(RelayError::StateFolder)?,
        };
        let (acme, manager) = hvym_tunnel_acme::open(config)?;
        Ok((Self { files, acme }, manager))
    }

    fn of_files(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let certified = self.files.as_ref()?.certificate(Some(host))?;
        certified.cert.first().is_some_and(|leaf| covers(leaf, host)).then_some(certified)
    }
}

impl CertSource for AcmeSource {
    fn certificate(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        match server_name.map(str::to_ascii_lowercase) {
            Some(host) => self.of_files(&host).or_else(|| self.acme.certificate(Some(&host))),
            None => self.acme.certificate(None).or_else(|| self.files.as_ref()?.certificate(None)),
        }
    }

    fn challenge(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.acme.challenge(&server_name.to_ascii_lowercase())
    }

    fn is_on_demand(&self) -> bool {
        true
    }

    fn prepare(&self, server_name: &str) -> Option<Preparation> {
        let host = server_name.to_ascii_lowercase();
        if self.of_files(&host).is_some() {
            return None;
        }
        let order = self.acme.order(&host)?;
        Some(Box::pin(order.ended()))
    }

    fn reload(&self) -> Result<(), TlsError> {
        self.acme.retry();
        self.files.as_ref().map_or(Ok(()), CertSource::reload)
    }

    fn poll(&self) -> Option<Result<(), TlsError>> {
        self.files.as_ref()?.poll()
    }
}

/// The hosts of the services that agents offer.
pub(crate) struct LiveHosts(pub(crate) Weak<RelayState>);

impl ServedHosts for LiveHosts {
    fn is_served(&self, host: &str) -> bool {
        let Some(state) = self.0.upgrade() else { return false };
        let found = match state.plugins.router.route(host) {
            Route::Here(host) => state.sessions.find(&host),
            Route::Elsewhere(_) => return false,
        };
        matches!(found, Ok(HostTarget::Served(_)))
    }
}

/// The addresses that DNS answers have: those that are set, else the public one that is listened at, else the public one
/// that this machine uses.
fn public_addresses(options: &RelayOptions, dns: SocketAddr) -> Result<Vec<IpAddr>, ConfigError> {
    if !options.https.public_ip.is_empty() {
        return Ok(options.https.public_ip.clone());
    }
    let used = || {
        let socket = std::net::UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), 0)).ok()?;
        socket.connect(SocketAddr::from(ELSEWHERE)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let known = [Some(options.ingress.listen.ip()), Some(dns.ip())].into_iter().flatten();
    let address = known.chain(used()).find(|address| is_public(*address));
    address.map(|address| vec![address]).ok_or(ConfigError::PublicIp)
}
