//! One line for a person: its colours, its width, and the escaping of everything that strangers sent.
//!
//! Pure: no stream, no clock.

use std::borrow::Cow;

/// Where a line belongs: scripts read `Out`, only people read `Err`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum OutputStream {
    /// Standard output: the URL and one line per request.
    Out,
    /// Standard error: everything else.
    Err,
}

/// One line, without its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub stream: OutputStream,
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Span {
    ink: Ink,
    text: String,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Ink {
    Plain,
    Bold,
    Dim,
    Green,
    Cyan,
    Yellow,
    Red,
}

impl Ink {
    /// The SGR parameter (ECMA-48 section 8.3.117).
    pub(super) const fn parameter(self) -> u8 {
        match self {
            Ink::Plain => 0,
            Ink::Bold => 1,
            Ink::Dim => 2,
            Ink::Green => 32,
            Ink::Cyan => 36,
            Ink::Yellow => 33,
            Ink::Red => 31,
        }
    }
}

impl Line {
    pub(super) fn out() -> Self {
        Line { stream: OutputStream::Out, spans: Vec::new() }
    }

    pub(super) fn err() -> Self {
        Line { stream: OutputStream::Err, spans: Vec::new() }
    }

    /// Every text comes in by here, so nothing unescaped reaches a terminal.
    pub(super) fn with(mut self, ink: Ink, text: impl AsRef<str>) -> Self {
        self.spans.push(Span { ink, text: escaped(text.as_ref()).into_owned() });
        self
    }

    /// As many lines as its words need where each has `columns` characters, in the ink of its last span, all indented by two
    /// spaces. A word that is longer than a line goes on in the next one.
    pub(super) fn wrapped(self, columns: usize) -> Vec<Self> {
        let ink = self.spans.last().map_or(Ink::Plain, |span| span.ink);
        let room = columns.saturating_sub(2).max(1);
        let mut rows: Vec<String> = Vec::new();
        for word in self.text(false).split_whitespace() {
            match rows.last_mut() {
                Some(row) if row.chars().count() + 1 + word.chars().count() <= room => {
                    row.push(' ');
                    row.push_str(word);
                }
                _ => {
                    let characters: Vec<char> = word.chars().collect();
                    rows.extend(characters.chunks(room).map(|piece| piece.iter().collect::<String>()));
                }
            }
        }
        rows.into_iter().map(|row| Line::err().with(ink, format!("  {row}"))).collect()
    }

    /// The line's text, with SGR sequences if `colour`.
    pub(crate) fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        for Span { ink, text } in &self.spans {
            if colour && *ink != Ink::Plain {
                out.push_str(&format!("\x1b[{}m{text}\x1b[0m", ink.parameter()));
            } else {
                out.push_str(text);
            }
        }
        out
    }
}

/// Characters of a path that a person sees; a visitor could send thousands.
pub(super) const MAX_PATH: usize = 120;

/// `text` with every character that could steer a terminal, or that hides, written as `\u{..}`. What strangers
/// send is shown to a person, and must stay text.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let steers = |character: char| {
        character.is_control()
            // Invisible, and the marks that turn the reading direction (Unicode TR 36).
            || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if steers(character) { out.extend(character.escape_default()) } else { out.push(character) }
    }
    Cow::Owned(out)
}

/// Whether every character is visible ASCII or a space.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// At most `limit` characters, counted after escaping.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    let text = escaped(text);
    match text.char_indices().nth(limit) {
        None => text.into_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_spelled_out() {
        for (raw, shown) in [
            ("/plain/é/漢", "/plain/é/漢"),
            ("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}"),
            ("a\rb\nc\td", "a\\rb\\nc\\td"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("a\u{200b}b\u{7f}", "a\\u{200b}b\\u{7f}"),
        ] {
            assert_eq!(escaped(raw), shown);
        }
    }

    #[test]
    fn a_line_is_wrapped_at_words_and_a_word_only_where_no_line_has_room_for_it() {
        let texts = |columns| {
            let line = Line::err().with(Ink::Plain, "  ").with(Ink::Yellow, "one two 1234567890 x");
            line.wrapped(columns).iter().map(|row| row.text(false)).collect::<Vec<_>>()
        };
        assert_eq!(texts(22), ["  one two 1234567890 x"]);
        assert_eq!(texts(21), ["  one two 1234567890", "  x"]);
        assert_eq!(texts(9), ["  one two", "  1234567", "  890 x"]);
        assert_eq!(texts(0).concat().replace(' ', ""), "onetwo1234567890x");
        let first = Line::err().with(Ink::Yellow, "a b").wrapped(4);
        assert_eq!(first[1].text(true), "\u{1b}[33m  b\u{1b}[0m");
    }

    #[test]
    fn a_path_is_cut_where_a_person_stops_reading() {
        let path = shortened(&"é".repeat(500), MAX_PATH);
        assert_eq!(path.chars().count(), MAX_PATH + 3);
        assert!(path.ends_with("..."));
    }
}
