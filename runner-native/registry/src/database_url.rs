//! The URL of a database, in the spelling of this program or of SQLAlchemy. Does not connect.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;
use zeroize::Zeroizing;

/// Characters of a path that mean nothing in a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// Which SQL is spoken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DatabaseKind {
    /// SQLite, a file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

/// Where a database is. Its `Debug` and `Display` leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    kind: DatabaseKind,
    url: Zeroizing<String>,
    /// Of SQLite; `None` is a database in memory.
    file: Option<PathBuf>,
}

/// Why a text is no URL of a database. Says nothing of its content, which may hold a password.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum DatabaseUrlError {
    /// No database of this kind is known.
    #[error("a database's URL begins with sqlite:, postgresql: or mysql:")]
    Scheme,
    /// The server or the database is missing.
    #[error("the URL of a database server names a host and a database: postgresql://user:password@host/name")]
    Incomplete,
    /// The file is missing.
    #[error("the URL of an SQLite database names a file: sqlite:///relative.db, or sqlite:////absolute.db")]
    NoFile,
}

impl DatabaseUrl {
    /// The SQLite database in this file.
    pub fn sqlite(file: &Path) -> Self {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let text = file.to_string_lossy();
        let url = format!("sqlite://{}?mode=rwc", utf8_percent_encode(&text, PATH));
        Self { kind: DatabaseKind::Sqlite, url: Zeroizing::new(url), file: Some(file) }
    }

    /// Which SQL is spoken there.
    pub const fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// The file of an SQLite database.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The URL with its password.
    pub(crate) fn exposed(&self) -> &str {
        &self.url
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    /// Understands what SQLAlchemy does: `sqlite:///x.db` is a file below the working folder, `sqlite:////x.db` one at the root, and the
    /// name of a driver behind `+` is passed over. A text without `:` is the path of an SQLite file.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return if text.is_empty() {
                Err(DatabaseUrlError::NoFile)
            } else {
                Ok(Self::sqlite(Path::new(text)))
            };
        };
        let base = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
        match &*base {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => server(DatabaseKind::Postgres, "postgresql", rest),
            "mysql" | "mariadb" => server(DatabaseKind::MySql, "mysql", rest),
            _ => Err(DatabaseUrlError::Scheme),
        }
    }
}

fn sqlite(rest: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let path = rest.split('?').next().unwrap_or_default();
    let path = match path.strip_prefix("//") {
        Some(authority_and_path) => authority_and_path.strip_prefix('/').unwrap_or(authority_and_path),
        None => path,
    };
    let path = percent_decode_str(path).decode_utf8().map_err(|_| DatabaseUrlError::NoFile)?;
    if path.is_empty() || path == ":memory:" {
        return Err(DatabaseUrlError::NoFile);
    }
    Ok(DatabaseUrl::sqlite(Path::new(&*path)))
}

fn server(kind: DatabaseKind, scheme: &str, rest: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let address = rest.strip_prefix("//").ok_or(DatabaseUrlError::Incomplete)?;
    let (place, query) = address.split_once('?').unwrap_or((address, ""));
    let name = place.split_once('/').map_or("", |(_, name)| name);
    if name.is_empty() {
        return Err(DatabaseUrlError::Incomplete);
    }
    // SQLAlchemy's drivers call the socket of MySQL so.
    let query: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            pair.strip_prefix("unix_socket=").map_or(pair.to_owned(), |path| format!("socket={path}"))
        })
        .collect();
    let separator = if query.is_empty() { "" } else { "?" };
    let url = format!("{scheme}://{place}{separator}{}", query.join("&"));
    Ok(DatabaseUrl { kind, url: Zeroizing::new(url), file: None })
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            return write!(f, "sqlite:{}", file.display());
        }
        let url = self.url.split('?').next().unwrap_or_default();
        let (scheme, place) = url.split_once("://").unwrap_or(("", url));
        match place.rsplit_once('@') {
            Some((credentials, host)) => {
                let user = credentials.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}@{host}")
            }
            None => write!(f, "{scheme}://{place}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl DatabaseKind {
    /// `statement`, with its parameters `?` as this database writes them.
    pub(crate) fn sql(self, statement: &str) -> String {
        if self != DatabaseKind::Postgres {
            return statement.to_owned();
        }
        let mut parts = statement.split('?');
        let first = parts.next().unwrap_or_default().to_owned();
        (1..).zip(parts).fold(first, |sql, (number, part)| format!("{sql}${number}{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> DatabaseUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_spellings_of_sqlalchemy_are_understood() {
        for (text, kind, url) in [
            ("postgresql+asyncpg://u:p@h:5/d", DatabaseKind::Postgres, "postgresql://u:p@h:5/d"),
            ("postgres://h/d?sslmode=require", DatabaseKind::Postgres, "postgresql://h/d?sslmode=require"),
            (
                "mysql+aiomysql://u:p@h/d?charset=utf8mb4",
                DatabaseKind::MySql,
                "mysql://u:p@h/d?charset=utf8mb4",
            ),
            (
                "mariadb://u@h/d?unix_socket=/run/m.sock",
                DatabaseKind::MySql,
                "mysql://u@h/d?socket=/run/m.sock",
            ),
        ] {
            let found = parsed(text);
            assert_eq!((found.kind(), found.exposed()), (kind, url), "{text}");
        }
        let here = std::env::current_dir().expect("a working folder");
        for (text, file) in [
            ("sqlite:///./data/tunnels.db", here.join("data/tunnels.db")),
            ("sqlite+aiosqlite:////var/lib/a%20b.db", PathBuf::from("/var/lib/a b.db")),
            ("/var/lib/plain.db", PathBuf::from("/var/lib/plain.db")),
        ] {
            assert_eq!(parsed(text).file(), Some(&*file), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_database_is_refused() {
        for (text, error) in [
            ("", DatabaseUrlError::NoFile),
            ("sqlite://", DatabaseUrlError::NoFile),
            ("sqlite:///:memory:", DatabaseUrlError::NoFile),
            ("oracle://h/d", DatabaseUrlError::Scheme),
            ("postgresql:h/d", DatabaseUrlError::Incomplete),
            ("mysql://h", DatabaseUrlError::Incomplete),
            ("mysql://h/", DatabaseUrlError::Incomplete),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = parsed("postgresql://relay:hush%40@db.example/tunnels?password=hush");
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("hush") && shown.contains("relay@db.example/tunnels"), "{shown}");
    }

    #[test]
    fn parameters_are_numbered_where_the_database_wants_numbers() {
        let statement = "UPDATE t SET a = ? WHERE b = ?";
        assert_eq!(DatabaseKind::Postgres.sql(statement), "UPDATE t SET a = $1 WHERE b = $2");
        assert_eq!(DatabaseKind::MySql.sql(statement), statement);
    }
}
