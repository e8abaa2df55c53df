//! The crates that a program is made of, as cargo and its lock file know them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::targets::Target;
use crate::cargo::cargo;
use crate::root;

/// A crate of others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) version: String,
    /// An expression of SPDX.
    pub(super) license: Option<String>,
    pub(super) repository: Option<String>,
    /// Of its archive at the registry.
    pub(super) sha256: Option<String>,
    /// Where its sources are on this machine.
    pub(super) folder: PathBuf,
    /// Indices of those that it needs.
    pub(super) needs: Vec<usize>,
}

/// All of them, ordered, without those that only build others.
pub(super) struct Components {
    pub(super) all: Vec<Component>,
    /// Indices of those that the crates of this workspace need.
    pub(super) roots: Vec<usize>,
}

impl Components {
    /// Those of the program for this target.
    ///
    /// # Errors
    /// Cargo does not say.
    pub(super) fn of(target: Target) -> Result<Self> {
        let mut command = cargo(["metadata", "--format-version", "1", "--locked", "--filter-platform"]);
        let output = command.arg(target.triple()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let lock = fs::read_to_string(root().join("Cargo.lock"))?;
        Self::from_metadata(&metadata, &checksums(&lock))
    }

    fn from_metadata(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let packages: BTreeMap<String, Value> =
            list(&metadata["packages"]).into_iter().filter_map(|it| Some((text(&it["id"])?, it))).collect();
        let own: BTreeSet<String> = list(&metadata["workspace_members"]).iter().filter_map(text).collect();
        let needs: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
            .iter()
            .filter_map(|node| {
                let linked = list(&node["deps"]).into_iter().filter(is_linked);
                Some((text(&node["id"])?, linked.filter_map(|need| text(&need["pkg"])).collect()))
            })
            .collect();
        let builds_others = |id: &String| {
            list(&packages[id]["targets"]).iter().any(|it| list(&it["kind"]).contains(&"proc-macro".into()))
        };
        let program = own
            .iter()
            .find(|id| packages[*id]["name"] == "hvym-tunnel")
            .context("the program is no member")?;
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![program.clone()]);
        while let Some(id) = waiting.pop() {
            if !builds_others(&id) && reached.insert(id.clone()) {
                waiting.extend(needs.get(&id).into_iter().flatten().cloned());
            }
        }
        let mut ids: Vec<&String> = reached.iter().filter(|id| !own.contains(*id)).collect();
        let key = |id: &String| (text(&packages[id]["name"]), text(&packages[id]["version"]));
        ids.sort_by_key(|id| key(id));
        let index = |id: &String| ids.iter().position(|known| *known == id);
        let component = |id: &&String| {
            let package = &packages[*id];
            let [name, version] =
                [&package["name"], &package["version"]].map(|value| text(value).unwrap_or_default());
            let manifest = PathBuf::from(text(&package["manifest_path"]).unwrap_or_default());
            let mut needs: Vec<usize> = needs.get(*id).into_iter().flatten().filter_map(index).collect();
            needs.sort_unstable();
            needs.dedup();
            Component {
                sha256: checksums.get(&(name.clone(), version.clone())).cloned(),
                license: text(&package["license"]),
                repository: text(&package["repository"]),
                folder: manifest.parent().map(PathBuf::from).unwrap_or_default(),
                name,
                version,
                needs,
            }
        };
        let all = ids.iter().map(component).collect();
        let direct = reached.iter().filter(|id| own.contains(*id)).filter_map(|id| needs.get(id)).flatten();
        let roots: BTreeSet<usize> = direct.filter_map(index).collect();
        Ok(Self { all, roots: roots.into_iter().collect() })
    }
}

/// Whether it is in the program, and not only needed to build or to test it.
fn is_linked(need: &Value) -> bool {
    need["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
}

/// The hashes of a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut checksums = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
        };
        if let (Some(name), Some(version), Some(sum)) = (value("name"), value("version"), value("checksum")) {
            checksums.insert((name, version), sum);
        }
    }
    checksums
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_linked_is_told_from_what_builds_and_tests() {
        let package = |name: &str, kind: &str| {
            json!({ "id": name, "name": name, "version": "1.0.0", "manifest_path": format!("/src/{name}/Cargo.toml"),
                "license": "MIT", "targets": [{ "kind": [kind] }] })
        };
        let needs = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [package("hvym-tunnel", "bin"), package("lib", "lib"), package("deep", "lib"), package("built", "lib"),
                package("macro", "proc-macro"), package("syn", "lib"), package("other", "lib")],
            "workspace_members": ["hvym-tunnel"],
            "resolve": { "nodes": [
                { "id": "hvym-tunnel", "deps": [needs("lib", Value::Null), needs("built", json!("build")), needs("other", json!("dev"))] },
                { "id": "lib", "deps": [needs("macro", Value::Null), needs("deep", Value::Null)] },
                { "id": "macro", "deps": [needs("syn", Value::Null)] },
            ] },
        });
        let lock = "[[package]]\nname = \"deep\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"ab\"\n\n[[package]]\nname = \"lib\"\n";
        let found = Components::from_metadata(&metadata, &checksums(lock)).expect("metadata");
        let names: Vec<_> = found.all.iter().map(|component| component.name.as_str()).collect();
        assert_eq!((names, found.roots), (vec!["deep", "lib"], vec![1]));
        assert_eq!((found.all[0].sha256.as_deref(), &found.all[1].needs), (Some("ab"), &vec![0]));
        assert_eq!(found.all[1].sha256, None);
    }
}
