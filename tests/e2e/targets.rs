//! What a service may end in beside a port of this machine: Unix sockets, folders, and places with certificates of
//! their own.
#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use hvym_tunnel_tests::alone::Alone;
use hvym_tunnel_tests::apps::pattern;
use hvym_tunnel_tests::http::Head;
use hvym_tunnel_tests::program::{Home, python};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::Value;

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).expect("text")
}

#[test]
fn a_service_on_a_unix_socket_is_served_once_it_is_there() {
    let home = Home::new();
    let path = home.path("app.sock");
    let path = path.to_str().expect("text").to_owned();
    let mut tunnel = Alone::exposing_in(home, &format!("unix:{path}"), &[], |_| ());
    let told = tunnel.agent.event("upstream_unreachable");
    let message = told["message"].as_str().expect("words");
    assert!(message.contains(&format!("there is no socket at {path}")), "{message}");
    let (head, page) = tunnel.get("/").expect("a page");
    assert_eq!(head.status(), 502);
    let page = text(page);
    assert!(page.contains("HT-502-") && !page.contains(&path), "{page}");

    let mut service = python(&["origin.py", &path]);
    assert_eq!(service.line(), path);
    let body = pattern(1, 100_000);
    assert_eq!(tunnel.ask("POST", "/echo", &[], &body).expect("an answer").1, body);
    let (_, mirrored) = tunnel.get("/mirror").expect("an answer");
    let mirrored: Value = serde_json::from_slice(&mirrored).expect("JSON");
    let host = mirrored["fields"].as_array().expect("fields").iter().find(|field| field[0] == "Host");
    assert_eq!(host.expect("a host")[1], tunnel.host());
}

/// A folder as people have them, exposed.
struct Site {
    tunnel: Alone,
    folder: PathBuf,
}

impl Site {
    fn new() -> Self {
        let home = Home::new();
        let folder = home.path("site");
        fs::create_dir_all(folder.join("docs")).expect("a folder takes a folder");
        fs::create_dir_all(folder.join(".git")).expect("a folder takes a folder");
        let write = |name: &str, content: &[u8]| {
            fs::write(folder.join(name), content).expect("a folder takes a file");
        };
        write("docs/index.html", b"<h1>the docs");
        write("a & <b>.txt", b"0123456789");
        write(".env", b"PASSWORD=secret");
        write(".git/config", b"secret");
        fs::write(home.path("outside.txt"), b"secret").expect("a folder takes a file");
        fs::create_dir(home.path("elsewhere")).expect("a folder takes a folder");
        fs::write(home.path("elsewhere/x"), b"secret").expect("a folder takes a file");
        symlink("../outside.txt", folder.join("leak.txt")).expect("a folder takes a link");
        symlink("../elsewhere", folder.join("way")).expect("a folder takes a link");
        symlink(".git/config", folder.join("config")).expect("a folder takes a link");
        symlink("docs", folder.join("newest")).expect("a folder takes a link");
        symlink("/", folder.join("outermost")).expect("a folder takes a link");
        symlink(".", folder.join("itself")).expect("a folder takes a link");
        let pipe = Command::new("mkfifo").arg(folder.join("pipe")).status();
        assert!(pipe.is_ok_and(|status| status.success()), "a folder takes a pipe");
        let typed = folder.to_str().expect("text").to_owned();
        Site { tunnel: Alone::exposing_in(home, &typed, &[], |_| ()), folder }
    }

    fn get(&self, target: &str, lines: &[&str]) -> (Head, String) {
        let (head, body) = self.tunnel.ask("GET", target, lines, &[]).expect("an answer");
        (head, String::from_utf8_lossy(&body).into_owned())
    }
}

#[test]
fn a_folder_is_listed_and_its_files_are_read() {
    let mut site = Site::new();
    let (head, listing) = site.get("/", &[]);
    assert_eq!((head.status(), head.field("content-type")), (200, Some("text/html; charset=utf-8")));
    for shown in
        ["href=\"docs/\"", "href=\"newest/\"", "href=\"a%20%26%20%3Cb%3E.txt\">a &amp; &lt;b&gt;.txt<"]
    {
        assert!(listing.contains(shown), "{shown}: {listing}");
    }
    for hidden in [".env", ".git", "leak", "way", "config", "outermost", "pipe", "<b>"] {
        assert!(!listing.contains(hidden), "{hidden}: {listing}");
    }
    let (head, file) = site.get("/a%20%26%20%3Cb%3E.txt", &[]);
    assert_eq!((head.status(), file.as_str()), (200, "0123456789"));
    assert_eq!(head.field("content-type"), Some("text/plain; charset=utf-8"));
    let told = std::iter::repeat_with(|| site.tunnel.agent.event("request"));
    let paths: Vec<Value> = told.map(|event| event["path"].clone()).take(2).collect();
    assert_eq!(paths, ["/", "/a%20%26%20%3Cb%3E.txt"]);
}

