//! How what happens to a relay's certificates reads to a person.

use std::time::{Duration, UNIX_EPOCH};

use super::Report;
use super::human::{Moment, clock, err};
use super::line::{Ink, Line};

/// The lines of a report about certificates; none for another.
pub(super) fn certificates(report: &Report, moment: Moment) -> Vec<Line> {
    use Ink::{Dim, Green, Plain, Yellow};
    match report {
        Report::CertificateLoaded => {
            vec![Line::out().with(Dim, clock(moment.now)).with(Plain, "  the certificate was read again")]
        }
        Report::CertificateKept { message } => vec![
            err().with(Yellow, format!("the new certificate cannot be used: {message}")),
            err().with(Dim, "the one from before stays in use; correct the file, then send SIGHUP"),
        ],
        Report::CertificateIssued { names, not_after } => vec![
            Line::out()
                .with(Dim, clock(moment.now))
                .with(Green, "  certificate  ")
                .with(Plain, names.join(", "))
                .with(Dim, format!("  until {}", date(*not_after))),
        ],
        Report::CertificateFailed { names, message, retry_at } => vec![
            err().with(Yellow, format!("no certificate for {}: {message}", names.join(", "))),
            err().with(Dim, format!("the next attempt is at {}; SIGHUP makes one at once", date(*retry_at))),
        ],
        Report::StateFailed { message } => vec![err().with(Yellow, message)],
        _ => Vec::new(),
    }
}

/// A point in time, as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(seconds: u64) -> String {
    // The last one that has a year of four digits.
    const LAST: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_years_of_four_digits() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
