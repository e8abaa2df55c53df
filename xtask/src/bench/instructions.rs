//! How many instructions each kind of work of the pure crates takes, counted by callgrind and held to a record.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::build;
use crate::root;

/// Where the instructions that each kind of work may take are recorded.
const RECORD: &str = "benches/instructions.txt";
/// How far above the record a count may lie, percent.
const TOLERANCE: u64 = 10;
/// Two amounts of work, whose difference has no beginning and no end in it.
const AMOUNTS: [u64; 2] = [2_000, 10_000];

/// Counts instructions under callgrind, and compares them with the record or makes it.
pub(super) fn instructions(record: bool) -> Result<()> {
    let program = build("instructions")?;
    let path = root().join(RECORD);
    let recorded = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let mut kept = String::new();
    let mut worse = Vec::new();
    println!("| work | instructions each | recorded | with those that move and clear bytes |");
    println!("|---|---|---|---|");
    for line in recorded.lines() {
        let Some((kind, limit)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
            kept.push_str(&format!("{line}\n"));
            continue;
        };
        let limit: u64 = limit.trim().parse().with_context(|| format!("{RECORD}: {line}"))?;
        let [few, many] = AMOUNTS.map(|amount| count(&program, kind, amount));
        let (few, many) = (few?, many?);
        let [each, total] = [(few.work, many.work), (few.total, many.total)]
            .map(|(few, many)| many.saturating_sub(few) / (AMOUNTS[1] - AMOUNTS[0]));
        println!("| {kind} | {each} | {limit} | {total} |");
        kept.push_str(&format!("{kind} {each}\n"));
        if each * 100 > limit * (100 + TOLERANCE) {
            worse.push(format!("{kind}: {each} instead of {limit}"));
        }
    }
    if record {
        return std::fs::write(&path, kept).with_context(|| format!("{}", path.display()));
    }
    ensure!(
        worse.is_empty(),
        "more than {TOLERANCE} % above {RECORD}: {}; if that is meant, record it with \
         cargo xtask bench instructions --record",
        worse.join(", "),
    );
    println!("within {TOLERANCE} % of {RECORD}");
    Ok(())
}

/// Instructions of a whole program.
struct Instructions {
    total: u64,
    /// Without those that move and clear bytes: how many these are depends on the processor, and on how valgrind counts a
    /// repeated one.
    work: u64,
}

fn count(program: &Path, kind: &str, amount: u64) -> Result<Instructions> {
    let out = program.with_extension("callgrind");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([kind, &amount.to_string()])
        .output()
        .context("valgrind: is it installed?")?;
    ensure!(output.status.success(), "valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new("callgrind_annotate")
        .args(["--auto=no", "--show-percs=no", "--threshold=100"])
        .arg(&out)
        .output()
        .context("callgrind_annotate: is it installed?")?;
    let report = String::from_utf8_lossy(&output.stdout);
    let line =
        |wanted: &'static str| report.lines().filter(move |line| line.contains(wanted)).filter_map(number);
    let total = line("PROGRAM TOTALS").next().context("callgrind_annotate says no total")?;
    let bytes: u64 = ["memcpy_", "memmove_", "memset_"].map(line).into_iter().flatten().sum();
    Ok(Instructions { total, work: total.saturating_sub(bytes) })
}

/// The count at the beginning of a line of the report.
fn number(line: &str) -> Option<u64> {
    let count = line.split_whitespace().next()?;
    count.replace(',', "").parse().ok()
}
