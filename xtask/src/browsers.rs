//! `cargo xtask matrix browsers`: engines, bundlers and runtimes against the browser package, as a page of Markdown.
//!
//! The tests `matrix` of the program `browser` do the work and write what they saw, one file for each row; here the files become
//! tables, in `runner-wasm/MATRIX.md`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cargo::{cargo, succeed};
use crate::matrix::{rows, table};
use crate::{root, target};

const HEAD: &str = "\
# Engines, bundlers and runtimes

Made by `cargo xtask matrix browsers`, which tries each of these against a relay. Where something cannot work, the package says so by a `TunnelError`:
its `code` and `hint` are in the cell.
";
/// The tables, and what is said above each.
const TABLES: [(&str, &str); 3] = [
    (
        "features",
        "## Features in browsers\n\n\
         `request.body` is the stream of a request, which Firefox does not show: there `text()`, `arrayBuffer()` and the like have the body.",
    ),
    (
        "bundlers",
        "## Bundlers\n\n\
         Each page was built from the packed package, and has connected, served and fetched. A bundler that leaves the module behind needs \
         `hvym-tunnel/inline`, or `hvym-tunnel/wasm` as the URL of a file.",
    ),
    (
        "runtimes",
        "## Runtimes\n\n\
         `forward` leads a local server to the public. Node.js before version 22 has no WebSocket of its own: the package brings one.",
    ),
];

pub(crate) fn run() -> Result<()> {
    let folder = target().join("matrix-browsers");
    // Rows of another day would stand beside those of this one.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    succeed(&mut cargo(["xtask", "wasm"]))?;
    let mut tests =
        cargo(["test", "--quiet", "--package", "hvym-tunnel-tests", "--test", "browser", "matrix::"]);
    // One browser at a time: what is measured is whether it works, and not how a machine bears many.
    tests.args(["--", "--test-threads", "1"]);
    tests.env("HVYM_TUNNEL_MATRIX", std::path::absolute(&folder)?);
    tests.env("HVYM_TUNNEL_PACKAGE", std::path::absolute(target().join("package"))?);
    let status = tests.status().with_context(|| format!("{tests:?}"))?;
    let mut page = HEAD.to_owned();
    page += &format!("\nWith {}, and the MiniBrowser of WebKitGTK.\n", versions().join(", "));
    for (name, text) in TABLES {
        let rows = rows(&folder, name)?;
        let rows = if name == "bundlers" { rows } else { turned(&rows) };
        page += &format!("\n{text}\n\n{}", table(&rows));
    }
    let path = root().join("runner-wasm/MATRIX.md");
    fs::write(&path, page).with_context(|| path.display().to_string())?;
    println!("{}", path.display());
    ensure!(status.success(), "something is not as it should be: see above");
    Ok(())
}

/// A table with its columns as rows, where there are many of them.
fn turned(rows: &[Value]) -> Vec<Value> {
    let cells = |row: &Value| row["cells"].as_array().cloned().unwrap_or_default();
    let columns: Vec<Value> = cells(&rows[0]).iter().map(|cell| cell["column"].clone()).collect();
    let turned = columns.iter().map(|column| {
        let cells = rows.iter().map(|row| {
            let found = cells(row).into_iter().find(|cell| cell["column"] == *column);
            json!({"column": row["name"], "outcome": found.map_or(Value::Null, |cell| cell["outcome"].clone())})
        });
        json!({"name": column, "cells": cells.collect::<Vec<_>>()})
    });
    turned.collect()
}

/// What the browsers and Node.js that are here say of themselves.
fn versions() -> Vec<String> {
    let said = |(program, name): (&str, &str)| {
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // Chromium adds how it was built.
        let text = text.split(" built").next().unwrap_or_default().to_owned();
        Some(format!("{name}{text}"))
    };
    [("chromium", ""), ("firefox-esr", ""), ("node", "Node.js ")].into_iter().filter_map(said).collect()
}
