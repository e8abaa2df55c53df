//! `logs`: reads the log files, the full ones first, and goes on with what is added.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hvym_tunnel_settings::FileWatcher;

use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::report::{escaped, full_log, log_time, time_of};

/// The longest line that is shown whole, bytes; the files have none that is longer.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// What is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogOptions {
    /// The file.
    pub(crate) path: PathBuf,
    /// How many full files there may be beside it.
    pub(crate) full_files: u32,
    /// Lines of this time alone.
    pub(crate) since: Option<Duration>,
    /// The most lines, of which the latest are shown.
    pub(crate) lines: usize,
    /// Whether what is added is shown too.
    pub(crate) follow: bool,
}

/// Shows it.
///
/// # Errors
/// There is no log, or it cannot be read.
pub(crate) async fn run(options: LogOptions) -> Result<(), ExitError> {
    let LogOptions { path, full_files, since, lines, follow } = options;
    // Before the file is read: what is added meanwhile is told.
    let watcher = follow.then(|| FileWatcher::new(&path)).transpose();
    let watcher = watcher.map_err(|error| ExitError::new(Exit::Unexpected, error.to_string()))?;
    let earliest = since.and_then(|since| SystemTime::now().checked_sub(since));
    let earliest = earliest.map(|at| log_time(at.duration_since(UNIX_EPOCH).unwrap_or_default()));
    let mut kept = Latest { lines: VecDeque::new(), most: lines, earliest };
    let full: Vec<_> = (1..=full_files).rev().map(|number| full_log(&path, number)).collect();
    let mut found = false;
    for file in full.iter().filter_map(|path| File::open(path).ok()) {
        found = true;
        kept.read(BufReader::new(file)).map_err(|error| unreadable(&path, &error))?;
    }
    let mut current = match File::open(&path) {
        Ok(file) => Some(BufReader::new(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&path, &error)),
    };
    if let Some(file) = &mut current {
        kept.read(file).map_err(|error| unreadable(&path, &error))?;
    } else if !found && !follow {
        return Err(nothing(&path));
    }
    kept.show()?;
    match watcher {
        Some(watcher) => follow_on(&path, current, &watcher).await,
        None => Ok(()),
    }
}

/// The latest lines that were read.
struct Latest {
    lines: VecDeque<String>,
    most: usize,
    earliest: Option<String>,
}

impl Latest {
    fn read(&mut self, mut file: impl BufRead) -> io::Result<()> {
        while let Some(line) = next_line(&mut file)? {
            // What has no time belongs to the line before it.
            let is_early = |earliest: &String| {
                time_of(&line).map_or(self.lines.is_empty(), |time| time < earliest.as_str())
            };
            if self.most == 0 || self.earliest.as_ref().is_some_and(is_early) {
                continue;
            }
            if self.lines.len() == self.most {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
        Ok(())
    }

    fn show(&self) -> Result<(), ExitError> {
        let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        write_out(text.as_bytes())
    }
}

/// Shows what is added, also to the file that takes the place of this one.
async fn follow_on(
    path: &Path,
    mut current: Option<BufReader<File>>,
    watcher: &FileWatcher,
) -> Result<(), ExitError> {
    loop {
        if let Some(file) = &mut current {
            show_rest(path, file)?;
        }
        if current.as_ref().is_none_or(|file| is_moved(path, file.get_ref())) {
            // The last lines of the old one may have come after it was read.
            if let Some(file) = &mut current {
                show_rest(path, file)?;
            }
            current = File::open(path).ok().map(BufReader::new);
            if let Some(file) = &mut current {
                show_rest(path, file)?;
            }
        }
        watcher.changed().await;
    }
}

fn show_rest(path: &Path, file: &mut BufReader<File>) -> Result<(), ExitError> {
    while let Some(line) = next_line(file).map_err(|error| unreadable(path, &error))? {
        write_out(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}

/// The next line that is whole, without its end, and without anything that steers a terminal. One that is still being written comes the
/// next time.
fn next_line(file: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    file.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(escaped(&String::from_utf8_lossy(&line)).into_owned()))
}

/// Whether another file has this name now.
#[cfg(unix)]
fn is_moved(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |data: fs::Metadata| (data.dev(), data.ino());
    fs::metadata(path).map(place).ok() != file.metadata().map(place).ok()
}

/// The same, where files have no number: a new one is shorter.
#[cfg(not(unix))]
fn is_moved(path: &Path, file: &File) -> bool {
    let length = |data: fs::Metadata| data.len();
    fs::metadata(path).map(length).ok() < file.metadata().map(length).ok()
}

fn unreadable(path: &Path, error: &io::Error) -> ExitError {
    ExitError::new(Exit::Config, format!("cannot read {}: {error}", path.display()))
}

fn nothing(path: &Path) -> ExitError {
    ExitError::new(Exit::Config, format!("there is no log at {}", path.display())).with_hint(
        "up and manager write it; of a service of systemd the journal has it: hvym-tunnel service logs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-21T09:50:13.007Z  INFO ready\n2026-11-21T10:00:00.000Z  WARN a\nof two lines\n\
                       {\"time\":\"2026-11-21T10:00:01.000Z\",\"level\":\"INFO\"}\n";

    fn shown(most: usize, earliest: Option<&str>) -> Vec<String> {
        let mut kept = Latest { lines: VecDeque::new(), most, earliest: earliest.map(str::to_owned) };
        kept.read(LOG.as_bytes()).expect("it can be read");
        kept.lines.into()
    }

    #[test]
    fn the_latest_lines_are_shown_and_those_of_a_time_with_what_belongs_to_them() {
        assert_eq!(shown(9, None).len(), 4);
        assert_eq!(shown(1, None), ["{\"time\":\"2026-11-21T10:00:01.000Z\",\"level\":\"INFO\"}"]);
        assert_eq!(shown(0, None).len(), 0);
        assert_eq!(shown(9, Some("2026-11-21T10:00:00.000Z")).len(), 3);
        assert_eq!(shown(9, Some("2026-11-21T10:00:00.001Z")).len(), 1);
        assert_eq!(shown(9, Some("2026-11-21T10:00:01.001Z")).len(), 0);
    }
}
