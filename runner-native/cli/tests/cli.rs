//! What a person gets who types a command: the real program, in a home folder of its own.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::stellar::{Address, Expected, Scope, Token};
use hvym_tunnel_core::time::UnixTime;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use stellar_strkey::ed25519::PrivateKey;

/// A home folder that nobody else uses, removed at the end.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let folder = format!("hvym-tunnel-cli-{:016x}", getrandom::u64().expect("randomness"));
        let home = Home(std::env::temp_dir().join(folder));
        fs::create_dir(&home.0).expect("the temporary folder takes a folder");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn key(&self) -> PathBuf {
        self.path("config/hvym-tunnel/identity.key")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hvym-tunnel"));
        command.args(arguments).env_clear().env("HOME", &self.0).env("XDG_CONFIG_HOME", self.path("config"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().expect("the program starts"))
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
        // The program may end before it reads everything.
        let _closed = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
        Run::of(child.wait_with_output().expect("the program ends"))
    }

    /// Writes a file with this mode.
    fn write(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
        path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the home folder can be removed");
    }
}

#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn of(output: Output) -> Run {
        Run {
            code: output.status.code().expect("the program was not killed"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Ends with this code and says all of this on standard error.
    fn refused(self, code: i32, words: &[&str]) -> Run {
        assert_eq!(self.code, code, "{self:?}");
        assert!(words.iter().all(|word| self.err.contains(word)), "{words:?}: {self:?}");
        self
    }

    /// The one line that a command answers with.
    fn line(self) -> String {
        assert_eq!((self.code, self.out.lines().count()), (0, 1), "{self:?}");
        self.out.trim_end().to_owned()
    }

    fn hides(&self, secret: &str) {
        assert!(!self.out.contains(secret) && !self.err.contains(secret), "the secret was shown: {self:?}");
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the file can be read")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").mode() & 0o777
}

/// A secret and its address.
fn pair(seed: u8) -> (String, String) {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let address = Address::from_public_key(key.verifying_key().to_bytes());
    (PrivateKey([seed; 32]).as_unredacted().to_string().as_str().to_owned(), address.to_string())
}

/// `expose`, at a relay that is not there: exit 6 after everything but the network was done.
fn expose<'a>(more: &[&'a str], relay: &'a str) -> Vec<&'a str> {
    [&["expose", "3000", "--no-retry", "--relay", relay], more].concat()
}

/// A port where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("ws://{}", listener.local_addr().expect("it is bound"))
}

#[test]
fn the_first_run_makes_an_identity_that_only_its_owner_can_read() {
    let home = Home::new();
    let relay = nobody();
    let run = home.run(&expose(&[], &relay)).refused(6, &["new identity G", "identity.key"]);
    assert_eq!((mode(&home.key()), mode(home.key().parent().expect("a folder"))), (0o600, 0o700));
    let secret = text(&home.key());
    assert_eq!((secret.len(), secret.matches('\n').count()), (57, 1));
    run.hides(secret.trim_end());
    let again = home.run(&expose(&[], &relay)).refused(6, &[]);
    assert!(!again.err.contains("new identity"), "{again:?}");
    assert_eq!(text(&home.key()), secret);
}

#[test]
fn first_runs_at_once_end_with_one_identity() {
    let home = Home::new();
    let relay = nobody();
    let start = || home.command(&expose(&["--json"], &relay)).spawn().expect("the program starts");
    let children: Vec<_> = (0..6).map(|_| start()).collect();
    let runs: Vec<_> = children
        .into_iter()
        .map(|child| Run::of(child.wait_with_output().expect("the program ends")).refused(6, &[]))
        .collect();
    let created: Vec<&str> = runs
        .iter()
        .flat_map(|run| run.out.lines())
        .filter(|line| line.contains("identity_created"))
        .collect();
    let address = home.run(&["identity"]).line();
    assert_eq!(created.len(), 1, "{runs:?}");
    assert!(created[0].contains(&address), "{created:?} {address}");
}

