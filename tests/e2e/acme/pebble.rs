//! Pebble, the certificate authority that Let's Encrypt's developers test clients with, and a resolver for it.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use hvym_tunnel_tests::http::nobody;
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, Program};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use smol::net::TcpStream;

/// A running authority.
pub(super) struct Pebble {
    pub(super) program: Program,
    home: Home,
    port: u16,
    management: u16,
}

/// How an authority is.
pub(super) struct Whims<'a> {
    /// Where it asks for names.
    pub(super) dns: u16,
    /// Where it looks for the challenge of TLS-ALPN-01.
    pub(super) tls: u16,
    /// For how many seconds its certificates are valid.
    pub(super) validity: u64,
    /// Of 100 nonces, how many it refuses.
    pub(super) refused_nonces: &'a str,
}

impl Pebble {
    /// One that verifies names.
    pub(super) fn start(whims: &Whims<'_>) -> Option<Self> {
        let pebble = required_tool("pebble")?;
        let (home, port, management) = (Home::new(), nobody(), nobody());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(home.path("cert.pem"), own.cert.pem()).expect("a folder takes a file");
        fs::write(home.path("key.pem"), own.key_pair.serialize_pem()).expect("a folder takes a file");
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": home.path("cert.pem").display().to_string(),
            "privateKey": home.path("key.pem").display().to_string(),
            "httpPort": nobody(),
            "tlsPort": whims.tls,
            "certificateValidityPeriod": whims.validity,
        }});
        fs::write(home.path("pebble.json"), config.to_string()).expect("a folder takes a file");
        let mut command = Command::new(pebble);
        command.arg("-config").arg(home.path("pebble.json"));
        command.args(["-dnsserver", &format!("127.0.0.1:{}", whims.dns)]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_VA_ALWAYS_VALID", "0");
        command.env("PEBBLE_WFE_NONCEREJECT", whims.refused_nonces).env("PEBBLE_AUTHZREUSE", "50");
        let mut program = Program::start(command);
        while !program.line().contains("ACME directory available at") {}
        Some(Pebble { program, home, port, management })
    }

    /// The options of a relay that gets its certificates here.
    pub(super) fn options(&self) -> Vec<String> {
        let directory = format!("https://localhost:{}/dir", self.port);
        let root = self.home.path("cert.pem").display().to_string();
        ["--acme", "you@mail.example", "--acme-directory", &directory, "--acme-root", &root]
            .map(str::to_owned)
            .to_vec()
    }

    /// Whom visitors trust.
    pub(super) fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&self.root_pem()).expect("a root certificate")
    }

    /// The same as a file has it.
    pub(super) fn root_pem(&self) -> Vec<u8> {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let curl = required_tool("curl").expect("curl, which pebble's tests need too");
        let output = Command::new(curl)
            .args(["-sS", "--noproxy", "*", "--cacert"])
            .arg(self.home.path("cert.pem"))
            .arg(url)
            .output();
        output.expect("curl runs").stdout
    }
}

/// A resolver that answers every question for an address with this machine's.
pub(super) fn resolver() -> Option<(Program, u16)> {
    let (port, management) = (nobody(), nobody());
    let mut command = Command::new(required_tool("pebble-challtestsrv")?);
    command.args([
        "-defaultIPv4",
        "127.0.0.1",
        "-defaultIPv6",
        "",
        "-http01",
        "",
        "-https01",
        "",
        "-tlsalpn01",
        "",
    ]);
    command.args(["-dns01", &format!("127.0.0.1:{port}"), "-management", &format!("127.0.0.1:{management}")]);
    let mut program = Program::start(command);
    while !program.line().contains("Starting management server") {}
    Some((program, port))
}

/// A visitor who trusts one authority.
#[derive(Clone)]
pub(super) struct Visitor {
    config: Arc<ClientConfig>,
    port: u16,
}

impl Visitor {
    pub(super) fn new(root: CertificateDer<'static>, port: u16) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(root).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Visitor { config: Arc::new(config), port }
    }

    /// TLS with the relay as `host`.
    pub(super) async fn open(&self, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        TlsConnector::from(Arc::clone(&self.config)).connect(name, tcp).await
    }

    /// The certificate that a handshake as `host` shows.
    pub(super) async fn shown(&self, host: &str) -> CertificateDer<'static> {
        let tls = self.open(host).await.expect("a good certificate");
        tls.get_ref().1.peer_certificates().expect("certificates")[0].clone().into_owned()
    }
}
