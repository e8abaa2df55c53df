//! The page that lists a folder without an index.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::visible::{inside, is_hidden};

/// A page with more is of no use to a person, and is made in memory.
const MAX_ENTRIES: usize = 5000;
/// What may stand in a link as it is (RFC 3986 section 2.3).
const LITERAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--soft:#60646c;--paper:#fcfcfd;--line:#e0e1e6;--link:#0b63c5}\
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--soft:#b0b4ba;--paper:#111113;--line:#363a3f;--link:#70b8ff}}\
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;max-width:60rem;margin:auto;padding:2rem 1rem}\
h1{margin:0 0 1rem;font-size:1.25rem;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}\
td{padding:.3rem .5rem;border-top:1px solid var(--line);overflow-wrap:anywhere}\
td+td{color:var(--soft);text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}\
p{color:var(--soft)}\
@media(max-width:32rem){td:nth-child(3){display:none}}";

struct Entry {
    name: OsString,
    is_folder: bool,
    /// Bytes.
    size: u64,
    modified: Option<SystemTime>,
}

/// The listing of `folder`, a canonical path below `root`, which visitors know as `shown`.
///
/// # Errors
/// If it cannot be read.
pub(super) fn render(root: &Path, folder: &Path, shown: &Path) -> io::Result<String> {
    let mut entries = Vec::new();
    let mut is_cut = false;
    for entry in fs::read_dir(folder)? {
        // What goes away meanwhile is not there.
        let Some(entry) = entry.ok().and_then(|entry| self::entry(root, &entry)) else { continue };
        is_cut = entries.len() == MAX_ENTRIES;
        if is_cut {
            break;
        }
        entries.push(entry);
    }
    entries.sort_by_cached_key(|entry| {
        (!entry.is_folder, entry.name.to_string_lossy().to_lowercase(), entry.name.clone())
    });
    Ok(page(shown, &entries, is_cut))
}

fn entry(root: &Path, entry: &fs::DirEntry) -> Option<Entry> {
    let name = entry.file_name();
    if is_hidden(name.as_encoded_bytes()) {
        return None;
    }
    let meta: Metadata = match entry.file_type().ok()? {
        kind if kind.is_symlink() => fs::metadata(inside(root, &entry.path()).ok()?).ok()?,
        _ => entry.metadata().ok()?,
    };
    let is_shown = meta.is_dir() || meta.is_file();
    is_shown.then(|| Entry {
        name,
        is_folder: meta.is_dir(),
        size: meta.len(),
        modified: meta.modified().ok(),
    })
}

fn page(shown: &Path, entries: &[Entry], is_cut: bool) -> String {
    let mut path = String::from("/");
    for component in shown.components() {
        if let Component::Normal(name) = component {
            path.push_str(&name.to_string_lossy());
            path.push('/');
        }
    }
    let title = Escaped(&path);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<table>\n"
    );
    if shown.components().next().is_some() {
        out.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        // A string takes every write.
        let _written = writeln!(out, "{}", Row(entry));
    }
    out.push_str("</table>\n");
    if entries.is_empty() {
        out.push_str("<p>Nothing is in this folder.</p>\n");
    }
    if is_cut {
        out.push_str("<p>There is more than one page can show.</p>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

struct Row<'a>(&'a Entry);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { name, is_folder, size, modified } = self.0;
        let slash = if *is_folder { "/" } else { "" };
        let link = percent_encode(name.as_encoded_bytes(), LITERAL);
        let text = name.to_string_lossy();
        write!(f, "<tr><td><a href=\"{link}{slash}\">{}{slash}</a></td><td>", Escaped(&text))?;
        if !is_folder {
            write!(f, "{}", Size(*size))?;
        }
        write!(f, "</td><td>{}</td></tr>", modified.and_then(date).unwrap_or_default())
    }
}

/// A day and a minute (UTC): `14 Nov 2023 22:13`.
fn date(at: SystemTime) -> Option<String> {
    // Beyond these, dates cannot be written.
    let years = UNIX_EPOCH..UNIX_EPOCH.checked_add(Duration::from_secs(253_402_300_800))?;
    let text = years.contains(&at).then(|| httpdate::fmt_http_date(at))?;
    text.get(5..22).map(str::to_owned)
}

/// Bytes, as a person reads them.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        // For the eye, the rounding of a float is nothing.
        let mut size = self.0 as f64 / 1000.0;
        let mut unit = 0;
        while size >= 999.95 && unit + 1 < UNITS.len() {
            size /= 1000.0;
            unit += 1;
        }
        write!(f, "{size:.1} {}", UNITS[unit])
    }
}

/// Text as it may stand in HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_in_the_page_and_bytes_in_the_link() {
        let entry = Entry {
            name: "<b>\"a:b\" & \u{e9}".into(),
            is_folder: true,
            size: 4096,
            modified: Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
        };
        let row = Row(&entry).to_string();
        assert!(row.contains("href=\"%3Cb%3E%22a%3Ab%22%20%26%20%C3%A9/\""), "{row}");
        assert!(row.contains(">&lt;b&gt;&quot;a:b&quot; &amp; \u{e9}/</a>"), "{row}");
        assert!(row.contains(">14 Nov 2023 22:13<") && !row.contains("4.1 kB"), "{row}");
        let empty = page(Path::new("a/<i>"), &[], false);
        assert!(empty.contains("<h1>/a/&lt;i&gt;/</h1>") && empty.contains("../"), "{empty}");
    }

    #[test]
    fn a_size_has_three_digits_and_a_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_999, "1.0 MB"),
            (5_300_000_000, "5.3 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(Size(bytes).to_string(), shown);
        }
    }
}
