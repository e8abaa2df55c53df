//! Which scripts of the browser package need which others. It reads no JavaScript but the form in which files beside each other
//! are imported.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// When a script needs another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum When {
    /// `import .. from`: before it runs.
    AtOnce,
    /// `import()`: when it comes to it.
    Later,
}

/// Adds `name`, and what it imports up to `when`, to `names`.
pub(crate) fn collect(folder: &Path, name: &str, when: When, names: &mut BTreeSet<String>) -> Result<()> {
    if !names.insert(name.to_owned()) {
        return Ok(());
    }
    let text = fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?;
    let wanted = imports(&text).filter(|(_, needed)| *needed <= when);
    wanted.into_iter().try_for_each(|(other, _)| collect(folder, other, when, names))
}

/// The scripts beside it that a script imports.
pub(crate) fn imports(text: &str) -> impl Iterator<Item = (&str, When)> {
    text.match_indices("./").filter_map(|(at, _)| {
        let (before, quote) = text[..at].split_at_checked(at.checked_sub(1)?)?;
        let name = text[at + 2..].split(quote).next().filter(|_| quote == "\"" || quote == "'")?;
        let before = before.trim_end();
        let when = match before.strip_suffix('(') {
            Some(before) if before.ends_with("import") => When::Later,
            None if before.ends_with("from") || before.ends_with("import") => When::AtOnce,
            _ => return None,
        };
        Some((name, when))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_in_scripts_as_written_and_minified() {
        let script = "import { a } from \"./a.js\";\nimport './b.js';\nconst u = new URL(\"./w.js\", import.meta.url);\nawait import('./c.js');\n";
        let minified = "import{a as t}from\"./a.js\";import\"./b.js\";const u=new URL(\"./w.js\",import.meta.url);await import(\"./c.js\");";
        for text in [script, minified] {
            let found: Vec<_> = imports(text).collect();
            assert_eq!(found, [("a.js", When::AtOnce), ("b.js", When::AtOnce), ("c.js", When::Later)]);
        }
        assert_eq!(imports("./a.js from './a.js").count(), 1);
    }

    #[test]
    fn what_scripts_need_is_found_through_others_and_once() {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-imports-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder takes a folder");
        for (name, text) in [
            ("a.js", "import \"./b.js\"; const c = await import(\"./c.js\");"),
            ("b.js", "import \"./a.js\";"),
            ("c.js", "import \"./d.js\";"),
            ("d.js", ""),
        ] {
            fs::write(folder.join(name), text).expect("a folder takes a file");
        }
        let found = [When::AtOnce, When::Later].map(|when| {
            let mut names = BTreeSet::new();
            collect(&folder, "a.js", when, &mut names).map(|()| names)
        });
        let missing = collect(&folder, "e.js", When::Later, &mut BTreeSet::new());
        fs::remove_dir_all(&folder).expect("the folder can be removed");
        let [at_once, later] = found.map(|names| names.expect("all are there"));
        assert_eq!(Vec::from_iter(at_once), ["a.js", "b.js"]);
        assert_eq!(Vec::from_iter(later), ["a.js", "b.js", "c.js", "d.js"]);
        assert!(missing.is_err());
    }
}
