//! The book is true: its commands are understood, its settings are right, and what its tutorial does can be done.
#![cfg(unix)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, Program, binary};

/// What else the book has people type.
const OTHERS: [&str; 9] = ["cargo", "cc", "curl", "echo", "kill", "mkdir", "pip", "until", "wait"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src")
}

/// The pages by their names, without those that are a document of their own.
fn pages() -> Vec<(String, String)> {
    let (mut folders, mut found) = (vec![source()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map_while(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("a page");
                let name = path.strip_prefix(source()).expect("below it").display().to_string();
                found.push((name, text));
            }
        }
    }
    found.retain(|(_, text)| !text.starts_with("{{#include"));
    found.sort();
    found
}

/// The code of the blocks of this kind, without the indentation of a list.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, usize, String)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(info)) => open = Some((info == kind, indent, String::new())),
            (Some((is_wanted, _, code)), Some(_)) => {
                if *is_wanted {
                    found.push(std::mem::take(code));
                }
                open = None;
            }
            (Some((_, indent, code)), None) => {
                code.push_str(line.get(*indent..).unwrap_or_default());
                code.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

/// A folder for programs in `home`, in which ours has its name.
fn programs(home: &Home) -> PathBuf {
    let folder = home.path("bin");
    fs::create_dir_all(&folder).expect("a folder takes a folder");
    std::os::unix::fs::symlink(binary(), folder.join("hvym-tunnel")).expect("a folder takes a link");
    folder
}

/// A shell in `home` that finds our program before all others.
fn shell(home: &Home, script: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", script]).env_clear().current_dir(home.path(""));
    shell.env("HOME", home.path("")).env("XDG_CONFIG_HOME", home.path("config"));
    shell.env("PATH", format!("{}:{path}", programs(home).display()));
    shell
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_command_is_one_that_the_program_understands() {
    let mut checked = 0;
    for (page, text) in pages() {
        let code = [blocks(&text, "sh"), blocks(&text, "sh,run")].concat();
        for line in code.iter().flat_map(|block| block.lines()) {
            let first = line.split_whitespace().next().unwrap_or_default();
            if first != "hvym-tunnel" {
                assert!(OTHERS.contains(&first), "{page}: {line}");
                continue;
            }
            // The command of a service stands behind two hyphens, and is one of its own.
            for part in line.trim_end_matches('&').trim_end().split(" -- ") {
                let command = part.strip_prefix("hvym-tunnel ").unwrap_or(part);
                let output = shell(&Home::new(), &format!("hvym-tunnel {command} --help")).output();
                let output = output.expect("a shell");
                assert!(output.status.success(), "{page}: {part}\n{}", said(&output));
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked} commands were found");
}

#[test]
fn what_the_tutorial_does_can_be_done() {
    if required_tool("curl").is_none() {
        return;
    }
    let mut ran = 0;
    for (page, text) in pages() {
        let script = blocks(&text, "sh,run").concat();
        if script.is_empty() {
            continue;
        }
        let home = Home::new();
        let mut run = Program::start(shell(&home, &script));
        assert_eq!(run.code(), 0, "{page}: {run:?}");
        ran += 1;
    }
    assert!(ran > 1, "{ran} pages were found");
}

#[test]
fn every_settings_file_is_right() {
    let mut checked = 0;
    for (page, text) in pages() {
        for block in blocks(&text, "toml,config") {
            let home = Home::new();
            fs::write(home.path("config.toml"), &block).expect("a folder takes a file");
            let file = home.path("config.toml").display().to_string();
            let output = home.command(&["config", "check", &file]).output().expect("it starts");
            assert!(output.status.success(), "{page}: {}", said(&output));
            checked += 1;
        }
    }
    assert!(checked > 0, "no settings were found");
}

#[test]
fn the_table_of_commands_is_that_of_the_program() {
    let home = Home::new();
    let help = |arguments: &[&str]| {
        let output = home.command(arguments).output().expect("it starts");
        String::from_utf8(output.stdout).expect("it is text")
    };
    let all = help(&["--help"]);
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    let names =
        listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let mut table = String::new();
    for name in names.filter(|name| *name != "help") {
        let help = help(&[name, "-h"]);
        let about: Vec<&str> = help.lines().take_while(|line| !line.is_empty()).collect();
        let _written = writeln!(table, "| `{name}` | {} |", about.join(" "));
    }
    let path = source().join("commands.md");
    let page = fs::read_to_string(&path).expect("the page");
    let (before, _) = page.split_once("|---|---|\n").expect("it has a table");
    let made = format!("{before}|---|---|\n{table}");
    if std::env::var_os("HVYM_TUNNEL_WRITE").is_some() {
        fs::write(&path, &made).expect("the file takes the page");
    }
    assert!(table.lines().count() > 25, "{table}");
    let page = fs::read_to_string(&path).expect("the page");
    assert!(
        page == made,
        "run this test with HVYM_TUNNEL_WRITE=1, and commit docs/book/src/commands.md\n{made}"
    );
}

#[test]
fn blocks_are_told_by_their_kind() {
    let text = "a\n```sh\none\n```\n   ```sh,run\n   two\n     three\n   ```\n```toml\nfour\n```\n";
    assert_eq!(blocks(text, "sh"), ["one\n"]);
    assert_eq!(blocks(text, "sh,run"), ["two\n  three\n"]);
}
