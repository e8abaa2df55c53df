//! What a test program printed: how many tests passed, and which one it hangs in.

/// The counts of the line that libtest ends with: passed, failed and ignored.
pub(super) fn counts(output: &str) -> Option<[usize; 3]> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix("test result: "))?;
    let count = |what: &str| -> Option<usize> {
        let part = line.split([';', '.']).map(str::trim).find_map(|part| part.strip_suffix(what))?;
        part.trim().parse().ok()
    };
    Some([count("passed")?, count("failed")?, count("ignored")?])
}

/// Tests that libtest said run for long, and that have not ended since.
pub(super) fn unfinished(output: &str) -> Vec<&str> {
    let slow = output.lines().filter_map(|line| {
        line.strip_prefix("test ")?.split_once(" has been running for").map(|(name, _)| name)
    });
    let ended = |name: &str| {
        output.lines().any(|line| {
            line.strip_prefix("test ")
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with(" ... "))
        })
    };
    slow.filter(|name| !ended(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_test_program_is_counted() {
        let line =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(counts(&format!("running 13 tests\n\n{line}\n\n")), Some([12, 0, 1]));
        let line = line.replace("ok. 12 passed; 0", "FAILED. 11 passed; 1");
        assert_eq!(counts(&line), Some([11, 1, 1]));
        assert_eq!(counts("running 13 tests"), None);
    }

    #[test]
    fn a_test_that_hangs_is_named_and_one_that_was_slow_is_not() {
        let output = "test slow has been running for over 60 seconds\n\
                      test stuck has been running for over 60 seconds\n\
                      test slow ... ok\n\
                      test stuck_elsewhere ... ok\n";
        assert_eq!(unfinished(output), ["stuck"]);
    }
}
