//! A copy of an SQLite database that other processes use meanwhile.
//!
//! Knows no table: it is for any database.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};

use crate::StateError;

/// The first bytes of every SQLite database (sqlite.org/fileformat.html).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whether this file is an SQLite database.
///
/// # Errors
/// It cannot be read.
pub fn is_database(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::new();
    std::fs::File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(begin == MAGIC)
}

/// Copies the database at `from`, with everything that is committed, into the new file `to`, for its owner alone. The copy is one file
/// and was checked.
///
/// # Errors
/// `to` is there already or cannot be written, or `from` is damaged or used by somebody else for too long.
pub async fn copy_database(from: &Path, to: &Path) -> Result<(), StateError> {
    let failed = |error: io::Error| StateError(format!("{}: {error}", to.display()));
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // SQLite fills a file that is empty.
    drop(options.open(to).map_err(failed)?);
    let text = to.to_str().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let mut source = SqliteConnectOptions::new().filename(from).connect().await?;
    sqlx::query("VACUUM INTO ?").bind(text).execute(&mut source).await?;
    source.close().await?;
    let mut copy = SqliteConnectOptions::new().filename(to).connect().await?;
    let checked = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut copy).await?;
    let found: String = checked.try_get(0)?;
    copy.close().await?;
    if found == "ok" { Ok(()) } else { Err(StateError(format!("{} is damaged: {found}", from.display()))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDb;

    #[test]
    fn a_database_in_use_is_copied_whole_and_nothing_is_overwritten() {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-copy-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let [from, to, text] = ["state.db", "copy.db", "text"].map(|name| folder.join(name));
        smol::block_on(async {
            let opened = StateDb::open(&from, 1).await.expect("a database");
            // Held open, with its write-ahead log beside it.
            copy_database(&from, &to).await.expect("a copy");
            assert!(is_database(&from).expect("it is there") && is_database(&to).expect("it is there"));
            let copied = StateDb::open(&to, 2).await.expect("a database");
            assert!(copied.problem.is_none(), "{:?}", copied.problem);
            copy_database(&from, &to).await.expect_err("something is there");
            drop(opened);
        });
        std::fs::write(&text, "SQLite format 3").expect("a folder");
        assert!(!is_database(&text).expect("it is there"));
        smol::block_on(copy_database(&text, &folder.join("other"))).expect_err("it is no database");
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(std::fs::metadata(&to).expect("it is there").mode() & 0o777, 0o600);
        }
        std::fs::remove_dir_all(&folder).expect("it was ours");
    }
}
