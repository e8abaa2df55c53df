//! Writes field lines: runs of lines that stay as they are in one copy.

use bytes::BytesMut;

use crate::view::field_table::{FieldSpan, Fields};

/// Copies the kept fields of a head.
pub(super) struct FieldWriter<'a, 'o> {
    fields: Fields<'a>,
    out: &'o mut BytesMut,
    /// Lines that will be copied.
    run: (u32, u32),
}

impl<'a, 'o> FieldWriter<'a, 'o> {
    pub(super) fn new(fields: Fields<'a>, out: &'o mut BytesMut) -> Self {
        FieldWriter { fields, out, run: (0, 0) }
    }

    /// Keeps a field, with its line written as `Name: value` and CR LF.
    pub(super) fn keep(&mut self, span: &FieldSpan) {
        let is_plain = span.value_start == span.name_end + 2 && span.end == span.value_end + 2;
        let separator = self.fields.slice(span.name_end, span.value_start);
        if is_plain && separator == b": " && self.fields.slice(span.value_end, span.end) == b"\r\n" {
            if self.run.1 != span.start {
                self.flush();
                self.run.0 = span.start;
            }
            self.run.1 = span.end;
        } else {
            self.write(self.fields.name(span), self.fields.value(span));
        }
    }

    /// Writes a field in place of others.
    pub(super) fn write(&mut self, name: &[u8], value: &[u8]) {
        self.flush();
        write_field(name, value, self.out);
    }

    /// The output behind everything that was kept.
    pub(super) fn out(&mut self) -> &mut BytesMut {
        self.flush();
        self.out
    }

    fn flush(&mut self) {
        let (start, end) = core::mem::take(&mut self.run);
        self.out.extend_from_slice(self.fields.slice(start, end));
    }
}

/// Appends one field line.
pub(super) fn write_field(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