#[test]
fn an_imported_secret_is_that_accounts_address_and_is_never_shown() {
    let (secret, address) = pair(3);
    let home = Home::new();
    let import = home.run_with_input(&["identity", "import"], &format!("{secret}\n"));
    import.hides(&secret);
    assert_eq!(import.line(), address);
    let show = home.run(&["identity", "show"]);
    show.hides(&secret);
    assert_eq!(show.line(), address);
    assert_eq!(text(&home.key()), format!("{secret}\n"));

    let copy = home.write("copy.txt", &secret, 0o644);
    let other = home.path("deep/er/other.key");
    let arguments = ["identity", "import", "--from", copy.to_str().expect("text"), "--identity"];
    let import = home.run(&[&arguments[..], &[other.to_str().expect("text")]].concat());
    assert_eq!(import.line(), address);
    assert_eq!((text(&other), mode(&other)), (format!("{secret}\n"), 0o600));
}

#[test]
fn an_identity_is_replaced_only_by_force() {
    let home = Home::new();
    let first = home.run(&["identity", "new"]).line();
    home.run(&["identity", "new"]).refused(3, &["already is an identity", "--force"]);
    home.run_with_input(&["identity", "import"], &pair(3).0).refused(3, &["already is an identity"]);
    assert_eq!(home.run(&["identity"]).line(), first);
    let secret = text(&home.key());
    let forced = home.run(&["identity", "new", "--force"]);
    forced.hides(secret.trim_end());
    let backup = home.path(&format!("config/hvym-tunnel/identity.key.{first}.bak"));
    assert!(forced.err.contains(&backup.display().to_string()), "{forced:?}");
    assert_eq!((text(&backup), mode(&backup)), (secret, 0o600));
    let second = forced.line();
    assert_ne!(first, second);
    assert_eq!(home.run(&["identity"]).line(), second);
    assert_eq!(mode(&home.key()), 0o600);
}

#[test]
fn a_relay_has_an_identity_of_its_own() {
    let home = Home::new();
    let relay = home.run(&["identity", "new", "--of", "relay"]).line();
    assert!(home.path("config/hvym-tunnel/relay.key").exists() && !home.key().exists());
    assert_eq!(home.run(&["identity", "--of", "relay"]).line(), relay);
    home.run(&["identity"]).refused(4, &["there is no identity at", "identity new"]);
}

#[test]
fn a_secret_that_others_could_read_is_refused_with_the_way_out() {
    let (secret, _) = pair(3);
    let home = Home::new();
    for mode in [0o644, 0o640, 0o604, 0o620] {
        let path = home.write("open.key", &secret, mode);
        let path = path.to_str().expect("text");
        let run = home.run(&["identity", "--identity", path]);
        run.hides(&secret);
        run.refused(4, &["can be read by others", &format!("chmod 600 {path}")]);
    }
}

#[test]
fn typed_wins_over_variables_and_variables_over_the_default() {
    let home = Home::new();
    let default = home.run(&["identity", "new"]).line();
    let [one, two, three, four] = [1, 2, 3, 4].map(pair);
    let [file, named] =
        [("a.key", &one), ("b.key", &two)].map(|(name, pair)| home.write(name, &pair.0, 0o600));
    let token = |arguments: &[&str], variables: &[(&str, &str)], input: &str| {
        let audience = pair(9).1;
        let arguments = [&["token", "--audience", &audience], arguments].concat();
        let mut command = home.command(&arguments);
        let mut child =
            command.envs(variables.iter().copied()).stdin(Stdio::piped()).spawn().expect("it starts");
        let _unread = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
        let run = Run::of(child.wait_with_output().expect("the program ends"));
        assert_eq!(run.code, 0, "{run:?}");
        run.err.split(' ').next().expect("whose token it is").to_owned()
    };
    let file_variable = ("HVYM_TUNNEL_IDENTITY", file.to_str().expect("text"));
    let secret_variable = ("HVYM_TUNNEL_SECRET", three.0.as_str());
    let both = [file_variable, secret_variable];
    let typed = ["--identity", named.to_str().expect("text")];
    assert_eq!(token(&[], &[], ""), default);
    assert_eq!(token(&[], &[secret_variable], ""), three.1);
    assert_eq!(token(&[], &both, ""), one.1);
    assert_eq!(token(&typed, &both, ""), two.1);
    assert_eq!(token(&["--identity-stdin"], &both, &format!("{}\nmore", four.0)), four.1);
    assert_eq!(token(&[], &[("HVYM_TUNNEL_SECRET", ""), ("HVYM_TUNNEL_IDENTITY", "")], ""), default);
}