#[test]
fn a_folder_with_an_index_shows_it_under_a_path_that_ends_in_a_slash() {
    let site = Site::new();
    for path in ["/docs/", "/newest/", "//docs//", "/docs/index.html"] {
        let (head, page) = site.get(path, &[]);
        assert_eq!((head.status(), page.as_str()), (200, "<h1>the docs"), "{path}");
    }
    for (path, location) in [("/docs?a=1", "./docs/?a=1"), ("//docs", "./docs/"), ("/%64ocs", "./%64ocs/")] {
        let (head, _) = site.get(path, &[]);
        assert_eq!((head.status(), head.field("location")), (301, Some(location)), "{path}");
    }
    // What is written now is what the next visitor sees.
    fs::write(site.folder.join("docs/index.html"), "<h1>rewritten").expect("a folder takes a file");
    assert_eq!(site.get("/docs/", &[]).1, "<h1>rewritten");
}

#[test]
fn nothing_outside_a_folder_and_nothing_hidden_is_found() {
    let site = Site::new();
    for path in [
        "/..",
        "/../outside.txt",
        "/docs/../../outside.txt",
        "/..%2foutside.txt",
        "/..%2Foutside.txt",
        "/%2e%2e/outside.txt",
        "/%2e%2e%2foutside.txt",
        "/docs/..%5c..%5coutside.txt",
        "/%2e%2e%00/outside.txt",
        "/leak.txt",
        "/leak.txt%00.html",
        "/%00",
        "/way/x",
        "/way/",
        "/outermost/",
        "/outermost/etc/passwd",
        "/itself/leak.txt",
        "/itself/.env",
        // Reading it would wait for somebody who writes.
        "/pipe",
        "/itself/pipe",
        "/config",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/docs/.",
        "/docs/index.html/",
        "/docs/index.html/..",
        "/%ff%fe",
        "/%",
        "/nothing",
        &format!("/{}", "a".repeat(5000)),
        &format!("/{}", "a/".repeat(3000)),
    ] {
        let (head, body) = site.get(path, &[]);
        assert_eq!(head.status(), 404, "{path}: {body}");
        assert!(!body.contains("secret"), "{path}: {body}");
    }
    assert_eq!(site.get("/docs/", &[]).0.status(), 200, "it is still there");
}

#[test]
fn a_link_to_a_folder_is_followed_to_where_it_leads_now() {
    let home = Home::new();
    for release in ["one", "two"] {
        fs::create_dir(home.path(release)).expect("a folder takes a folder");
        fs::write(home.path(release).join("name.txt"), release).expect("a folder takes a file");
    }
    let current = home.path("current");
    symlink("one", &current).expect("a folder takes a link");
    let next = home.path("next");
    symlink("two", &next).expect("a folder takes a link");
    let typed = current.to_str().expect("text").to_owned();
    let tunnel = Alone::exposing_in(home, &typed, &[], |_| ());
    let name = || String::from_utf8(tunnel.ask("GET", "/name.txt", &[], &[]).expect("an answer").1);
    assert_eq!(name().as_deref(), Ok("one"));
    fs::rename(next, current).expect("a link takes the place of another");
    assert_eq!(name().as_deref(), Ok("two"));
}

#[test]
fn a_name_of_any_bytes_can_be_followed_from_the_listing() {
    let site = Site::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 100% #1?.bin");
    fs::write(site.folder.join(name), b"any").expect("a folder takes a file");
    let (_, listing) = site.get("/", &[]);
    let link = listing.split("href=\"").find(|part| part.starts_with("caf")).expect("a link");
    let link = link.split('"').next().expect("an end");
    assert_eq!(link, "caf%E9%20100%25%20%231%3F.bin");
    assert_eq!(site.get(&format!("/{link}"), &[]).1, "any");
}

#[test]
fn a_part_of_a_file_is_sent_if_one_is_asked_for() {
    let site = Site::new();
    let path = "/a%20%26%20%3Cb%3E.txt";
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-1", 206, Some("bytes 9-9/10"), "9"),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("lines=1-2", 200, None, "0123456789"),
    ] {
        let (head, sent) = site.get(path, &[&format!("Range: {range}")]);
        assert_eq!((head.status(), head.field("content-range")), (status, content_range), "{range}");
        assert_eq!(sent, body, "{range}");
    }
    let (head, _) = site.get(path, &["Range: bytes=10-"]);
    assert_eq!((head.status(), head.field("content-range")), (416, Some("bytes */10")));
    let (head, _) = site.tunnel.ask("HEAD", path, &["Range: bytes=2-4"], &[]).expect("a head");
    assert_eq!((head.status(), head.field("content-length")), (200, Some("10")));
    assert_eq!(head.field("accept-ranges"), Some("bytes"));
}

