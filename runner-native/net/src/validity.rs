//! From when until when a certificate is valid (RFC 5280 section 4.1.2.5): the one part of it that is read here.

/// Seconds of the Unix epoch, both ends included.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ValidityPeriod {
    /// The first one.
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version, which is explicit.
const VERSION: u8 = 0xa0;

impl ValidityPeriod {
    /// That of a certificate; `None` if it is none.
    pub fn read(certificate: &[u8]) -> Option<Self> {
        let mut outer = certificate;
        let mut certificate = element(&mut outer, SEQUENCE)?;
        let mut signed = element(&mut certificate, SEQUENCE)?;
        if signed.first() == Some(&VERSION) {
            element(&mut signed, VERSION)?;
        }
        for before in [INTEGER, SEQUENCE, SEQUENCE] {
            element(&mut signed, before)?;
        }
        let mut validity = element(&mut signed, SEQUENCE)?;
        Some(Self { not_before: time(&mut validity)?, not_after: time(&mut validity)? })
    }
}

/// Takes the content of the element at the beginning of `rest` (X.690 section 8.1), if it has this tag.
fn element<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&[found, first], mut after) = rest.split_first_chunk()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        // Four bytes are more than any certificate has.
        let (bytes, behind) =
            after.split_at_checked(usize::from(first & 0x7f)).filter(|(b, _)| b.len() <= 4)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        after = behind;
    }
    let (content, behind) = after.split_at_checked(length)?;
    *rest = behind;
    (found == tag).then_some(content)
}

fn time(rest: &mut &[u8]) -> Option<u64> {
    let tag = *rest.first().filter(|tag| matches!(**tag, UTC_TIME | GENERALIZED_TIME))?;
    let text = std::str::from_utf8(element(rest, tag)?).ok()?.strip_suffix('Z')?;
    let (year, text) = text.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    let mut year = number(year)?;
    if tag == UTC_TIME {
        year += if year < 50 { 2000 } else { 1900 };
    }
    if text.len() != 10 || !text.is_ascii() {
        return None;
    }
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&text[at..at + 2]));
    let days = days(year, month.filter(|month| matches!(month, 1..=12))?, day?)?;
    Some(((days * 24 + hour?) * 60 + minute?) * 60 + second?)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin with March, so that the leap day is the last one.
    let year = if month > 2 { year } else { year.checked_sub(1)? };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> Vec<u8> {
        let mut wishes = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        wishes.not_before = date_time_ymd(from.0, from.1, from.2);
        wishes.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().expect("a key");
        wishes.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn both_ends_are_read_in_both_forms_of_time() {
        for (from, until) in [
            ((1999, 12, 31), (2000, 2, 29)),
            ((2024, 2, 29), (2049, 12, 31)),
            ((2026, 3, 1), (2050, 1, 1)),
            ((1970, 1, 1), (2400, 2, 29)),
        ] {
            let period = ValidityPeriod::read(&certificate(from, until)).expect("a certificate");
            let seconds = |(year, month, day)| {
                u64::try_from(date_time_ymd(year, month, day).unix_timestamp()).expect("after 1970")
            };
            assert_eq!((period.not_before, period.not_after), (seconds(from), seconds(until)));
        }
    }

    #[test]
    fn a_certificate_that_is_cut_or_changed_is_read_or_not_and_never_harms() {
        let whole = certificate((2026, 1, 1), (2027, 1, 1));
        for length in 0..whole.len() {
            assert_eq!(ValidityPeriod::read(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            let _read = ValidityPeriod::read(&changed);
        }
        assert_eq!(ValidityPeriod::read(b"\x30\x85\xff\xff\xff\xff\xff"), None);
    }
}
