//! Adopts the tunnels of a database of Tunely: keeps their numbers, counters and names, and the hashes of their tokens.
//!
//! Reads the schemas of all its versions, and changes nothing there.

use std::collections::BTreeSet;

use hvym_tunnel_core::names::check_label;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::connection::{connect, unreachable_database};
use crate::database_url::{DatabaseKind, DatabaseUrl};
use crate::export::{Export, write_all};
use crate::migrations::exists;
use crate::store::text;
use crate::token::TokenHash;
use crate::tunnel::TunnelRecord;
use crate::{EpochMillis, RegistryError};

/// What was adopted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImportReport {
    /// How many tunnels were added.
    pub imported: usize,
    /// Names that are no DNS labels of lower case: visitors never reached them.
    pub unusable: Vec<String>,
    /// Names that the registry has already.
    pub taken: Vec<String>,
}

/// Adds the tunnels of Tunely's database at `from` to the registry at `to`, all of them or none.
///
/// # Errors
/// A database cannot be reached, or `from` is none of Tunely.
pub async fn import_tunely(from: &DatabaseUrl, to: &DatabaseUrl) -> Result<ImportReport, RegistryError> {
    let failed = |error: sqlx::Error| unreachable_database(from, &error);
    let present = Export::read(to).await?;
    let (taken_names, taken_ids) = (present.domains(), present.ids());
    let mut connection = connect(from).await?;
    let rows = read(&mut connection, from.kind()).await.map_err(failed)?;
    let mut report = ImportReport::default();
    let mut tunnels = Vec::new();
    for row in &rows {
        let mut tunnel = tunnel(row).map_err(failed)?;
        if check_label(&tunnel.domain).is_err() {
            report.unusable.push(tunnel.domain.to_string());
            continue;
        }
        if taken_names.contains(&*tunnel.domain) {
            report.taken.push(tunnel.domain.to_string());
            continue;
        }
        // A number that is given already is chosen anew.
        if taken_ids.contains(&tunnel.id) {
            tunnel.id = 0;
        }
        tunnels.push(tunnel);
    }
    report.imported = write_all(to, &tunnels).await?;
    Ok(report)
}

/// The rows of its table, with what the version has not as NULL. Times are texts, which each database writes alike.
async fn read(connection: &mut AnyConnection, kind: DatabaseKind) -> Result<Vec<AnyRow>, sqlx::Error> {
    let has_mode = exists(connection, "SELECT mode FROM tunnels WHERE 1 = 0").await?;
    let has_bytes = exists(connection, "SELECT bytes_in FROM tunnels WHERE 1 = 0").await?;
    let has_owner = exists(connection, "SELECT owner_id FROM tunnels WHERE 1 = 0").await?
        && exists(connection, "SELECT username FROM users WHERE 1 = 0").await?;
    let as_text = |column: &str| match kind {
        DatabaseKind::MySql => format!("CAST({column} AS CHAR)"),
        DatabaseKind::Sqlite | DatabaseKind::Postgres => format!("CAST({column} AS VARCHAR(64))"),
    };
    let as_number = |column: &str| match kind {
        DatabaseKind::MySql => format!("CAST({column} AS SIGNED)"),
        DatabaseKind::Sqlite => format!("CAST({column} AS INTEGER)"),
        DatabaseKind::Postgres => format!("CAST({column} AS BIGINT)"),
    };
    let enabled = "CASE WHEN t.enabled THEN 1 ELSE 0 END";
    let columns = [
        as_number("t.id"),
        "t.domain".to_owned(),
        "t.token".to_owned(),
        "t.name".to_owned(),
        "t.description".to_owned(),
        if has_mode { "t.mode".to_owned() } else { "'tcp'".to_owned() },
        as_number(enabled),
        if has_owner { "u.username".to_owned() } else { as_text("NULL") },
        as_text("t.created_at"),
        as_text("t.updated_at"),
        as_text("t.last_connected_at"),
        as_number("t.total_requests"),
        if has_bytes { as_number("t.bytes_in") } else { as_number("0") },
        if has_bytes { as_number("t.bytes_out") } else { as_number("0") },
    ];
    let users = if has_owner { " LEFT JOIN users u ON u.id = t.owner_id" } else { "" };
    let statement = format!("SELECT {} FROM tunnels t{users} ORDER BY t.id", columns.join(", "));
    // Words of this program alone.
    sqlx::query(AssertSqlSafe(statement)).fetch_all(connection).await
}

fn tunnel(row: &AnyRow) -> Result<TunnelRecord, sqlx::Error> {
    let required = |column| text(row, column).map(Option::unwrap_or_default);
    let moment = |column| Ok::<_, sqlx::Error>(text(row, column)?.and_then(|text| moment(&text)));
    Ok(TunnelRecord {
        id: row.try_get(0)?,
        domain: required(1)?.into(),
        token_hash: TokenHash::new(&required(2)?),
        name: text(row, 3)?,
        description: text(row, 4)?,
        mode: required(5)?,
        enabled: row.try_get::<i64, _>(6)? != 0,
        logs_requests: false,
        owner: text(row, 7)?.map(Into::into),
        created_at: moment(8)?.unwrap_or_default(),
        updated_at: moment(9)?,
        last_connected_at: moment(10)?,
        total_requests: row.try_get(11)?,
        bytes_in: row.try_get(12)?,
        bytes_out: row.try_get(13)?,
    })
}

/// `2026-11-21 10:08:42.252985` in UTC, as databases write it, with or without the fraction.
fn moment(text: &str) -> Option<EpochMillis> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let numbers = |text: &str, separator| {
        let mut parts = text.split(separator).map(|part: &str| part.parse::<i64>().ok());
        Some((parts.next()??, parts.next()??, parts.next()??))
    };
    let (year, month, day) = numbers(date, '-')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let (hour, minute, second) = numbers(whole, ':')?;
    let digits: String =
        fraction.chars().take_while(char::is_ascii_digit).chain("000".chars()).take(3).collect();
    let millis: i64 = digits.parse().ok()?;
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millis)
}

/// Days since 1970-01-01. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl Export {
    fn domains(&self) -> BTreeSet<String> {
        self.records().map(|(_, domain)| domain.to_owned()).collect()
    }

    fn ids(&self) -> BTreeSet<i64> {
        self.records().map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_each_database_are_read() {
        for (text, expected) in [
            ("1970-01-01 00:00:00", Some(0)),
            ("2026-11-21 10:08:42.252985", Some(1_795_255_722_252)),
            ("2026-11-21T10:08:42.2", Some(1_795_255_722_200)),
            ("2000-02-29 00:00:00.000000", Some(951_782_400_000)),
            ("yesterday", None),
            ("2026-11-21", None),
        ] {
            assert_eq!(moment(text), expected, "{text}");
        }
    }
}