#[test]
fn a_token_is_one_that_its_relay_believes() {
    let (secret, address) = pair(3);
    let audience: Address = pair(9).1.parse().expect("an address");
    let home = Home::new();
    let before =
        UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs());
    let run = home.run_with_input(
        &[
            &["token", "--identity-stdin", "--audience", &audience.to_string()][..],
            &["--lifetime", "90", "--challenge", "c-1", "--service", "web,api"],
        ]
        .concat(),
        &secret,
    );
    run.hides(&secret);
    assert!(run.err.contains(&address) && run.err.contains("expires in 90 s"), "{run:?}");
    let verified =
        Token::verify(&run.line(), &Expected::for_audience(audience), before).expect("a token that is valid");
    assert_eq!(verified.address().to_string(), address);
    assert_eq!(verified.challenge(), Some("c-1"));
    assert_eq!(verified.services(), ["web", "api"]);
    let lifetime = verified.expires_at().map(|at| at.as_secs() - verified.issued_at().as_secs());
    assert_eq!(lifetime, Some(90));
    assert_eq!((verified.scope(), verified.host()), (Some(Scope::Api), None));
    let audience = audience.to_string();
    let login =
        ["token", "--identity-stdin", "--audience", &audience, "--scope", "call", "--host", "Relay.example"];
    let expected = Expected::for_audience(audience.parse().expect("an address"));
    let verified = Token::verify(&home.run_with_input(&login, &secret).line(), &expected, before);
    let verified = verified.expect("a token that is valid");
    assert_eq!((verified.scope(), verified.host()), (Some(Scope::Call), Some("relay.example")));
}

#[test]
fn a_secret_typed_by_mistake_is_not_repeated() {
    let (secret, _) = pair(3);
    let home = Home::new();
    for arguments in [
        vec!["identity", "import", &secret],
        vec!["expose", &secret],
        vec!["expose", "3000", "--relay-address", &secret],
        vec!["token", "--audience", &secret],
    ] {
        let run = home.run(&arguments);
        run.hides(&secret);
        run.refused(2, &["(secret)", "a secret is never an argument"]);
    }
    let run = home.run(&["identity", "--identity", &secret]);
    run.hides(&secret);
    run.refused(4, &["(secret)"]);
}

