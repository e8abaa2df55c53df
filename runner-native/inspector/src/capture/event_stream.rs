//! Reads the events of an event stream (the HTML standard, "Server-sent events").
//!
//! Bytes may come in any pieces. Of a long event only the beginning is held.

use super::messages::{CapturedKind, MAX_MESSAGE_BYTES, NewMessage};

/// Reads events from the body of one response.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    /// The last line ended with CR: a LF that follows belongs to it.
    after_return: bool,
    data: Vec<u8>,
    /// Bytes of data of this event, kept or not.
    length: u64,
    has_data: bool,
    name: Option<String>,
}

impl EventReader {
    /// Reads the next bytes, and gives each event that is complete to `emit`.
    pub(super) fn read(&mut self, bytes: &[u8], mut emit: impl FnMut(NewMessage)) {
        for byte in bytes {
            let is_second = std::mem::take(&mut self.after_return) && *byte == b'\n';
            match byte {
                _ if is_second => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    if let Some(event) = self.end_line() {
                        emit(event);
                    }
                }
                byte if self.line.len() < MAX_MESSAGE_BYTES => self.line.push(*byte),
                _ => self.length += 1,
            }
        }
    }

    /// Heap bytes held.
    pub(super) fn held(&self) -> usize {
        self.line.capacity() + self.data.capacity() + self.name.as_ref().map_or(0, String::capacity)
    }

    fn end_line(&mut self) -> Option<NewMessage> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.dispatch();
        }
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(at + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..at] {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.keep(b"\n");
                }
                self.keep(value);
            }
            b"event" => self.name = Some(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
        None
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = MAX_MESSAGE_BYTES - self.data.len();
        self.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn dispatch(&mut self) -> Option<NewMessage> {
        let event = std::mem::take(self);
        self.after_return = event.after_return;
        // What has no data is no event.
        event.has_data.then_some(NewMessage {
            kind: CapturedKind::Event,
            name: event.name.filter(|name| !name.is_empty()),
            length: event.length,
            data: event.data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<(Option<String>, String)> {
        let (mut reader, mut events) = (EventReader::default(), Vec::new());
        for piece in pieces {
            reader.read(piece, |event| {
                events.push((event.name, String::from_utf8(event.data).expect("text")));
            });
        }
        events
    }

    #[test]
    fn events_are_read_however_their_lines_end_and_wherever_they_are_cut() {
        let text =
            b": a comment\n\nevent: tick\r\ndata: one\r\ndata:two\r\rid: 7\ndata\n\nretry: 5\n\ndata: last";
        let expected = [(Some("tick".to_owned()), "one\ntwo".to_owned()), (None, String::new())];
        assert_eq!(read(&[text]), expected);
        for at in 0..text.len() {
            assert_eq!(read(&[&text[..at], &text[at..]]), expected, "cut at {at}");
        }
    }

    #[test]
    fn of_a_long_event_the_beginning_is_kept() {
        let mut reader = EventReader::default();
        let mut events = Vec::new();
        reader.read(b"data: ", |event| events.push(event));
        for _ in 0..4 {
            reader.read(&[b'x'; MAX_MESSAGE_BYTES], |event| events.push(event));
            assert!(reader.held() <= 4 * MAX_MESSAGE_BYTES);
        }
        reader.read(b"\n\n", |event| events.push(event));
        let event = &events[0];
        assert!(event.data.len() <= MAX_MESSAGE_BYTES && event.length >= 4 * MAX_MESSAGE_BYTES as u64 - 6);
    }
}
