//! The book in `docs/book`: its chapters, and `llms.txt`, by which programs that read find them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::root;

/// What the first lines of `llms.txt` say.
const HEAD: &str = "\
# hvym-tunnel

> Gives a service on your own machine a stable public address, through a relay, over one outbound WebSocket. Identities are Stellar keys. One
> program (`hvym-tunnel`) is both sides; Rust, Python, C and JavaScript have libraries. Every command has `--help`, most have `--json`.
";

/// A line of the summary.
enum Entry {
    /// The heading of a part.
    Part(String),
    /// A chapter: its title, and its file below `docs/book/src`.
    Chapter(String, String),
}

/// `cargo xtask llms`: writes `llms.txt` anew.
pub(crate) fn run() -> Result<()> {
    let path = root().join("llms.txt");
    fs::write(&path, text()?).with_context(|| path.display().to_string())
}

fn source() -> PathBuf {
    root().join("docs/book/src")
}

/// The parts and chapters, in their order.
fn entries() -> Result<Vec<Entry>> {
    let summary = fs::read_to_string(source().join("SUMMARY.md"))?;
    let mut entries = Vec::new();
    for line in summary.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(part) = line.strip_prefix("# ") {
            entries.push(Entry::Part(part.to_owned()));
            continue;
        }
        let link = line.strip_prefix("- ").unwrap_or(line).strip_prefix('[');
        let Some((title, file)) = link.and_then(|link| link.strip_suffix(')')?.split_once("](")) else {
            bail!("SUMMARY.md: {line:?} is no chapter");
        };
        entries.push(Entry::Chapter(title.to_owned(), file.to_owned()));
    }
    Ok(entries)
}

/// The file with the text of a chapter: its own, or the one that it includes as a whole.
fn page(file: &str) -> Result<(PathBuf, String)> {
    let path = source().join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let included = text.trim().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"));
    match included {
        Some(included) => {
            let path = plain(&path.with_file_name("").join(included));
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            Ok((path, text))
        }
        None => Ok((path, text)),
    }
}

/// A path without `..`, for which its folders need not exist.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The first sentence below the title.
fn first_sentence(text: &str) -> String {
    let paragraph = text.lines().skip_while(|line| line.starts_with('#') || line.is_empty());
    let lines: Vec<&str> = paragraph.take_while(|line| !line.is_empty()).collect();
    let joined = lines.join(" ");
    let end = joined.find(". ").map_or(joined.len(), |end| end + 1);
    joined[..end].to_owned()
}

fn text() -> Result<String> {
    let mut text = format!("{HEAD}\n");
    for entry in entries()? {
        match entry {
            Entry::Part(part) => write!(text, "\n## {part}\n\n")?,
            Entry::Chapter(title, file) => {
                let (path, content) = page(&file)?;
                let path = path.strip_prefix(root())?.display().to_string();
                writeln!(text, "- [{title}]({path}): {}", first_sentence(&content))?;
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").map_while(Result::ok) {
            match entry.path() {
                path if path.is_dir() => files(&path, found),
                path => found.push(path),
            }
        }
    }

    fn chapters() -> Vec<String> {
        let entries = entries().expect("the summary is understood").into_iter();
        entries
            .filter_map(|entry| if let Entry::Chapter(_, file) = entry { Some(file) } else { None })
            .collect()
    }

    /// The places that the links of a page lead to, outside of code.
    fn links(text: &str) -> Vec<&str> {
        let prose = text.split("```").step_by(2).flat_map(|text| text.split("](").skip(1));
        prose.filter_map(|rest| rest.split(')').next()).collect()
    }

    #[test]
    fn llms_txt_is_that_of_the_chapters() {
        let committed = fs::read_to_string(root().join("llms.txt")).expect("the committed file");
        assert!(committed == text().expect("the book is whole"), "run cargo xtask llms, and commit llms.txt");
    }

    #[test]
    fn every_page_is_a_chapter() {
        let mut found = Vec::new();
        files(&source(), &mut found);
        let mut found: Vec<PathBuf> =
            found.into_iter().filter(|path| !path.ends_with("SUMMARY.md")).collect();
        found.sort();
        let mut chapters: Vec<PathBuf> = chapters().iter().map(|file| source().join(file)).collect();
        chapters.sort();
        assert_eq!(found, chapters);
    }

    #[test]
    fn every_link_leads_somewhere() {
        let mut checked = 0;
        for file in chapters() {
            let (path, text) = page(&file).expect("the page is there");
            for link in
                links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with('#'))
            {
                let to = link.split('#').next().unwrap_or_default();
                let target = plain(&path.with_file_name("").join(to));
                assert!(target.exists(), "{}: {link} leads nowhere", path.display());
                checked += 1;
            }
        }
        assert!(checked > 10, "{checked}");
    }

    #[test]
    fn the_first_sentence_is_found_below_the_title() {
        let text = "# Title\n\nThe first\nsentence. The second.\n\nAnother.\n";
        assert_eq!(first_sentence(text), "The first sentence.");
        assert_eq!(first_sentence("# Title\n\nOnly one"), "Only one");
    }
}
