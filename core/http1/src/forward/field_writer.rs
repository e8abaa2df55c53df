//! Writes field lines: runs of lines that stay as they are in one copy.

use bytes::BytesMut;

use crate::view::field_table::{FieldSpan, Fields};

/// Copies the fields of a head but for some.
pub(super) struct FieldWriter<'a, 'o> {
    fields: Fields<'a>,
    out: &'o mut BytesMut,
    /// Everything before it is written or left out.
    done: u32,
}

impl<'a, 'o> FieldWriter<'a, 'o> {
    pub(super) fn new(fields: Fields<'a>, out: &'o mut BytesMut) -> Self {
        let done = fields.spans().first().map_or(0, |span| span.start);
        FieldWriter { fields, out, done }
    }

    /// Keeps a field. Not needed for a line that is plain, nor are any calls for it.
    pub(super) fn keep(&mut self, span: &FieldSpan) {
        if !span.is_plain {
            self.replace(span, self.fields.value(span));
        }
    }

    /// Leaves a field out.
    pub(super) fn skip(&mut self, span: &FieldSpan) {
        self.write_until(span.start);
        self.done = span.end;
    }

    /// Writes a field with another value.
    pub(super) fn replace(&mut self, span: &FieldSpan, value: &[u8]) {
        self.skip(span);
        write_field(self.fields.name(span), value, self.out);
    }

    /// The output, with all that was before this field.
    pub(super) fn out_instead(&mut self, span: &FieldSpan) -> &mut BytesMut {
        self.skip(span);
        self.out
    }

    /// Writes the rest.
    pub(super) fn finish(mut self) -> &'o mut BytesMut {
        self.write_until(self.fields.spans().last().map_or(0, |span| span.end));
        self.out
    }

    fn write_until(&mut self, end: u32) {
        self.out.extend_from_slice(self.fields.slice(self.done, end));
    }
}

/// Appends one field line.
pub(super) fn write_field(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