#[test]
fn no_help_and_no_log_shows_a_secret() {
    let (secret, _) = pair(3);
    let home = Home::new();
    let relay = nobody();
    let commands: [&[&str]; 8] = [
        &["--help"],
        &["expose", "--help"],
        &["relay", "--help"],
        &["identity", "--help"],
        &["token", "--help"],
        &["identity", "-vvv"],
        &["expose", "3000", "-vvv", "--no-retry", "--relay", &relay],
        &["expose", "3000", "-vvv", "--no-retry", "--json", "--relay", &relay],
    ];
    for arguments in commands {
        let output =
            home.command(arguments).env("HVYM_TUNNEL_SECRET", &secret).env("RUST_LOG", "trace").output();
        let run = Run::of(output.expect("the program starts"));
        run.hides(&secret);
        assert!(!run.out.is_empty() || !run.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_2() {
    let home = Home::new();
    home.run(&[]).refused(2, &["Usage"]);
    home.run(&["expose", "3000", "--frobnicate"]).refused(2, &["--frobnicate"]);
    home.run(&["expose"]).refused(2, &["<TARGET>"]);
    home.run(&["expose", "ftp://host"]).refused(2, &["cannot forward to ftp://", "https+insecure://host"]);
    home.run(&["expose", "localhost"]).refused(2, &["is not enough"]);
    home.run(&["expose", "3000", "--bind", "api"]).refused(2, &["NAME=TARGET"]);
    home.run(&["expose", "3000", "--service", "Web"]).refused(2, &["lower case"]);
    home.run(&["expose", "3000", "--relay-address", "GABC"]).refused(2, &["56 characters"]);
    home.run(&["relay", "--listen", "nowhere"]).refused(2, &["0.0.0.0:443"]);
    home.run(&["relay", "--listen", "0.0.0.0:0"])
        .refused(3, &["--allow-agent", "--allow-agents-file", "--open"]);
    home.run(&["relay", "--allow-agent", "G"]).refused(2, &["56 characters"]);
    home.run(&["relay", "--tls-cert", "cert.pem"]).refused(2, &["--tls-key"]);
    assert!(!home.path("config").exists(), "a mistake made an identity");
}

#[test]
fn options_that_contradict_each_other_end_with_3_and_a_hint() {
    let home = Home::new();
    let bearer = ["expose", "3000", "--relay", "relay.example", "--auth", "bearer", "--json"];
    home.run(&bearer[..6]).refused(3, &["error: ", "hint: ", "--relay-address"]);
    home.run(&["expose", "3000", "--relay", "ws://relay.example"])
        .refused(3, &["not encrypted", "--plain-relay"]);
    home.run(&["expose", "3000", "--bind", "web=3001"]).refused(3, &["web is bound twice"]);
    home.run(&["relay", "--domain", "under_score"]).refused(3, &["cannot be a relay's domain"]);
    let json = home.run(&bearer).refused(3, &["error: ", "hint: "]);
    assert!(json.out.starts_with(r#"{"event":"error","code":"config","exit":3,"#), "{json:?}");
    assert_eq!(json.out.lines().count(), 1);
    assert!(!home.path("config").exists(), "a mistake made an identity");
}

#[test]
fn every_option_can_come_from_a_variable() {
    let home = Home::new();
    let variables = [
        ("HVYM_TUNNEL_RELAY", "relay.example"),
        ("HVYM_TUNNEL_AUTH", "bearer"),
        ("HVYM_TUNNEL_JSON", "true"),
        ("HVYM_TUNNEL_VERBOSE", "2"),
    ];
    let output = home.command(&["expose", "3000"]).envs(variables).output();
    let run = Run::of(output.expect("the program starts")).refused(3, &["--relay-address"]);
    assert!(run.out.starts_with(r#"{"event":"error""#), "{run:?}");
    let output = home.command(&["expose", "3000", "--auth", "challenge", "--relay", &nobody(), "--no-retry"]);
    let run = Run::of({ output }.env("HVYM_TUNNEL_AUTH", "bearer").output().expect("the program starts"));
    run.refused(6, &[]);
}

#[test]
fn shells_get_their_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = home.run(&["completions", shell]);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        assert!(run.out.contains("hvym-tunnel") && run.out.contains("require-upstream"), "{shell}");
    }
    home.run(&["completions", "tcsh"]).refused(2, &["tcsh"]);
}

#[test]
fn the_version_is_the_packages() {
    let version = Home::new().run(&["--version"]).line();
    assert_eq!(version, format!("hvym-tunnel {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn colours_are_for_terminals_and_not_for_those_who_refuse_them() {
    let home = Home::new();
    let arguments = ["identity", "--identity", "/nowhere"];
    assert!(on_terminal(home.command(&arguments)).contains("\x1b["));
    let mut refused = home.command(&arguments);
    refused.env("NO_COLOR", "1");
    assert!(!on_terminal(refused).contains('\x1b'));
    let mut empty = home.command(&arguments);
    empty.env("NO_COLOR", "");
    assert!(on_terminal(empty).contains("\x1b["));
    assert!(
        !on_terminal(home.command(&["identity", "--no-color", "--identity", "/nowhere"])).contains('\x1b')
    );
    assert!(!on_terminal(home.command(&["--frobnicate", "--no-color"])).contains('\x1b'));
    assert!(!home.run(&arguments).err.contains('\x1b'));
}

#[test]
fn a_secret_is_not_typed_where_it_can_be_seen() {
    let home = Home::new();
    let (terminal, side) = terminal();
    let mut command = home.command(&["identity", "import"]);
    let child = command.stdin(Stdio::from(side)).spawn().expect("the program starts");
    let run = Run::of(child.wait_with_output().expect("the program ends"));
    run.refused(2, &["standard input is a terminal", "pipe it in"]);
    drop(terminal);
}

/// Both ends of a new terminal: ours, and the program's.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal of our own");
    let name = ptsname(&ours, Vec::new()).expect("a terminal has a name");
    let name = name.into_string().expect("the name is text");
    let theirs = File::options().read(true).write(true).open(name).expect("the other end");
    (File::from(ours), theirs)
}

/// What the program writes when a person sits in front of it.
fn on_terminal(mut command: Command) -> String {
    let (mut ours, theirs) = terminal();
    let copy = theirs.try_clone().expect("a second handle");
    command.env("TERM", "xterm").stdout(Stdio::from(copy)).stderr(Stdio::from(theirs));
    let mut child = command.spawn().expect("the program starts");
    // Our handles to the program's end go with the command, so that its end is the end of the text.
    drop(command);
    let mut shown = Vec::new();
    // Linux tells the end of a terminal as an error.
    let _end = ours.read_to_end(&mut shown);
    child.wait().expect("the program ends");
    String::from_utf8(shown).expect("text")
}
