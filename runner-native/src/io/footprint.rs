//! Memory that only the start of the program needed (Linux).

use std::fs;
use std::time::Duration;

use rustix::mm::{Advice, madvise};

/// By then a program has read its arguments, files and certificates, and waits for others.
const STARTED: Duration = Duration::from_secs(1);

/// Lets go, a moment after the start, of the code that ran meanwhile: serving needs less than half of it. What is needed
/// again is still in the system's cache, and comes back a few pages at a time.
pub(crate) async fn shrink() {
    smol::Timer::after(STARTED).await;
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    maps.lines().filter_map(code).for_each(|(start, length)| let_go(start, length));
}

/// Where a line of `/proc/self/maps` says that code of a file lies, which nobody can have written to.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, path) = (words.next()?, words.next()?, words.nth(3)?);
    if rights != "r-xp" || !path.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some((start, end.checked_sub(start)?))
}

#[expect(unsafe_code, reason = "the system calls it so; what it does here changes nothing that can be read")]
fn let_go(start: usize, length: usize) {
    let pages = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the pages are a file's, mapped without the right to write, so all of them are as the file has them, and
    // whoever touches one gets it again.
    let let_go = unsafe { madvise(pages, length, Advice::LinuxDontNeed) };
    if let Err(error) = let_go {
        tracing::trace!(%error, "code stays in memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_let_go() {
        let code_of_a_file = "55d0c8000-55d0ca000 r-xp 001c7000 fe:00 1234    /usr/bin/hvym-tunnel";
        assert_eq!(code(code_of_a_file), Some((0x5_5d0c_8000, 0x2000)));
        for line in [
            "55d0c8000-55d0ca000 r--p 001c7000 fe:00 1234    /usr/bin/hvym-tunnel",
            "55d0c8000-55d0ca000 rw-p 001c7000 fe:00 1234    /usr/bin/hvym-tunnel",
            "7ffd10000-7ffd12000 r-xp 00000000 00:00 0       [vdso]",
            "7ffd10000-7ffd12000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code(line), None, "{line}");
        }
    }

    #[test]
    fn a_program_goes_on_without_what_it_let_go() {
        crate::io::executor::block_on(shrink());
        assert_eq!("12".parse(), Ok(12));
    }
}
