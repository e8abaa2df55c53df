//! The format of an error page, out of a head that may be malformed.

use hvym_tunnel_pages::Format;

/// What the method and the `Accept` field of a head prefer.
pub(crate) fn wanted_format(head: &[u8]) -> Format {
    let name = b"accept:";
    let accept = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    });
    let method = if head.starts_with(b"GET ") { "GET" } else { "" };
    Format::preferred(method, accept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_head_may_still_say_what_it_reads() {
        assert_eq!(wanted_format(b"GET\r\nACCEPT: application/json\r\n"), Format::Json);
        assert_eq!(wanted_format(b"GET /\r\n"), Format::ReloadingHtml);
        assert_eq!(wanted_format(b"\x00\xff"), Format::Html);
    }
}
