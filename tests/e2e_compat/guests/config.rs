//! The config file: what is wrong in it is told with its line, and what is secret in it stays so.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hvym_tunnel_tests::guests::{CLOUD, Guest, write_config, write_private};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::Relay;

use super::{TOKEN, TUNELY};

/// What a relay says that does not start with the config file of `home`.
fn refused(home: &Home, path: &str) -> String {
    let mut program = home.start(&["relay", "--listen", "0", "--config", path]);
    assert_eq!(program.code(), 3, "{program:?}");
    program.transcript()
}

#[test]
fn a_mistake_is_told_with_file_line_and_key() {
    let other = "[[tunely.tunnels]]\nname = \"two\"\n";
    let long = "x".repeat(64);
    let address = hvym_tunnel_tests::Key::from_seed([1; 32]).address().label();
    for (config, line, words) in [
        ("[tunely]\ntunnel = 1\n".to_owned(), 2, "unknown field `tunnel`"),
        ("[tunly]\n".to_owned(), 1, "unknown field `tunly`"),
        ("[[tunely.tunnels]]\nname = \"app\"\ntokn = \"x\"\n".to_owned(), 3, "unknown field `tokn`"),
        ("[hvym]\n\nseal = \"tun_secret-in-the-wrong-place\"\n".to_owned(), 3, "seal must be a boolean"),
        ("[tunely\n".to_owned(), 1, ""),
        (
            "[[tunely.tunnels]]\ntoken = \"tun_secret-in-the-wrong-place\"\n".to_owned(),
            1,
            "missing field `name`",
        ),
        (format!("{TUNELY}{other}"), 5, "needs a token"),
        (format!("{TUNELY}{other}token = \"{TOKEN}\"\n"), 5, "the token of another"),
        (format!("{TUNELY}{TUNELY}"), 5, "app is given twice"),
        (format!("{TUNELY}{other}token = \"short\"\n"), 6, "too short"),
        (format!("{TUNELY}{other}token = \"{TOKEN}x\"\ntoken_file = \"x\"\n"), 6, "not both"),
        (format!("{TUNELY}{other}token_file = \"nothing-there\"\n"), 6, "nothing-there"),
        (TUNELY.replace("app", "App"), 2, "a-z, 0-9"),
        (TUNELY.replace("app", "app\\n"), 2, "a-z, 0-9"),
        (TUNELY.replace("app", "a.b"), 2, "a-z, 0-9"),
        (TUNELY.replace("app", "-a"), 2, "a-z, 0-9"),
        (TUNELY.replace("app", "grün"), 2, "a-z, 0-9"),
        (TUNELY.replace("app", &long), 2, "a-z, 0-9"),
        (TUNELY.replace("app", &address), 2, "Stellar address"),
        (format!("{CLOUD}\n"), 1, "one of jwks_url, jwks_file and shared_key_file"),
        (
            format!("{CLOUD}\njwks_file = \"k\"\njwks_url = \"https://login.example/jwks.json\"\n"),
            1,
            "one of jwks_url, jwks_file and shared_key_file",
        ),
        (format!("{CLOUD}\njwks_url = \"http://login.example/jwks.json\"\n"), 4, "must be an https URL"),
        (format!("{CLOUD}\njwks_url = \"https://me:it@login.example/\"\n"), 4, "must be an https URL"),
        (
            format!("{CLOUD}\njwks_file = \"k\"\n[cloud.names]\na = \"app\"\nb = \"app\"\n"),
            7,
            "app is given twice",
        ),
        (
            format!("{CLOUD}\njwks_file = \"k\"\n[cloud.names]\na = \"app\"\n{TUNELY}"),
            6,
            "app is given twice",
        ),
        (CLOUD.replace("https://api.example", "") + "\njwks_file = \"k\"\n", 3, "audience may not be empty"),
        ("[cloud]\nissuer = \"x\"\njwks_file = \"k\"\n".to_owned(), 1, "missing field `audience`"),
    ] {
        let home = Home::new();
        let path = write_config(&home, &config);
        let said = refused(&home, &path);
        let is_placed =
            [format!("{path}, line {line}: "), format!("{path}:{line}: ")].iter().any(|at| said.contains(at));
        assert!(is_placed && said.contains(words), "{config}\n{said}");
        assert!(!said.contains("tun_"), "a secret is told: {said}");
    }
}

#[test]
fn a_file_with_a_secret_in_it_is_for_its_owner_alone() {
    let home = Home::new();
    let path = write_config(&home, TUNELY);
    let open = |path: &str| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("its owner may change a mode");
    };
    open(&path);
    let said = refused(&home, &path);
    assert!(said.contains("line 3") && said.contains("chmod 600") && !said.contains(TOKEN), "{said}");
    // Without secrets in it anybody may read it, but not the files that hold them.
    let token = write_private(&home, "app.token", &format!("  {TOKEN}\n"));
    fs::write(&path, "[[tunely.tunnels]]\nname = \"app\"\ntoken_file = \"app.token\"\n")
        .expect("its owner may write");
    open(&token);
    let said = refused(&home, &path);
    assert!(said.contains("app.token can be read by others (mode 0644)"), "{said}");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o400)).expect("its owner may change a mode");
    let relay = Relay::start_in(home, 0, &["--config", &path]);
    Guest::tunely(&relay, TOKEN, false);
}

#[test]
fn keys_that_cannot_be_used_are_told_at_the_start() {
    for (content, words) in [
        (None, "cannot read the keys"),
        (Some("{}"), "holds no key"),
        (Some("{\"keys\": [{\"kty\": \"oct\", \"kid\": \"a\", \"k\": \"AAAA\"}]}"), "holds no key"),
    ] {
        let home = Home::new();
        if let Some(content) = content {
            fs::write(home.path("jwks.json"), content).expect("a folder takes a file");
        }
        let path = write_config(&home, &format!("{CLOUD}\njwks_file = \"jwks.json\"\n"));
        let said = refused(&home, &path);
        assert!(said.contains(words) && said.contains("jwks.json"), "{said}");
    }
    let home = Home::new();
    write_private(&home, "shared.key", "short");
    let path = write_config(&home, &format!("{CLOUD}\nshared_key_file = \"shared.key\"\n"));
    let said = refused(&home, &path);
    assert!(said.contains("line 4: the shared key is too short"), "{said}");
}

#[test]
fn the_example_of_the_documentation_is_understood() {
    let page = include_str!("../../../docs/COMPATIBILITY.md");
    let example =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let home = Home::new();
    write_private(&home, "app.token", TOKEN);
    write_private(&home, "admin.key", "an-admin-key-of-many-letters");
    write_private(&home, "jwt.key", "a-secret-that-signs-tokens-of-owners");
    write_private(&home, "hook.key", "a-secret-that-signs-notices");
    fs::write(home.path("jwks.json"), include_bytes!("../../golden/guests/jwks.json"))
        .expect("a folder takes a file");
    let path = write_config(&home, example);
    let relay = Relay::start_in(home, 0, &["--config", &path]);
    Guest::tunely(&relay, TOKEN, false);
}
