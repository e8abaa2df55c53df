//! How what happens to the settings file reads to a person.

use super::Report;
use super::human::{Moment, clock, err};
use super::line::{Ink, Line};

/// The lines of a report about settings; none for another.
pub(super) fn settings(report: &Report, moment: Moment) -> Vec<Line> {
    use Ink::{Dim, Plain, Yellow};
    match report {
        Report::ConfigLoaded { changes, restart } => {
            let text = match changes {
                None => "  the settings were read again".to_owned(),
                Some(0) => "  the settings were read again, and say the same".to_owned(),
                Some(1) => "  the settings were read again: 1 change".to_owned(),
                Some(changes) => format!("  the settings were read again: {changes} changes"),
            };
            let mut lines = vec![Line::out().with(Dim, clock(moment.now)).with(Plain, text)];
            if !restart.is_empty() {
                let text = format!("only a restart changes {}", restart.join("; "));
                lines.push(err().with(Yellow, text));
            }
            lines
        }
        Report::ConfigKept { message } => {
            let mut lines =
                vec![err().with(Yellow, "the new settings cannot be used, those from before stay:")];
            lines.extend(message.lines().map(|mistake| err().with(Plain, mistake)));
            lines
        }
        Report::LinkFailed { link, message, hint } => {
            let mut lines = vec![err().with(Yellow, format!("the link {link} does not run: {message}"))];
            lines.extend(hint.as_ref().map(|hint| err().with(Dim, hint)));
            lines
        }
        _ => Vec::new(),
    }
}
