//! Errors of the system in words.

use std::io;

/// An error of the system as a person reads it: without the number, which says no more than the words.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
