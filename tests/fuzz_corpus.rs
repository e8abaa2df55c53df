//! The fuzz corpus under plain `cargo test`: every input that is kept goes through its target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hvym_tunnel_tests::corpus::seeds;
use hvym_tunnel_tests::fuzz::{TARGETS, Target};
use hvym_tunnel_tests::memory::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

fn replay(name: &str, target: Target) {
    let files = fs::read_dir(corpus(name)).expect("every target has a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("a folder can be listed").path();
        // Shown when the target panics.
        println!("{}", path.display());
        target(&fs::read(&path).expect("an input can be read"));
        count += 1;
    }
    assert!(count > 0, "{name} has an empty corpus");
}

#[test]
fn every_input_that_is_kept_holds() {
    for (name, target) in TARGETS {
        replay(name, target);
    }
}

#[test]
fn every_folder_of_the_corpus_belongs_to_a_target() {
    let folders: BTreeSet<String> = fs::read_dir(corpus(""))
        .expect("there is a corpus")
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(folders, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

/// With `HVYM_WRITE_SEEDS` set it writes them instead.
#[test]
fn every_seed_is_in_the_corpus() {
    let write = std::env::var_os("HVYM_WRITE_SEEDS").is_some();
    let mut names = BTreeSet::new();
    for (target, name, bytes) in seeds() {
        assert!(names.insert((target, name.clone())), "two seeds of {target} are called {name}");
        let path = corpus(target).join(&name);
        if write {
            fs::create_dir_all(corpus(target)).expect("a folder can be made");
            fs::write(&path, &bytes).expect("a seed can be written");
        }
        let kept = fs::read(&path).expect("a seed is kept: run with HVYM_WRITE_SEEDS=1 after changing seeds");
        assert_eq!(kept, bytes, "{target}/{name} differs: run with HVYM_WRITE_SEEDS=1 after changing seeds");
    }
    assert!(TARGETS.iter().all(|(target, _)| names.iter().any(|(of, _)| of == target)));
}
