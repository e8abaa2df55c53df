//! Shorter names between a WebAssembly module and the script that wasm-bindgen makes around it: they are what a page loads,
//! and nobody else reads them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// Ids of sections (WebAssembly Core Specification 5.5.2).
const IMPORTS: u8 = 2;
const EXPORTS: u8 = 7;
/// The kind of an import that is a function.
const FUNCTION: u8 = 0;
/// Magic and version.
const PREAMBLE: usize = 8;
/// An export whose name stays, so that whoever looks after the memory of a module finds it.
const MEMORY: &str = "memory";

/// The names that were given up, and what took their places.
#[derive(Default)]
struct Names {
    imports: BTreeMap<String, String>,
    exports: BTreeMap<String, String>,
}

/// The module and its script, with short names.
pub(crate) fn shorten(module: &[u8], script: &str) -> Result<(Vec<u8>, String)> {
    let mut names = Names::default();
    let (preamble, sections) = module.split_at_checked(PREAMBLE).context("no module")?;
    let (mut short, mut rest) = (preamble.to_vec(), sections);
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let size = number(&mut rest)?;
        let mut section = take(&mut rest, size)?;
        let payload = match id {
            IMPORTS => imports(&mut section, &mut names.imports)?,
            EXPORTS => exports(&mut section, &mut names.exports)?,
            _ => section.to_vec(),
        };
        short.push(id);
        put(&mut short, &payload);
    }
    Ok((short, renamed(script, &names)))
}

fn imports(section: &mut &[u8], names: &mut BTreeMap<String, String>) -> Result<Vec<u8>> {
    let (count, mut out) = (number(section)?, Vec::new());
    put_number(&mut out, count);
    for index in 0..count {
        let (module, name) = (text(section)?, text(section)?);
        ensure!(take(section, 1)? == [FUNCTION], "{name} is imported, and no function");
        let signature = number(section)?;
        put(&mut out, module.as_bytes());
        put(&mut out, names.entry(name).or_insert_with(|| short_name(index)).as_bytes());
        out.push(FUNCTION);
        put_number(&mut out, signature);
    }
    Ok(out)
}

fn exports(section: &mut &[u8], names: &mut BTreeMap<String, String>) -> Result<Vec<u8>> {
    let (count, mut out) = (number(section)?, Vec::new());
    put_number(&mut out, count);
    for index in 0..count {
        let name = text(section)?;
        let short = if name == MEMORY { name.clone() } else { short_name(index) };
        put(&mut out, short.as_bytes());
        names.insert(name, short);
        out.extend(take(section, 1)?);
        put_number(&mut out, number(section)?);
    }
    Ok(out)
}

/// The script with the names of imports wherever they stand, and those of exports as members of `wasm`.
fn renamed(script: &str, names: &Names) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let (mut out, mut rest) = (String::with_capacity(script.len()), script);
    while let Some(start) = rest.find(is_part) {
        out += &rest[..start];
        rest = &rest[start..];
        let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let map = if out.ends_with("wasm.") { &names.exports } else { &names.imports };
        out += map.get(word).map_or(word, String::as_str);
        rest = after;
    }
    out + rest
}

/// `a` to `z`, `aa`, `ab` ..
fn short_name(index: usize) -> String {
    let last = char::from(b'a' + u8::try_from(index % 26).unwrap_or_default());
    let mut name = if index < 26 { String::new() } else { short_name(index / 26 - 1) };
    name.push(last);
    name
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(count).context("the module is cut off")?;
    *from = rest;
    Ok(taken)
}

/// An unsigned number (LEB128).
fn number(from: &mut &[u8]) -> Result<usize> {
    let mut value = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let byte = take(from, 1)?[0];
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    anyhow::bail!("a number has too many bytes")
}

fn text(from: &mut &[u8]) -> Result<String> {
    let length = number(from)?;
    Ok(String::from_utf8(take(from, length)?.to_vec())?)
}

fn put_number(to: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        to.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    to.push(u8::try_from(value).unwrap_or_default());
}

/// Bytes behind their length.
fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, payload: &[u8]) -> Vec<u8> {
        let mut section = vec![id];
        put(&mut section, payload);
        section
    }

    fn entry(parts: &[&str], more: &[u8]) -> Vec<u8> {
        let mut entry = Vec::new();
        parts.iter().for_each(|part| put(&mut entry, part.as_bytes()));
        entry.extend(more);
        entry
    }

    fn module(import: &str, export: &str) -> Vec<u8> {
        let imports = [&[1][..], &entry(&["./x.js", import], &[FUNCTION, 200, 1])].concat();
        let exports = [&[2][..], &entry(&["memory"], &[2, 0]), &entry(&[export], &[0, 5])].concat();
        [
            &b"\0asm\x01\0\0\0"[..],
            &section(1, b"types"),
            &section(IMPORTS, &imports),
            &section(EXPORTS, &exports),
        ]
        .concat()
    }

    #[test]
    fn a_module_and_its_script_agree_on_short_names() {
        let long = module("__wbg_call_40b0", "runner_bind");
        let script = "imports={__wbg_call_40b0:function(runner_bind){}};wasm.runner_bind(wasm.memory)";
        let (short, renamed) = shorten(&long, script).expect("a module");
        assert_eq!(short, module("a", "b"));
        assert_eq!(renamed, "imports={a:function(runner_bind){}};wasm.b(wasm.memory)");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(shorten(b"\0asm", "").is_err());
        let cut = module("a", "b");
        assert!(shorten(&cut[..cut.len() - 1], "").is_err());
    }

    #[test]
    fn names_are_short_and_never_the_same() {
        assert_eq!([0, 25, 26, 27, 701, 702].map(short_name), ["a", "z", "aa", "ab", "zz", "aaa"]);
    }
}
