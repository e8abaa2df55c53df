//! A device that serves for its owner, and somebody with a link, by processes of the real program.
#![cfg(unix)]

use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::{Delegation, SignedDelegation};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::Relay;

const OWNER: [u8; 32] = [71; 32];
const DEVICE: [u8; 32] = [72; 32];
/// Exit code of an identity that a relay refuses.
const REFUSED: i32 = 4;

fn address(seed: [u8; 32]) -> Address {
    Key::from_seed(seed).address()
}

/// Runs a command to its end, and returns its output.
fn run(home: &Home, arguments: &[&str]) -> String {
    let output = home.command(arguments).output().expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

/// What an owner and a device have: a home each, and a delegation between them in a file of the device.
struct Delegated {
    owner: Home,
    device: Home,
    file: String,
    delegation: Delegation,
}

impl Delegated {
    fn new(limits: &[&str]) -> Self {
        let (owner, device) = (Home::of(&Key::from_seed(OWNER)), Home::of(&Key::from_seed(DEVICE)));
        let (to, file) = (address(DEVICE).to_string(), device.path("delegation.json").display().to_string());
        run(&owner, &[&["identity", "delegate", "--to", &to, "--out", &file], limits].concat());
        let json = std::fs::read(&file).expect("the delegation");
        let delegation = SignedDelegation::from_json(json.trim_ascii()).expect("a delegation").delegation;
        Self { owner, device, file, delegation }
    }

    /// `expose` on the device, for the owner.
    fn expose(&self, relay: &Relay, target: u16) -> Program {
        let (target, url) = (target.to_string(), relay.url());
        let arguments =
            ["expose", &target, "--service", "web", "--delegation", &self.file, "--json", "--relay", &url];
        self.device.start(&arguments)
    }

    fn revoke(&self, relay: &Relay) -> String {
        let (id, url) = (self.delegation.id.to_string(), relay.url());
        let mut command = self.owner.command(&["identity", "revoke", &id, "--relay", &url]);
        let output = command.output().expect("the program starts");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{err}");
        err
    }
}

fn is_refused(mut program: Program, code: &str) {
    assert_eq!(program.code(), REFUSED, "{program:?}");
    assert!(program.transcript().contains(code), "{program:?}");
}

#[test]
fn a_revocation_that_a_relay_cannot_store_counts_and_is_said() {
    let home = Home::new();
    std::fs::write(home.path("a-file"), "in the way").expect("a folder takes a file");
    let folder = home.path("a-file/state").display().to_string();
    // What is not there yet can be read; only writing fails.
    std::fs::remove_file(home.path("a-file")).expect("a file");
    // Where the control socket is, there is a folder.
    let socket = home.path("control").display().to_string();
    let relay = Relay::start(&["--state-dir", &folder, "--control", &socket]);
    std::fs::write(home.path("a-file"), "in the way").expect("a folder takes a file");
    let delegated = Delegated::new(&["--may", "agent"]);
    let told = delegated.revoke(&relay);
    assert!(told.contains("revoked at") && told.contains("could not store it"), "{told}");
    is_refused(delegated.expose(&relay, 1), "revoked by its owner");
}

#[test]
fn what_a_delegation_does_not_allow_is_refused_and_says_why() {
    let service = Origin::saying(b"never seen");
    let relay = Relay::start(&[]);
    for (limits, why) in [
        (&["--may", "call"][..], "scope agent"),
        (&["--may", "agent", "--relay", "ws://other.example"], "for the relay other.example"),
        (&["--may", "agent", "--services", "db"], "does not name the service web"),
    ] {
        is_refused(Delegated::new(limits).expose(&relay, service.port), why);
    }
    let delegated = Delegated::new(&["--may", "agent"]);
    let file = delegated.file.clone();
    let stranger = Home::of(&Key::from_seed([73; 32]));
    let mut other = stranger.start(&["expose", "1", "--delegation", &file, "--relay", &relay.url()]);
    assert_eq!(other.code(), 3, "{other:?}");
    assert!(other.transcript().contains("--identity"), "{other:?}");
}

#[test]
fn a_share_link_ends_with_its_time() {
    let relay = Relay::start(&[]);
    let owner = Home::of(&Key::from_seed(OWNER));
    let link = run(&owner, &["share", "db", "--for", "1s", "--relay", &relay.url()]);
    let home = Home::new();
    let mut program = home.start(&["forward", link.trim(), "--json"]);
    assert_eq!(program.code(), REFUSED, "{program:?}");
    assert!(program.transcript().contains("the delegation ended at"), "{program:?}");
    assert!(!program.transcript().contains("#share="), "{program:?}");
}

#[test]
fn a_key_that_is_banned_acts_for_nobody_and_its_owner_goes_on() {
    let relay = Relay::start(&[]);
    let delegated = Delegated::new(&["--may", "agent"]);
    let mut program = delegated.expose(&relay, 1);
    program.event("ready");
    run(&relay.home, &["admin", "ban", &address(DEVICE).to_string(), "--reason", "lost"]);
    is_refused(program, "has banned you: lost");
    is_refused(delegated.expose(&relay, 1), "has banned you: lost");
    let mut owner = delegated.owner.start(&["expose", "1", "--json", "--relay", &relay.url()]);
    owner.event("ready");
}
