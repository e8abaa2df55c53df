//! Engines, bundlers and runtimes, row by row. `cargo xtask matrix browsers` shows them as tables; without it, only what takes
//! seconds is tried.

mod bundlers;
mod features;
mod runtimes;

use std::fs;
use std::path::PathBuf;

use serde_json::json;

/// The folder that rows are written to, if all of them are asked for.
fn folder() -> Option<PathBuf> {
    std::env::var_os("HVYM_TUNNEL_MATRIX").map(PathBuf::from)
}

/// A row of a table: columns, and what was seen in each.
struct Row {
    table: &'static str,
    number: usize,
    name: String,
    cells: Vec<(String, Result<String, String>)>,
}

impl Row {
    fn new(table: &'static str, number: usize, name: &str) -> Self {
        Row { table, number, name: name.to_owned(), cells: Vec::new() }
    }

    fn add(&mut self, column: &str, outcome: Result<String, String>) {
        self.cells.push((column.to_owned(), outcome));
    }

    /// Writes the row down, and fails if a cell is not as it should be.
    fn finish(self) {
        let Row { table, number, name, cells } = self;
        let shown = cells.iter().map(|(column, outcome)| {
            let outcome = outcome.clone().unwrap_or_else(|fault| format!("FAIL: {fault}"));
            json!({"column": column, "outcome": outcome})
        });
        if let Some(folder) = folder() {
            let row =
                json!({"table": table, "number": number, "name": name, "cells": shown.collect::<Vec<_>>()});
            fs::write(folder.join(format!("{table}-{number:02}.json")), row.to_string())
                .expect("the folder takes a file");
        }
        let faults: Vec<_> = cells
            .iter()
            .filter_map(|(column, outcome)| Some(format!("{column}: {}", outcome.as_ref().err()?)))
            .collect();
        assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
    }
}
