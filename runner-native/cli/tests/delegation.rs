//! What a person gets who lets another key act for theirs: the real program, in a home folder of its own, without a network.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use ed25519_dalek::{Signer, SigningKey};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::{
    Delegation, SEP53_PREFIX, Scopes, ShareLink, SignatureForm, SignedDelegation,
};
use sha2::{Digest, Sha256};
use stellar_strkey::ed25519::PrivateKey;

const OWNER: u8 = 21;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn address(seed: u8) -> Address {
    Address::from_public_key(key(seed).verifying_key().to_bytes())
}

/// A home folder with an identity in it, removed at the end.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let name = format!("hvym-tunnel-delegation-{:016x}", getrandom::u64().expect("randomness"));
        let home = Home(std::env::temp_dir().join(name));
        fs::create_dir_all(home.0.join("hvym-tunnel")).expect("the temporary folder takes a folder");
        let identity = home.0.join("hvym-tunnel/identity.key");
        let secret = PrivateKey([OWNER; 32]);
        fs::write(&identity, secret.as_unredacted().to_string().as_str()).expect("a folder takes a file");
        fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
        home
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Exit code, output and errors.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hvym-tunnel"));
        command.args(arguments).env_clear().env("HOME", &self.0).env("XDG_CONFIG_HOME", &self.0);
        let output = command.output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
    }

    fn good(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn read(json: &str) -> SignedDelegation {
    SignedDelegation::from_json(json.trim().as_bytes()).expect("a delegation")
}

#[test]
fn what_an_identity_delegates_is_signed_limited_and_listed_for_its_owner_alone() {
    let (home, device) = (Home::new(), address(22).to_string());
    assert_eq!(home.good(&["identity", "delegations"]), "");
    let file = home.path("device.json");
    let limits =
        ["--may", "agent", "--services", "web,api", "--relay", "ws://Localhost:4896", "--days", "366"];
    let limits = [&["identity", "delegate", "--to", &device, "--out", &file], &limits[..]].concat();
    assert_eq!(home.good(&limits), "");
    let signed = read(&fs::read_to_string(&file).expect("the delegation"));
    let Delegation { owner, key, may, services, relay, from, until, id } = signed.delegation.clone();
    assert_eq!((owner, key, may), (address(OWNER), address(22), Scopes::AGENT));
    assert_eq!((services.join(","), relay.as_deref()), ("web,api".to_owned(), Some("localhost:4896")));
    assert_eq!(until.as_secs() - from.as_secs(), 366 * 24 * 3600);
    signed.verify().expect("signed by its owner");

    let other = read(&home.good(&["identity", "delegate", "--to", &device, "--may", "call,agent"]));
    assert_eq!((other.delegation.may, other.delegation.services.len()), (Scopes::ALL, 0));
    assert_eq!(other.delegation.until.as_secs() - other.delegation.from.as_secs(), 30 * 24 * 3600);
    assert_ne!(other.delegation.id, id);
    let list = home.good(&["identity", "delegations"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    for (line, id) in list.lines().zip([id, other.delegation.id]) {
        assert!(line.starts_with(&id.to_string()) && line.contains(&device), "{line}");
    }
    let kept = fs::metadata(home.0.join("hvym-tunnel/identity.delegations")).expect("the list");
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_wallet_signs_the_text_and_its_signature_completes_it() {
    let (home, owner, device) = (Home::new(), address(23).to_string(), address(22).to_string());
    let text = home.good(&["identity", "delegate", "--to", &device, "--may", "call", "--wallet", &owner]);
    let file = home.path("text.txt");
    fs::write(&file, &text).expect("a folder takes a file");
    let hash = Sha256::digest(format!("{SEP53_PREFIX}{}", text.trim_end()));
    let signature = |seed| data_encoding::BASE64.encode(&key(seed).sign(&hash).to_bytes());
    let complete =
        |signature: &str| home.run(&["identity", "delegate", "--text", &file, "--sep53", signature]);
    let (code, json, err) = complete(&signature(23));
    assert_eq!(code, 0, "{err}");
    let signed = read(&json);
    assert_eq!((signed.form, signed.delegation.owner), (SignatureForm::Sep53, address(23)));
    signed.verify().expect("signed by the wallet");
    let (code, json, err) = complete(&signature(OWNER));
    assert_eq!((code, json.as_str()), (3, ""), "another key's signature");
    assert!(err.contains("not signed by its owner"), "{err}");
    assert_eq!(complete("AAAA").0, 3);
    assert_eq!(home.good(&["identity", "delegations"]).lines().count(), 1, "what was refused is not kept");
}

#[test]
fn a_share_link_is_the_only_line_of_output_and_is_for_one_service_and_a_time() {
    let home = Home::new();
    let (code, out, err) = home.run(&["share", "web", "--for", "2h", "--relay", "tunnel.example"]);
    assert_eq!((code, out.lines().count()), (0, 1), "{err}");
    assert!(!err.contains("#share="), "the link has a key in it: {err}");
    let link = ShareLink::parse(&out).expect("a share link");
    assert_eq!((link.owner(), link.service(), link.relay()), (address(OWNER), "web", "tunnel.example"));
    let Delegation { may, from, until, id, .. } = link.delegation().delegation();
    assert_eq!((*may, until.as_secs() - from.as_secs()), (Scopes::CALL, 2 * 3600));
    assert!(home.good(&["identity", "delegations"]).starts_with(&id.to_string()));
    assert!(err.contains(&format!("identity revoke {id} --relay wss://tunnel.example")), "{err}");
}

#[test]
fn limits_that_make_no_sense_are_refused_before_anything_is_signed() {
    let (home, own, device) = (Home::new(), address(OWNER).to_string(), address(22).to_string());
    let delegate = |more: &[&str]| home.run(&[&["identity", "delegate"], more].concat()).0;
    assert_eq!(delegate(&["--to", &own, "--may", "call"]), 3, "to itself");
    assert_eq!(delegate(&["--to", &device, "--may", "call", "--services", "a,a"]), 3, "a service twice");
    assert_eq!(delegate(&["--to", &device]), 2, "nothing to do");
    assert_eq!(delegate(&["--may", "call"]), 2, "to nobody");
    assert_eq!(delegate(&["--to", &device, "--may", "call", "--days", "367"]), 2, "over a year");
    assert_eq!(delegate(&["--to", &device, "--may", "api"]), 2, "no scope that is delegated");
    assert_eq!(home.run(&["share", "web", "--for", "367d", "--relay", "tunnel.example"]).0, 2);
    assert_eq!(home.good(&["identity", "delegations"]), "");
}
