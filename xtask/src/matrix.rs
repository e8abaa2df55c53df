//! `cargo xtask matrix`: the real programs of the older systems against ours, as a Markdown table.
//!
//! The tests `matrix` of the program `e2e_compat` do the work and write what they saw, one file for each row; here the files are only shown.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::cargo;
use crate::{peers, target};

/// More than any reason why a cell cannot pass.
const CELL_CHARACTERS: usize = 300;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    ensure!(
        arguments.is_empty(),
        "usage: cargo xtask matrix [browsers]; for one row, use cargo test --test e2e_compat matrix::NAME"
    );
    let folder = target().join("matrix");
    // Rows of another day would stand beside those of this one.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut tests =
        cargo(["test", "--quiet", "--package", "hvym-tunnel-tests", "--test", "e2e_compat", "matrix::"]);
    tests.env("HVYM_TUNNEL_MATRIX", &folder);
    tests.envs(peers::installed());
    // What it prints is not the table.
    tests.stdout(std::io::stderr());
    let status = tests.status().with_context(|| format!("{tests:?}"))?;
    print!("{}", table(&rows(&folder, "")?));
    ensure!(status.success(), "a cell that must pass did not, or one called impossible did: see above");
    Ok(())
}

/// What the rows wrote to files whose names begin with `prefix`, in the order of their numbers.
pub(crate) fn rows(folder: &Path, prefix: &str) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().unwrap_or_default().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let row: Value =
            serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        rows.push(row);
    }
    ensure!(!rows.is_empty(), "no row was written: is anything of what this table is about installed?");
    rows.sort_by_key(|row| row["number"].as_u64());
    Ok(rows)
}

/// One line for each program, one column for each check.
pub(crate) fn table(rows: &[Value]) -> String {
    // What failed is told whole by the test; a table has room for its beginning.
    let text = |value: &Value| {
        let text: String = value.as_str().unwrap_or_default().chars().take(CELL_CHARACTERS).collect();
        text.replace('|', "\\|").replace('\n', " ")
    };
    let line = |first: String, cells: Vec<String>| format!("| {first} | {} |\n", cells.join(" | "));
    let cells = |row: &Value, member: &str| -> Vec<String> {
        let cells = row["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
        cells.iter().map(|cell| text(&cell[member])).collect()
    };
    let columns = cells(&rows[0], "column");
    let mut table = line(String::new(), columns.clone());
    table.push_str(&line("---".to_owned(), vec!["---".to_owned(); columns.len()]));
    rows.iter().for_each(|row| table.push_str(&line(text(&row["name"]), cells(row, "outcome"))));
    table
}
