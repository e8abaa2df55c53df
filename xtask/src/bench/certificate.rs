//! A certificate for this machine, made for one run, in the forms that the programs want.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::process::Folder;

/// The password of the file that must have one.
pub(super) const PASSWORD: &str = "bench";

/// Files of a certificate and its authority.
pub(super) struct Certificate {
    /// The certificate of the authority, PEM.
    pub(super) authority: PathBuf,
    /// The certificate, PEM.
    pub(super) certificate: PathBuf,
    /// Its private key, PEM.
    pub(super) key: PathBuf,
    /// Both, PKCS #12.
    pub(super) both: PathBuf,
}

impl Certificate {
    /// Makes one with `openssl`.
    pub(super) fn new(folder: &Folder) -> Result<Self> {
        let made = Self {
            authority: folder.path("authority.pem"),
            certificate: folder.path("certificate.pem"),
            key: folder.path("key.pem"),
            both: folder.path("both.p12"),
        };
        let authority_key = folder.path("authority-key.pem");
        let mut authority = request("/CN=bench");
        succeed(authority.arg("-keyout").arg(&authority_key).arg("-out").arg(&made.authority))?;
        let mut leaf = request("/CN=localhost");
        leaf.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        leaf.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        leaf.arg("-CA").arg(&made.authority).arg("-CAkey").arg(&authority_key);
        succeed(leaf.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate))?;
        let mut export = Command::new("openssl");
        export.args(["pkcs12", "-export", "-passout", &format!("pass:{PASSWORD}"), "-inkey"]);
        succeed(export.arg(&made.key).arg("-in").arg(&made.certificate).arg("-out").arg(&made.both))?;
        Ok(made)
    }
}

fn request(subject: &str) -> Command {
    let mut request = Command::new("openssl");
    request.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    request.args(["-subj", subject]);
    request
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().context("openssl: is it installed?")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
