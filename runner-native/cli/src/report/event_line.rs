//! An event of `tracing`: its fields, and its line for a person who asked for no log.
//!
//! Pure. What strangers sent is in it as it came: whoever writes a line escapes it.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats events as the program tells everything else that is wrong: `warning: MESSAGE: ERROR (FIELD VALUE, ..)`.
pub(crate) struct PlainEvents;

impl<S, N> FormatEvent<S, N> for PlainEvents
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writeln!(writer, "{}", EventFields::from_event(event).line(*event.metadata().level()))
    }
}

/// What an event says.
#[derive(Default)]
pub(super) struct EventFields {
    pub(super) message: String,
    pub(super) others: Map<String, Value>,
}

impl EventFields {
    /// Those of `event`.
    pub(super) fn from_event(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn line(self, level: Level) -> String {
        let kind = if level == Level::ERROR { "error" } else { "warning" };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let error = self.others.get("error").map(|error| format!(": {}", text(error)));
        let error = error.unwrap_or_default();
        let others: Vec<_> = self
            .others
            .iter()
            .filter(|(name, _)| *name != "error")
            .map(|(name, value)| format!("{} {}", name.replace('_', " "), text(value)))
            .collect();
        let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
        format!("{kind}: {}{error}{others}", self.message)
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => drop(self.others.insert(name.to_owned(), text.into())),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_a_sentence_with_its_reason_and_its_circumstances() {
        let fields = |others: &[(&str, Value)]| EventFields {
            message: "the login is not signed".to_owned(),
            others: others.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let whole =
            fields(&[("error", "no signer".into()), ("link_name", "main".into()), ("port", 5.into())]);
        assert_eq!(
            whole.line(Level::WARN),
            "warning: the login is not signed: no signer (link name main, port 5)"
        );
        assert_eq!(fields(&[]).line(Level::ERROR), "error: the login is not signed");
    }
}
