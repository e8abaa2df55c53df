//! The built files of the pages, which are committed: that they are those of the sources, and how large they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hvym_tunnel_tests::installed::skip;

/// A copy of `web` in a new folder with its dependencies installed, once for all tests; `None` after reporting the skip.
pub(crate) fn installed() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(install).as_deref();
    if folder.is_none() {
        skip("npm cannot install what the pages are built with");
    }
    folder
}

fn install() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("web");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    let listed =
        Command::new("git").args(["ls-files", "-z"]).current_dir(&source).output().expect("git runs");
    for name in String::from_utf8(listed.stdout).expect("names").split('\0').filter(|name| !name.is_empty()) {
        let to = folder.join("web").join(name);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder takes a folder");
        fs::copy(source.join(name), to).expect("a folder takes a file");
    }
    let npm = Command::new("npm").args(["ci", "--loglevel=error"]).current_dir(folder.join("web")).status();
    npm.is_ok_and(|status| status.success()).then_some(folder)
}

/// All files below a folder, by their paths in it.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is in it").to_owned();
                found.push((name, fs::read(path).expect("a readable file")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_served_is_what_the_sources_build() {
    let Some(folder) = installed() else { return };
    let built = Command::new("npm").args(["run", "build"]).current_dir(folder.join("web")).output();
    let built = built.expect("npm runs");
    let said = [built.stdout, built.stderr].concat();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&said));
    for place in
        ["runner-native/inspector/assets", "runner-native/manager/assets", "runner-native/relay/console"]
    {
        let committed = contents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place));
        let fresh = contents(&folder.join(place));
        let names =
            |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&committed), names(&fresh), "{place}");
        for ((name, old), (_, new)) in committed.iter().zip(&fresh) {
            assert!(old == new, "{} is not what `npm run build` in web makes of the sources", name.display());
        }
        // What people wait for on a slow machine.
        let total = fresh.iter().map(|(_, content)| content.len()).sum::<usize>();
        assert!(total < 150 * 1024, "{total} bytes are served");
    }
}
