//! A device that serves for its owner, and somebody with a link, by processes of the real program.
#![cfg(unix)]

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::{Delegation, ShareLink, SignedDelegation};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};

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
fn a_device_serves_under_its_owners_name_until_the_owner_takes_it_back() {
    let service = Origin::saying(b"from the device");
    let mut relay = Relay::start(&[]);
    let delegated = Delegated::new(&["--may", "agent", "--services", "web", "--relay", &relay.url()]);
    let mut device = delegated.expose(&relay, service.port);
    let ready = device.event("ready");
    let url = ready["url"].as_str().expect("a URL");
    assert!(url.contains(ShortLabel::new(&address(OWNER)).as_str()), "{url}");
    let joined = relay.program.event("agent_joined");
    let who = |name: &str| joined[name].as_str().and_then(|text| text.parse().ok());
    assert_eq!((who("address"), who("key")), (Some(address(OWNER)), Some(address(DEVICE))));
    let mut visitor = relay.visit();
    visitor.send(request(host_of(url), "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("a body"), b"from the device");

    let told = delegated.revoke(&relay);
    assert!(told.contains("revoked at") && !told.contains("could not"), "{told}");
    is_refused(device, "revoked by its owner");
    let left = relay.program.event("agent_left");
    assert_eq!(left["key"].as_str(), Some(&*address(DEVICE).to_string()));
    is_refused(delegated.expose(&relay, service.port), "revoked by its owner");
    let list = run(&delegated.owner, &["identity", "delegations"]);
    assert!(list.contains("revoked at 127.0.0.1"), "{list}");

    let relay = relay.restart(&[]);
    is_refused(delegated.expose(&relay, service.port), "revoked by its owner");
}

#[test]
fn a_revocation_that_a_relay_cannot_store_counts_and_is_said() {
    let home = Home::new();
    let folder = home.path("state");
    let relay = Relay::start(&["--state-dir", &folder.display().to_string()]);
    // No file takes the place of a folder.
    std::fs::create_dir_all(folder.join("revocations")).expect("a folder takes a folder");
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

/// `forward` with a link in a home that has nothing else, and the port where it listens.
fn forward(home: &Home, link: &str) -> (Program, u16) {
    let mut program = home.start(&["forward", link, "--json"]);
    let listen = program.event("forwarding")["listen"].as_str().expect("a place").to_owned();
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    (program, port)
}

fn ask(port: u16) -> std::io::Result<Vec<u8>> {
    let mut connection = Conversation::dial(port);
    connection.send(request(&format!("127.0.0.1:{port}"), "GET", "/", &[]))?;
    let head = connection.head()?;
    connection.body(&head)
}

#[test]
fn whoever_has_a_share_link_reaches_that_service_alone_until_it_is_taken_back() {
    let service = Origin::saying(b"shared");
    let relay = Relay::start(&[]);
    let friend = address([74; 32]).to_string();
    let more = ["--service", "db", "--private", "--allow", &friend];
    let mut owner = Agent::start_in(Home::of(&Key::from_seed(OWNER)), &relay, service.port, &more);
    let link = run(&owner.home, &["share", "db", "--for", "2h", "--relay", &relay.url()]);
    let link = link.trim();
    let home = Home::new();
    let (program, port) = forward(&home, link);
    assert_eq!(ask(port).expect("an answer"), b"shared");
    assert!(!home.path("config/hvym-tunnel/identity.key").exists(), "the link has its own key");
    let reached = owner.program.event("reached");
    let share = ShareLink::parse(link).expect("a link");
    let key = share.delegation().delegation().key.to_string();
    assert_eq!(reached["from"].as_str(), Some(&*address(OWNER).to_string()));
    assert_eq!(reached["key"].as_str(), Some(key.as_str()));
    assert!(!owner.program.transcript().contains("#share="), "{:?}", owner.program);

    let other = run(&owner.home, &["share", "zz", "--relay", &relay.url()]);
    let other_home = Home::new();
    let (mut program_of_other, other_port) = forward(&other_home, other.trim());
    program_of_other.event("not_reached");
    ask(other_port).expect_err("there is no such service");

    let id = share.delegation().delegation().id.to_string();
    run(&owner.home, &["identity", "revoke", &id, "--relay", &relay.url()]);
    is_refused(program, "revoked by its owner");
    assert!(owner.program.runs(), "the owner's own agent stays: {:?}", owner.program);
}

#[test]
fn whoever_shares_what_is_not_served_is_told_what_there_is_and_has_a_link_for_later() {
    let relay = Relay::start(&[]);
    let owner = Home::of(&Key::from_seed(OWNER));
    let share = |name: &str, relay: &str| {
        let output = owner.command(&["share", name, "--relay", relay]).output().expect("the program starts");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        ShareLink::parse(&String::from_utf8_lossy(&output.stdout))
            .unwrap_or_else(|error| panic!("{error}: {err}"));
        assert!(output.status.success(), "{err}");
        err
    };
    let absent = format!("warning: you serve no db at {} now", relay.url());
    assert!(share("db", &relay.url()).contains(&format!("{absent}\n")));
    let file = owner.path("config/hvym-tunnel/config.toml");
    let services =
        "[[service]]\nname = \"web\"\ntarget = \"3000\"\n[[service]]\nname = \"api\"\ntarget = \"4000\"\n";
    std::fs::write(file, format!("[[link]]\nrelay = \"{}\"\n{services}", relay.url())).expect("a file");
    let said = share("db", &relay.url());
    assert!(said.contains(&format!("{absent}; the settings file has web, api\n")), "{said}");
    assert!(said.contains("hint: hvym-tunnel expose PORT --service db --private"), "{said}");

    let origin = Origin::saying(b"shared");
    let _agent = Agent::start_in(
        Home::of(&Key::from_seed(OWNER)),
        &relay,
        origin.port,
        &["--service", "db", "--private"],
    );
    let said = share("db", &relay.url());
    assert!(!said.contains("warning: "), "{said}");
    let said = share("db", &format!("ws://127.0.0.1:{}", nobody()));
    assert!(said.contains("warning: whether you serve db now is not known: "), "{said}");
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
