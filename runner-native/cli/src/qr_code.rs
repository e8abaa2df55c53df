//! A URL as a QR code: of two rows of modules in each line of text, or as an image.

use qrcodegen::{QrCode, QrCodeEcc};

use crate::report::Reporter;

/// Shows `url` as a QR code.
pub(crate) fn show(url: &str, reporter: &Reporter) {
    match lines(url) {
        Some(lines) => reporter.show(&format!("{}\n", lines.join("\n"))),
        None => reporter.note("the URL is too long for a QR code"),
    }
}

/// Light modules around the code (ISO/IEC 18004 section 6.3.8 wants four; two are enough for every phone, and fit terminals).
const QUIET: i32 = 2;

/// The lines of a code for `url`, dark on light whatever the colours of the terminal are; `None` if it is too long.
///
/// In upper case a URL of our own has only characters of the alphanumeric mode, which takes a third less room. Scheme and host
/// are case-insensitive (RFC 3986 section 6.2.2.1), and there is no other path than `/`.
pub(crate) fn lines(url: &str) -> Option<Vec<String>> {
    let code = code_of(url)?;
    let (first, end) = (-QUIET, code.size() + QUIET);
    let line = |y: i32| {
        let half = |x: i32| match (code.get_module(x, y), code.get_module(x, y + 1)) {
            (true, true) => '\u{2588}',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (false, false) => ' ',
        };
        // Black on white (ECMA-48 section 8.3.117, with the colours of 256).
        format!("\x1b[38;5;16;48;5;231m{}\x1b[0m", (first..end).map(half).collect::<String>())
    };
    Some((first..end).step_by(2).map(line).collect())
}

/// The image (SVG) of a code for `url`; `None` if it is too long.
pub(crate) fn svg(url: &str) -> Option<String> {
    let code = code_of(url)?;
    let size = code.size() + 2 * QUIET;
    let modules = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
    let dark = modules.filter(|&(x, y)| code.get_module(x, y));
    let dark: String = dark.map(|(x, y)| format!("M{},{}h1v1h-1z", x + QUIET, y + QUIET)).collect();
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0,0h{size}v{size}h-{size}z\"/><path d=\"{dark}\"/></svg>"
    ))
}

fn code_of(url: &str) -> Option<QrCode> {
    let is_plain = url.split_once("://").is_some_and(|(_, rest)| {
        rest.find('/').is_none_or(|at| at + 1 == rest.len()) && !rest.contains('?') && !rest.contains('#')
    });
    let text = if is_plain { url.to_ascii_uppercase() } else { url.to_owned() };
    QrCode::encode_text(&text, QrCodeEcc::Low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_fits_a_small_code_because_it_is_in_upper_case() {
        let size = |url: &str| lines(url).expect("a code").len();
        // Version 2 has 25 modules, and version 3 has 29.
        assert_eq!(size("https://abcdefghijklmnop.tunnel.example/"), (25 + 4_usize).div_ceil(2));
        assert_eq!(size("https://abcdefghijklmnop.tunnel.example/Path"), (29 + 4_usize).div_ceil(2));
        assert!(lines(&"a".repeat(5000)).is_none());
    }

    #[test]
    fn an_image_has_the_modules_of_the_code_and_none_in_its_margin() {
        let url = "https://abcdefghijklmnop.tunnel.example/";
        let image = svg(url).expect("a code");
        let code = code_of(url).expect("a code");
        let count = (0..25)
            .flat_map(|y| (0..25).map(move |x| (x, y)))
            .filter(|&(x, y)| code.get_module(x, y))
            .count();
        assert!(image.contains("viewBox=\"0 0 29 29\"") && image.contains("M2,2h1"), "{image}");
        assert_eq!(image.matches("h1v1h-1z").count(), count);
        assert!(svg(&"a".repeat(5000)).is_none());
    }

    #[test]
    fn each_line_sets_its_colours_and_gives_them_back() {
        let lines = lines("https://a.example/").expect("a code");
        assert!(
            lines.iter().all(|line| line.starts_with("\x1b[38;5;16;48;5;231m") && line.ends_with("\x1b[0m"))
        );
        let blocks = |line: &str| line.chars().filter(|c| matches!(c, '\u{2580}'..='\u{2588}' | ' ')).count();
        assert!(
            lines.iter().all(|line| blocks(line) == lines.len() * 2 - 1 || blocks(line) == lines.len() * 2)
        );
    }
}
