//! Copies of the settings file, taken before a program changes it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use hvym_tunnel_net::files::{self, FileAccess};

use crate::file::{FileError, read};

/// How many copies are kept: enough to go back some days of changes, and few enough to look through.
pub const MAX_BACKUPS: usize = 20;

const PREFIX: &str = "config_backup_";
const SUFFIX: &str = ".toml";

/// The copies of one settings file, in the folder `backups` beside it.
#[derive(Clone, Debug)]
pub struct Backups {
    file: PathBuf,
    folder: PathBuf,
}

impl Backups {
    /// Those of the settings file at `file`.
    pub fn of_file(file: &Path) -> Self {
        let folder = file.parent().unwrap_or(Path::new("")).join("backups");
        Self { file: file.to_owned(), folder }
    }

    /// The copies, oldest first.
    pub fn list(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let is_copy = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(PREFIX) && name.ends_with(SUFFIX)
        };
        let mut copies: Vec<_> = entries.map(|entry| entry.path()).filter(is_copy).collect();
        copies.sort();
        copies
    }

    /// Copies the file, and removes the oldest copies beyond [`MAX_BACKUPS`]. `None`: there is no file to copy.
    ///
    /// # Errors
    /// It cannot be read, or not be copied. What cannot be removed stays.
    pub fn take(&self, now: SystemTime) -> Result<Option<PathBuf>, FileError> {
        let text = match read(&self.file) {
            Ok(text) => text,
            Err(FileError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path = self.free_name(now);
        files::create_folder_of(&path)
            .and_then(|()| files::create(&path, text.as_bytes(), FileAccess::Private))
            .map_err(|error| FileError::writing(&path, &error))?;
        let copies = self.list();
        let surplus = copies.len().saturating_sub(MAX_BACKUPS);
        for old in &copies[..surplus] {
            if let Err(error) = fs::remove_file(old)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %old.display(), %error, "an old copy of the settings stays");
            }
        }
        Ok(Some(path))
    }

    /// The newest copy.
    pub fn newest(&self) -> Option<PathBuf> {
        self.list().pop()
    }

    /// A name that sorts by time, also where several are taken in one millisecond.
    fn free_name(&self, now: SystemTime) -> PathBuf {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let names = (since.as_millis()..).map(|millis| {
            let time = utc(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)));
            self.folder.join(format!("{PREFIX}{time}{SUFFIX}"))
        });
        let mut free = names.filter(|path| !path.exists());
        free.next().unwrap_or_else(|| self.folder.join(PREFIX))
    }
}

/// A time as `20260131T235959.999Z`.
fn utc(since: Duration) -> String {
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let millis = since.subsec_millis();
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{millis:03}Z")
}

/// The date of a day since 1970, by the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Years that begin in March end with the leap day, so that it moves no other (Howard Hinnant, chrono-compatible
    // low-level date algorithms).
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_named_after_its_time() {
        for (seconds, text) in [
            (0, "19700101T000000.000Z"),
            (951_782_399, "20000228T235959.000Z"),
            (951_782_400, "20000229T000000.000Z"),
            (1_798_761_599, "20261231T235959.000Z"),
            (4_107_542_400, "21000301T000000.000Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn twenty_copies_are_kept_and_the_oldest_goes() {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-backups-{}", std::process::id()));
        let file = folder.join("config.toml");
        let backups = Backups::of_file(&file);
        assert_eq!(backups.take(UNIX_EPOCH), Ok(None));
        fs::create_dir_all(&folder).expect("a folder");
        for n in 0..=MAX_BACKUPS {
            fs::write(&file, format!("# {n}\n")).expect("a file");
            // All in one millisecond: the names differ all the same.
            assert!(backups.take(UNIX_EPOCH).expect("a copy").is_some());
            assert_eq!(backups.list().len(), (n + 1).min(MAX_BACKUPS));
        }
        let text = |path: &Path| fs::read_to_string(path).expect("a copy");
        assert_eq!(text(&backups.list()[0]), "# 1\n");
        assert_eq!(backups.newest().map(|path| text(&path)), Some(format!("# {MAX_BACKUPS}\n")));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&backups.list()[0]).expect("a copy").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::remove_dir_all(&folder).expect("it was ours");
    }
}
