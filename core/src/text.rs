//! Searching and cutting short texts. The functions of `str` for it bring a searcher, and the message of a cut within a
//! character, which are 9 KB of the browser package.

/// What is before and behind the first `separator` in `text`.
pub(crate) fn split_once<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let at = text.as_bytes().windows(separator.len()).position(|bytes| bytes == separator.as_bytes())?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// The longest beginning of `text` of at most `max` bytes that ends at a character border.
pub(crate) fn truncated(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_where_the_library_splits_it() {
        for text in ["", "-", "--", "---", "a--b--c", "é--é", "--a", "a--", "a-b-c"] {
            assert_eq!(split_once(text, "--"), text.split_once("--"), "{text}");
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character_border() {
        assert_eq!((truncated("né", 2), truncated("né", 3), truncated("né", 9)), ("n", "né", "né"));
    }
}
