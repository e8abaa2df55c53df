//! Gives memory back to the system: what the allocator keeps and nobody uses any more, and code that only the start needed.

use std::time::Duration;

use hvym_tunnel_net::timer::Timer;

/// Half of the minute within which a peak's memory is to be back. A look costs microseconds when there is nothing to give.
const INTERVAL: Duration = Duration::from_secs(30);
/// After it the command line, the settings and the databases were read.
const START: Duration = Duration::from_secs(5);

/// Looks from time to time, for ever. The allocator itself looks only when its thread allocates, which one that waits
/// for the next visitor does not.
pub(crate) async fn return_freed() {
    Timer::after(START).await;
    #[cfg(target_os = "linux")]
    code::release();
    loop {
        Timer::after(INTERVAL).await;
        collect();
    }
}

#[expect(unsafe_code, reason = "the allocator's own function, which its Rust wrapper does not have")]
fn collect() {
    // SAFETY: it has no preconditions and takes no pointer; it may be called by any thread at any time, and frees nothing
    // but pages without a block in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// The program's own code, of which the system maps more than is run, and most of that for the start.
#[cfg(target_os = "linux")]
mod code {
    use std::fs;
    use std::ops::Range;
    use std::ptr;

    /// Has this process forget the pages of its code. What is run again is mapped again, from the file that the system has in memory.
    #[expect(unsafe_code, reason = "no safe function says that memory is not needed")]
    pub(super) fn release() {
        let (Ok(program), Ok(maps)) =
            (fs::read_link("/proc/self/exe"), fs::read_to_string("/proc/self/smaps"))
        else {
            return;
        };
        for Range { start, end } in regions(&maps, &program.to_string_lossy()) {
            // SAFETY: the range is a private mapping of a file that this process neither has written to nor can, so that its pages
            // hold what the file holds, which nobody changes while it is run (execve(2), ETXTBSY). They read the same afterwards.
            let result = unsafe {
                libc::madvise(ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED)
            };
            tracing::debug!(result, bytes = end - start, "code that is not run is not held");
        }
    }

    /// Where the code of `program` is, as proc_pid_smaps(5) tells; nothing that was written to, as a debugger does.
    fn regions(smaps: &str, program: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut region = None;
        for line in smaps.lines() {
            if let Some(size) = line.strip_prefix("Anonymous:") {
                found.extend(region.take().filter(|_| size.trim() == "0 kB"));
            } else if let Some((range, rest)) = line.split_once(" r-xp ") {
                let is_program = rest.find('/').is_some_and(|at| &rest[at..] == program);
                region = parse(range).filter(|_| is_program);
            } else if line.contains('-') {
                region = None;
            }
        }
        found
    }

    fn parse(range: &str) -> Option<Range<usize>> {
        let (start, end) = range.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_the_programs_own_code_that_nobody_wrote_to_is_released() {
            let region = |head: &str, written: u32| {
                format!(
                    "{head}\nSize:  8 kB\nPrivate_Clean:  4 kB\nAnonymous:  {written} kB\nVmFlags: rd ex mr\n"
                )
            };
            let smaps = [
                region("1000-3000 r--p 00000000 fe:00 7                    /opt/my tunnel", 0),
                region("3000-9000 r-xp 00002000 fe:00 7                    /opt/my tunnel", 0),
                region("9000-a000 r--p 00008000 fe:00 7                    /opt/my tunnel", 8),
                region("a000-b000 r-xp 00009000 fe:00 7                    /opt/my tunnel", 4),
                region("b000-c000 r-xp 00009000 fe:00 8                    /usr/lib/libc.so.6", 0),
                region("d000-e000 r-xp 00000000 00:00 0                    [vdso]", 0),
            ];
            assert_eq!(
                regions(&smaps.concat(), "/opt/my tunnel"),
                vec![Range { start: 0x3000, end: 0x9000 }]
            );
            assert!(regions("", "/opt/my tunnel").is_empty());
        }

        #[test]
        fn this_program_goes_on_afterwards() {
            release();
            let maps = fs::read_to_string("/proc/self/smaps").expect("Linux tells");
            let program = fs::read_link("/proc/self/exe").expect("Linux tells");
            assert_eq!(regions(&maps, &program.to_string_lossy()).len(), 1);
        }
    }
}
