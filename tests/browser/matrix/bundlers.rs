//! What bundlers make of the package, in each engine: it works, or says what is wrong and what to do.

use std::fs;
use std::path::Path;
use std::process::Command;

use hvym_tunnel_tests::engines::{Engine, Site};
use hvym_tunnel_tests::http::nobody;
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::Value;

use super::super::installed::{self, program, run};
use super::super::page::package;
use super::{Row, folder};

const TABLE: &str = "bundlers";
const WORKS: &str = "works";

/// What the page of a row has to say.
#[derive(Clone, Copy)]
enum Expected {
    /// What it has fetched.
    Works,
    /// An error with this code and a hint that contains these words.
    Refused(&'static str, &'static str),
}

use Expected::{Refused, Works};

/// Where a page is.
struct Place {
    site: Site,
    /// The server of a bundler, which has the page in place of the site: where it is, and the process.
    server: Option<(String, Program)>,
    path: &'static str,
}

/// What makes a page.
struct Way {
    name: &'static str,
    expected: Expected,
    /// Whether it takes minutes to install.
    is_large: bool,
    make: fn(&Path) -> Result<Place, String>,
}

const NOT_FOUND: Expected = Refused("module_missing", "hvym-tunnel/inline");

const WAYS: [Way; 17] = [
    Way { name: "no bundler", expected: Works, is_large: false, make: |_| Ok(direct("/direct.html", &[])) },
    Way {
        name: "no bundler, in a worker",
        expected: Works,
        is_large: false,
        make: |_| Ok(direct("/in-worker.html", &[])),
    },
    Way {
        name: "no bundler, a strict Content-Security-Policy",
        expected: Works,
        is_large: false,
        make: |_| {
            let policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws://127.0.0.1:*; \
                          require-trusted-types-for 'script'; trusted-types 'none'";
            Ok(direct("/direct.html", &[("Content-Security-Policy", policy)]))
        },
    },
    Way {
        name: "the same without 'wasm-unsafe-eval'",
        expected: Refused("module_blocked", "wasm-unsafe-eval"),
        is_large: false,
        make: |_| {
            let policy = "default-src 'none'; script-src 'self'; connect-src 'self' ws://127.0.0.1:*";
            Ok(direct("/direct.html", &[("Content-Security-Policy", policy)]))
        },
    },
    Way {
        name: "the same without the relay in connect-src",
        expected: Refused("relay_unreachable", "connect-src"),
        is_large: false,
        make: |_| {
            let policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
            Ok(direct("/direct.html", &[("Content-Security-Policy", policy)]))
        },
    },
    Way {
        name: "esbuild",
        expected: NOT_FOUND,
        is_large: false,
        make: |at| esbuild(at, "main.js", "esbuild", &["--format=esm"]),
    },
    Way {
        name: "esbuild, one classic script",
        expected: NOT_FOUND,
        is_large: false,
        make: |at| {
            esbuild(
                at,
                "main.js",
                "esbuild-iife",
                &["--format=iife", "--log-override:empty-import-meta=silent"],
            )
        },
    },
    Way {
        name: "esbuild, `hvym-tunnel/inline`",
        expected: Works,
        is_large: false,
        make: |at| esbuild(at, "inline.js", "esbuild-inline", &["--format=esm"]),
    },
    Way {
        name: "esbuild, `hvym-tunnel/wasm` with the loader `file`",
        expected: Works,
        is_large: false,
        make: |at| esbuild(at, "file.js", "esbuild-file", &["--format=esm", "--loader:.wasm=file"]),
    },
    Way { name: "Rollup", expected: NOT_FOUND, is_large: false, make: |at| rollup(at, "main.js", "rollup") },
    Way {
        name: "Rollup, `hvym-tunnel/inline`",
        expected: Works,
        is_large: false,
        make: |at| rollup(at, "inline.js", "rollup-inline"),
    },
    Way { name: "webpack", expected: Works, is_large: false, make: |at| webpack(at, "production") },
    Way {
        name: "webpack, development",
        expected: Works,
        is_large: false,
        make: |at| webpack(at, "development"),
    },
    Way {
        name: "Vite build",
        expected: Works,
        is_large: false,
        make: |at| {
            run(program(at, "vite", &["build", "--logLevel", "error", "--outDir", "out/vite"]))?;
            Ok(built(at, "vite"))
        },
    },
    Way {
        name: "Vite dev",
        expected: Works,
        is_large: false,
        make: |at| {
            let port = nobody().to_string();
            let arguments =
                ["--host", "127.0.0.1", "--strictPort", "--clearScreen", "false", "--port", &port];
            served(program(at, "vite", &arguments), "ready in", &port)
        },
    },
    Way {
        name: "Parcel",
        expected: Works,
        is_large: true,
        make: |at| {
            let out = at.join("out/parcel").display().to_string();
            let arguments =
                ["build", "index.html", "--no-cache", "--no-optimize", "--log-level", "error", "--dist-dir"];
            run(program(at, "parcel", &[&arguments[..], &[&out]].concat()))?;
            Ok(built(at, "parcel"))
        },
    },
    Way {
        name: "Next, rendered on its server first",
        expected: Works,
        is_large: true,
        make: |at| {
            run(program(at, "next", &["build"]))?;
            let port = nobody().to_string();
            served(
                program(at, "next", &["start", "--hostname", "127.0.0.1", "--port", &port]),
                "Ready in",
                &port,
            )
        },
    },
];

