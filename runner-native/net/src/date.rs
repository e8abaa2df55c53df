//! The date of now as `Date` fields have it (RFC 9110 section 5.6.7), formatted once a second by each thread.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use hvym_tunnel_core::time::Instant;

/// How long a date is used. Its unit is a second.
const FRESH: Duration = Duration::from_secs(1);
/// Length of a date in the preferred format.
const DATE_BYTES: usize = 29;

thread_local! {
    static LAST: Cell<Option<(Instant, [u8; DATE_BYTES])>> = const { Cell::new(None) };
}

/// The date, at most a second old; `now` is on the monotonic clock.
pub fn http_date(now: Instant) -> [u8; DATE_BYTES] {
    if let Some((at, date)) = LAST.get()
        && at <= now
        && now - at < FRESH
    {
        return date;
    }
    let text = httpdate::fmt_http_date(SystemTime::now());
    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    if text.len() == DATE_BYTES {
        date.copy_from_slice(text.as_bytes());
    }
    LAST.set(Some((now, date)));
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_formatted_again_after_a_second() {
        let first = Instant::from_millis(5000);
        let date = http_date(first);
        assert!(httpdate::parse_http_date(std::str::from_utf8(&date).expect("text")).is_ok());
        LAST.set(Some((first, [b'x'; DATE_BYTES])));
        assert_eq!(http_date(Instant::from_millis(5999)), [b'x'; DATE_BYTES]);
        assert_ne!(http_date(Instant::from_millis(6000)), [b'x'; DATE_BYTES]);
    }
}
