//! Keys, requests and certificates as they are made, kept and checked.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::client::verify_server_name;
use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use hvym_tunnel_net::validity::ValidityPeriod;

/// A certificate with its key, ready for handshakes.
#[derive(Clone, Debug)]
pub(crate) struct IssuedCertificate {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) period: ValidityPeriod,
}

/// The key of a certificate to be, as PEM, and the request for it (PKCS #10) as DER.
pub(crate) struct CertificateRequest {
    pub(crate) key: Zeroizing<String>,
    pub(crate) csr: Vec<u8>,
}

/// A new key of P-256, as PEM.
pub(crate) fn new_key() -> Result<Zeroizing<String>, String> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

impl CertificateRequest {
    /// A request with a new key. A key is never used for a second certificate.
    pub(crate) fn new(names: &[String]) -> Result<Self, String> {
        let request = || {
            let key = KeyPair::generate()?;
            let mut wishes = CertificateParams::new(names)?;
            wishes.distinguished_name = DistinguishedName::new();
            let csr = wishes.serialize_request(&key)?.der().to_vec();
            Ok(Self { key: Zeroizing::new(key.serialize_pem()), csr })
        };
        request().map_err(|error: rcgen::Error| error.to_string())
    }
}

impl IssuedCertificate {
    /// What this PEM text holds: a key, and a chain that is valid for all of `names` (`*.` for a wildcard).
    ///
    /// # Errors
    /// Why it cannot be used, without any of its content.
    pub(crate) fn from_pem(pem: &str, names: &[String]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "it has no private key")?;
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|_| "it is damaged")?;
        let leaf = chain.first().ok_or("it has no certificate")?;
        let period = ValidityPeriod::read(leaf).ok_or("its validity cannot be read")?;
        for name in names {
            if !covers(leaf, name) {
                return Err(format!("it is not for {name}"));
            }
        }
        let certified = CertifiedKey::from_der(chain, key, &default_provider());
        let certified = certified.map_err(|_| "certificate and key do not fit")?;
        Ok(Self { certified: Arc::new(certified), period })
    }
}

/// Whether a certificate is valid for `name`; for a wildcard, whether it is for a name that the wildcard stands for.
pub fn covers(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let example = name.strip_prefix('*').map(|rest| format!("x{rest}"));
    let Ok(name) = ServerName::try_from(example.unwrap_or_else(|| name.to_owned())) else { return false };
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

/// The certificate that answers a challenge of TLS-ALPN-01 for `host` (RFC 8737 section 3).
pub(crate) fn challenge_certificate(host: &str, key_authorization: &str) -> Result<CertifiedKey, String> {
    let certificate = || {
        let key = KeyPair::generate()?;
        let mut wishes = CertificateParams::new([host.to_owned()])?;
        let fingerprint = digest(&SHA256, key_authorization.as_bytes());
        wishes.custom_extensions = vec![CustomExtension::new_acme_identifier(fingerprint.as_ref())];
        let certificate = wishes.self_signed(&key)?;
        let key =
            PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        Ok((certificate.der().clone(), key))
    };
    let (certificate, key) = certificate().map_err(|error: rcgen::Error| error.to_string())?;
    // Not `from_der`, which compares key and certificate: it does not know the extension, which is critical.
    let key = any_supported_type(&key).map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate], key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn pem(of: &[&str]) -> String {
        let made = rcgen::generate_simple_self_signed(names(of)).expect("a certificate");
        format!("{}{}", made.key_pair.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn a_certificate_is_used_for_the_names_that_it_has() {
        let wildcard = pem(&["t.test", "*.t.test"]);
        for wanted in [&["t.test", "*.t.test"][..], &["x.t.test"], &[]] {
            assert!(IssuedCertificate::from_pem(&wildcard, &names(wanted)).is_ok(), "{wanted:?}");
        }
        for (pem, wanted, reason) in [
            (wildcard.clone(), "a.b.t.test", "it is not for a.b.t.test"),
            (pem(&["t.test"]), "*.t.test", "it is not for *.t.test"),
            (pem(&["t.test"]).replace("CERTIFICATE", "X"), "t.test", "it has no certificate"),
            (pem(&["t.test"]).replace("PRIVATE", "X"), "t.test", "it has no private key"),
        ] {
            let refused = IssuedCertificate::from_pem(&pem, &names(&[wanted])).err();
            assert_eq!(refused.as_deref(), Some(reason));
        }
    }

    #[test]
    fn a_key_of_another_certificate_does_not_fit() {
        let (one, other) = (pem(&["t.test"]), pem(&["t.test"]));
        let key_end = |pem: &str| pem.find("-----BEGIN CERT").expect("a certificate");
        let mixed = format!("{}{}", &one[..key_end(&one)], &other[key_end(&other)..]);
        let refused = IssuedCertificate::from_pem(&mixed, &names(&["t.test"])).err();
        assert_eq!(refused.as_deref(), Some("certificate and key do not fit"));
    }

    #[test]
    fn a_request_for_names_that_are_none_is_an_error() {
        assert!(CertificateRequest::new(&names(&["t.test", "*.t.test"])).is_ok());
        assert!(CertificateRequest::new(&names(&["\u{e4}.test"])).is_err());
        assert!(challenge_certificate("x.t.test", "a.b").is_ok());
    }
}