/// The folder of a page that a bundler has made.
fn built(at: &Path, out: &str) -> Place {
    let folder = at.join("out").join(out);
    Place { site: Site::new(&[("/", &folder)], Vec::new()), server: None, path: "/index.html" }
}

fn page(script: &str, kind: &str) -> String {
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>tunnel</title>\n<script {kind} src=\"{script}\"></script>\n"
    )
}

/// Pages without a bundler, with these fields.
fn direct(path: &'static str, fields: &[(&'static str, &'static str)]) -> Place {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/bundlers");
    let pages = ["direct", "in-worker"].map(|name| {
        let path = if name == "direct" { "/direct.html" } else { "/in-worker.html" };
        (path, fields.to_vec(), page(&format!("{name}.js"), "type=\"module\""))
    });
    Place { site: Site::new(&[("/package/", package()), ("/", &own)], pages.to_vec()), server: None, path }
}

fn esbuild(at: &Path, entry: &str, out: &str, more: &[&str]) -> Result<Place, String> {
    let folder = format!("out/{out}");
    let outdir = format!("--outdir={folder}");
    run(program(at, "esbuild", &[&[entry, "--bundle", "--log-level=warning", &outdir], more].concat()))?;
    fs::write(at.join(folder).join("index.html"), page(entry, "type=\"module\""))
        .expect("a folder takes a file");
    Ok(built(at, out))
}

fn rollup(at: &Path, entry: &str, out: &str) -> Result<Place, String> {
    let folder = format!("out/{out}");
    let arguments =
        [entry, "--format", "es", "--dir", &folder, "--silent", "--plugin", "@rollup/plugin-node-resolve"];
    run(program(at, "rollup", &arguments))?;
    fs::write(at.join(folder).join("index.html"), page(entry, "type=\"module\""))
        .expect("a folder takes a file");
    Ok(built(at, out))
}

fn webpack(at: &Path, mode: &str) -> Result<Place, String> {
    let out = format!("webpack-{mode}");
    let folder = at.join("out").join(&out);
    let mut node = Command::new("node");
    node.args(["webpack.mjs", mode]).arg(&folder).current_dir(at);
    run(node)?;
    fs::write(folder.join("index.html"), page("main.js", "defer")).expect("a folder takes a file");
    Ok(built(at, &out))
}

/// A page that the server of a bundler has, once that has said `words`.
fn served(command: Command, words: &str, port: &str) -> Result<Place, String> {
    let mut server = Program::start(command);
    if !server.tells(words, hvym_tunnel_tests::program::PATIENCE) {
        return Err(server.transcript());
    }
    let site = Site::new(&[], Vec::new());
    Ok(Place { site, server: Some((format!("http://127.0.0.1:{port}"), server)), path: "/" })
}

/// What a browser says to the page of a way; `None` if there is no such browser.
fn looked_at(
    place: &Place,
    expected: Expected,
    engine: Engine,
    relay: &Relay,
) -> Option<Result<String, String>> {
    let query = format!("relay={}&address={}&report={}", relay.url(), relay.address, place.site.report_url());
    let url = match &place.server {
        Some((at, _)) => format!("{at}{}?{query}", place.path),
        None => place.site.url(place.path, &query),
    };
    let _opened = engine.open(&url)?;
    Some(place.site.report().and_then(|told| judged(&told, expected)))
}

fn judged(told: &Value, expected: Expected) -> Result<String, String> {
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    match expected {
        Works if text("text") == "you said hello" => Ok(WORKS.to_owned()),
        Refused(code, hint) if text("code") == code && text("hint").contains(hint) => {
            Ok(format!("`{code}`: {}", text("hint")))
        }
        _ => Err(told.to_string()),
    }
}

/// Builds the page of a way, and looks at it with each of these.
fn row(number: usize, engines: &[Engine]) {
    let way = &WAYS[number];
    let Some(at) = (if way.is_large { installed::more() } else { installed::folder() }) else { return };
    let relay = Relay::start(&[]);
    let mut row = Row::new(TABLE, number, way.name);
    match (way.make)(at) {
        Ok(place) => {
            for engine in engines {
                if let Some(outcome) = looked_at(&place, way.expected, *engine, &relay) {
                    row.add(engine.name(), outcome);
                }
            }
        }
        Err(said) => row.add("build", Err(said)),
    }
    row.finish();
}

/// The ways that are tried each time, in Chromium alone.
const QUICK: [&str; 9] = [
    "no bundler, in a worker",
    "no bundler, a strict Content-Security-Policy",
    "the same without 'wasm-unsafe-eval'",
    "the same without the relay in connect-src",
    "esbuild",
    "esbuild, `hvym-tunnel/inline`",
    "webpack",
    "Vite build",
    "Vite dev",
];

#[test]
fn each_bundler_makes_a_page_that_works_or_says_what_to_do() {
    let (numbers, engines): (Vec<usize>, &[Engine]) = match folder() {
        Some(_) => ((0..WAYS.len()).collect(), &Engine::ALL),
        None => {
            let quick = QUICK.map(|name| WAYS.iter().position(|way| way.name == name).expect("it is a way"));
            (quick.to_vec(), &[Engine::Chromium])
        }
    };
    let failed: Vec<_> = numbers
        .into_iter()
        .filter(|number| std::panic::catch_unwind(|| row(*number, engines)).is_err())
        .collect();
    assert!(failed.is_empty(), "{:?}", failed.iter().map(|number| WAYS[*number].name).collect::<Vec<_>>());
}
