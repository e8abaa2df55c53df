//! Identities and tokens that a passphrase opens, as a person and a service use them.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel};

const PASSPHRASE: &str = "correct horse battery staple";

/// A home with the identity `key`, and a file with the passphrase outside of it.
fn home(key: &Key) -> (Home, PathBuf) {
    let home = Home::of(key);
    let passphrase = home.path("passphrase");
    secret_file(&passphrase, PASSPHRASE);
    (home, passphrase)
}

fn secret_file(path: &Path, text: &str) {
    fs::write(path, format!("{text}\n")).expect("a folder takes a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our file");
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    home.command(arguments).output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn lock(home: &Home, passphrase: &Path, file: &[&str]) {
    let locked = run(home, &[&["identity", "lock", "--passphrase-file", text(passphrase)], file].concat());
    assert!(locked.status.success(), "{locked:?}");
}

/// Whether a file below `folder` has one of `words` in it.
fn holds(folder: &Path, words: &[Vec<u8>]) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.into_iter().find_map(|path| {
        if path.is_dir() {
            return holds(&path, words);
        }
        let content = fs::read(&path).unwrap_or_default();
        let found = words.iter().any(|word| content.windows(word.len()).any(|window| window == word));
        found.then_some(path)
    })
}

#[test]
fn a_locked_identity_serves_with_its_passphrase_and_its_secret_is_nowhere_else() {
    let key = Key::from_seed([85; 32]);
    let (home, passphrase) = home(&key);
    let words = [key.secret().into_bytes(), vec![85; 32]];
    let config = home.path("config");
    assert!(holds(&config, &words).is_some(), "the test finds nothing");
    lock(&home, &passphrase, &[]);
    fs::remove_file(home.path("config/hvym-tunnel/relay.key")).expect("it was there");
    assert_eq!(holds(&config, &words), None);
    let shown = run(&home, &["identity"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), format!("{}\n", key.address()));
    let list = run(&home, &["identity", "list"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.starts_with(&format!("* {}  locked", key.address())), "{list}");

    // As a service of systemd gets it, with everything logged.
    let credentials = home.path("credentials");
    fs::create_dir(&credentials).expect("a folder takes a folder");
    fs::rename(&passphrase, credentials.join("hvym-tunnel.passphrase")).expect("ours");
    let (relay, origin) = (Relay::start(&[]), Origin::saying(b"unlocked"));
    let settings = format!(
        "version = 1\n[api]\nenabled = false\n[log]\nlevel = \"debug\"\n[[link]]\nrelay = \"{}\"\n[[service]]\nname = \"web\"\ntarget = \"{}\"\n",
        relay.url(),
        origin.port
    );
    fs::write(home.path("config/hvym-tunnel/config.toml"), settings).expect("a folder takes a file");
    let mut command = home.command(&["up", "--json", "-vvv"]);
    command.env("CREDENTIALS_DIRECTORY", &credentials).env("RUST_LOG", "trace");
    let mut up = hvym_tunnel_tests::program::Program::start(command);
    assert_eq!(up.event("ready")["address"], key.address().to_string());
    up.signal(rustix::process::Signal::TERM);
    assert_eq!(up.code(), 0);
    assert_eq!(holds(&home.path(""), &words), None);
    let transcript = up.transcript();
    assert!(!transcript.contains(&key.secret()) && !transcript.contains(PASSPHRASE), "{transcript}");
    let logs = home.path(".local/state/hvym-tunnel");
    assert_eq!(holds(&logs, &[PASSPHRASE.as_bytes().to_vec()]), None);
}

#[test]
fn without_the_right_passphrase_nothing_starts_and_it_is_said_why() {
    let key = Key::from_seed([86; 32]);
    let (home, passphrase) = home(&key);
    lock(&home, &passphrase, &[]);
    let file = home.path("config/hvym-tunnel/identity.key");
    let refused = |more: &[&str], words: &str| {
        let output = run(&home, &[&["token", "--audience", &key.address().to_string()], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    };
    refused(&[], "--passphrase-file FILE or --passphrase-fd N");
    let wrong = home.path("wrong");
    secret_file(&wrong, "wrong");
    refused(&["--passphrase-file", text(&wrong)], "the passphrase is wrong");
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o644)).expect("our file");
    refused(&["--passphrase-file", text(&wrong)], "can be read by others");
    let right = ["--passphrase-file", text(&passphrase)];
    let token = run(&home, &[&["token", "--audience", &key.address().to_string()], &right[..]].concat());
    assert!(token.status.success(), "{token:?}");
    let whole = fs::read(&file).expect("a file");
    fs::write(&file, &whole[..whole.len() / 2]).expect("our file");
    refused(&right, "it is damaged, or not whole");
    let hostile = String::from_utf8(whole.clone()).expect("text").replace("m=65536", "m=67108864");
    fs::write(&file, hostile).expect("our file");
    refused(&right, "it is damaged, or not whole");
    fs::write(&file, whole).expect("our file");

    let again = run(&home, &[&["identity", "lock"], &right[..]].concat());
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    assert!(run(&home, &[&["identity", "unlock"], &right[..]].concat()).status.success());
    assert_eq!(fs::read_to_string(&file).expect("a file").trim(), key.secret());
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_passphrase_comes_by_a_descriptor_and_opens_tokens_too() {
    let (home, passphrase) = home(&Key::from_seed([87; 32]));
    let token = home.path("cloud.token");
    secret_file(&token, "tun_abc-DEF");
    lock(&home, &passphrase, &[text(&token)]);
    assert!(!fs::read_to_string(&token).expect("a file").contains("tun_abc"));
    let program = hvym_tunnel_tests::program::binary().display().to_string();
    let line = format!(
        "exec {program} identity unlock {} --passphrase-fd 5 5< {}",
        token.display(),
        passphrase.display()
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).env("HOME", home.path("")).env("XDG_CONFIG_HOME", home.path("config"));
    let unlocked = shell.output().expect("a shell");
    assert!(unlocked.status.success(), "{unlocked:?}");
    assert_eq!(fs::read_to_string(&token).expect("a file").trim(), "tun_abc-DEF");
}

#[test]
fn another_identity_is_used_and_the_first_one_is_kept() {
    let [one, two] = [[88; 32], [89; 32]].map(Key::from_seed);
    let (home, passphrase) = home(&one);
    let folder = home.path("config/hvym-tunnel");
    secret_file(&folder.join("work.key"), &two.secret());
    fs::remove_file(folder.join("relay.key")).expect("it was there");
    lock(&home, &passphrase, &[text(&folder.join("work.key"))]);
    let list = run(&home, &["identity", "list"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let line =
        |key: &Key| list.lines().find(|line| line.contains(&key.address().to_string())).map(str::to_owned);
    assert!(line(&one).is_some_and(|line| line.starts_with('*') && line.contains("  open  ")), "{list}");
    assert!(line(&two).is_some_and(|line| line.starts_with(' ') && line.contains("  locked  ")), "{list}");

    let used = |which: &str| {
        let output = run(&home, &["identity", "use", which]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    assert_eq!(used("work.key"), (Some(0), two.address().to_string()));
    let (relay, origin) = (Relay::start(&[]), Origin::saying(b"two"));
    let beginning = one.address().to_string()[..12].to_owned();
    assert_eq!(used("G").0, Some(3), "it may be either");
    assert_eq!(used("GNOBODY").0, Some(3));
    assert_eq!(used(&beginning), (Some(0), one.address().to_string()));
    assert_eq!(fs::read_to_string(folder.join("identity.key")).expect("a file").trim(), one.secret());
    let agent = Agent::start_in(home, &relay, origin.port, &[]);
    let tunnel = Tunnel { relay, agent };
    assert_eq!(tunnel.get("/").expect("an answer").1, b"two");
}
