//! How what happens to the settings file reads to a person.

use super::Report;
use super::human::{Moment, clock, err};
use super::line::{Ink, Line};

/// The lines of a report about settings; none for another.
pub(super) fn settings(report: &Report, moment: Moment) -> Vec<Line> {
    use Ink::{Dim, Plain, Yellow};
    match report {
        Report::ConfigLoaded { changes } => {
            let text = match changes {
                0 => "  the settings were read again, and say the same".to_owned(),
                1 => "  the settings were read again: 1 change".to_owned(),
                changes => format!("  the settings were read again: {changes} changes"),
            };
            vec![Line::out().with(Dim, clock(moment.now)).with(Plain, text)]
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