#[test]
fn a_visitor_who_has_a_file_is_not_sent_it_again() {
    let site = Site::new();
    let (head, _) = site.get("/docs/", &[]);
    let tag = format!("If-None-Match: {}", head.field("etag").expect("a tag"));
    let date = format!("If-Modified-Since: {}", head.field("last-modified").expect("a date"));
    for condition in [&tag, &date] {
        let (head, body) = site.tunnel.ask("GET", "/docs/", &[condition], &[]).expect("an answer");
        assert_eq!((head.status(), body.len()), (304, 0), "{condition}");
    }
    fs::write(site.folder.join("docs/index.html"), "<h1>longer than before").expect("a folder takes a file");
    assert_eq!(site.get("/docs/", &[&tag]).0.status(), 200);
}

#[test]
fn a_folder_is_read_and_never_written() {
    let site = Site::new();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let (head, _) = site.tunnel.ask(method, "/docs/index.html", &[], b"something").expect("an answer");
        assert_eq!((head.status(), head.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let (head, body) = site.tunnel.ask("HEAD", "/docs/index.html", &[], &[]).expect("a head");
    assert_eq!((head.status(), head.field("content-length"), body.len()), (200, Some("12"), 0));
    assert_eq!(site.get("/docs/", &[]).1, "<h1>the docs");
}

#[test]
fn a_large_file_arrives_whole() {
    let site = Site::new();
    let large = pattern(2, 20 * 1024 * 1024);
    fs::write(site.folder.join("large.bin"), &large).expect("a folder takes a file");
    let (head, body) = site.tunnel.get("/large.bin").expect("an answer");
    assert_eq!(head.field("content-type"), Some("application/octet-stream"));
    assert!(body == large, "{} bytes came", body.len());
}

#[test]
fn a_folder_that_is_not_there_is_missed_at_once() {
    let home = Home::new();
    fs::write(home.path("file"), "").expect("a folder takes a file");
    for (name, words) in [("missing", "there is no folder"), ("file", "is not a folder")] {
        let path = home.path(name);
        let mut agent = home.start(&["expose", path.to_str().expect("text")]);
        agent.says(words);
        assert_eq!(agent.code(), 3, "{agent:?}");
    }
}

/// A service that speaks TLS with a certificate of an authority nobody knows; its port, and that authority (PEM).
fn private_service() -> (u16, String) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = authority.self_signed(&authority_key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &authority, &authority_key).expect("a certificate");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("usual versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .expect("a key that fits");
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).expect("a session");
            let mut stream = rustls::StreamOwned::new(session, stream);
            // Who does not trust us says so, and the next connection may be another's.
            let _refused = stream.read(&mut [0; 4096]).and_then(|_| {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nprivate")
            });
        }
    });
    (port, authority.pem())
}

#[test]
fn a_private_authority_is_trusted_only_when_it_is_named() {
    let (port, authority) = private_service();
    let target = format!("https://localhost:{port}");
    let mut tunnel = Alone::exposing(&target, &[]);
    let told = tunnel.agent.event("upstream_unreachable");
    let message = told["message"].as_str().expect("words");
    assert!(message.contains("is not trusted") && message.contains("--ca-file"), "{message}");
    assert_eq!(tunnel.get("/").expect("a page").0.status(), 502);

    let home = Home::new();
    let file = home.path("ca.pem");
    fs::write(&file, authority).expect("a folder takes a file");
    let file = file.to_str().expect("text").to_owned();
    // Named to us, or to everything on this machine.
    for variable in ["HVYM_TUNNEL_CA_FILE", "SSL_CERT_FILE"] {
        let tunnel = Alone::exposing_in(Home::new(), &target, &[], |command| {
            command.env(variable, &file);
        });
        assert_eq!(text(tunnel.get("/").expect("an answer").1), "private", "{variable}");
    }
    let mut insecure = Alone::exposing(&format!("https+insecure://localhost:{port}"), &[]);
    assert_eq!(text(insecure.get("/").expect("an answer").1), "private");
    assert!(!insecure.agent.event("request")["status"].is_null());
}

#[test]
fn a_file_without_an_authority_is_refused_by_name() {
    let home = Home::new();
    fs::write(home.path("ca.pem"), "no certificate").expect("a folder takes a file");
    let path = home.path("ca.pem");
    let mut agent = home.start(&["expose", "3000", "--ca-file", path.to_str().expect("text")]);
    agent.says("ca.pem");
    assert_eq!(agent.code(), 3, "{agent:?}");
}
