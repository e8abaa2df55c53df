//! Raw input of a run: what proptest generates and shrinks is what libFuzzer feeds and a corpus stores.

use std::fmt;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

/// Bytes that show as hexadecimal, so that a failure can be pasted into a corpus.
#[derive(Clone)]
pub struct Raw(pub Vec<u8>);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Any setup and up to `steps` steps. A failure shrinks to fewer steps first, then to smaller numbers.
pub fn raw(steps: usize) -> impl Strategy<Value = Raw> {
    prop::collection::vec(any::<[u8; 4]>(), 1..steps).prop_map(|words| Raw(words.concat()))
}

/// `PROPTEST_CASES` cases, or `cases` of them; failures are written beside the tests and replayed first.
pub fn cases(cases: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    Config {
        cases,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/properties.seeds"))),
        ..Config::default()
    }
}
