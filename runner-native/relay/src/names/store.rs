//! The file of claimed names in the state folder.

use std::io;

use hvym_tunnel_core::names::{Claim, ClaimRegistry, ClaimedName, CustomHost, MAX_NAMES, PublicName};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::state_dir::{StateDir, is_damaged};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The file in the state folder.
const FILE: &str = "names.json";
/// A name takes at most some 400 bytes in the file: a host name may have 253.
const MAX_FILE_BYTES: usize = MAX_NAMES * 512;
/// The form of the file.
const VERSION: u32 = 1;

/// Why the file of names cannot be used.
#[derive(Debug, Error)]
pub(crate) enum NamesError {
    /// It cannot be read, or a damaged one not be set aside.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is of a later version of this program: to go on without it would give its names to others.
    #[error("it is of a later version of this program ({0})")]
    Version(u32),
}

#[derive(Deserialize, Serialize)]
struct File {
    version: u32,
    names: Vec<Row>,
}

/// What every version says of itself.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Deserialize, Serialize)]
struct Row {
    name: String,
    address: Address,
    /// When its owner was here last, Unix seconds.
    seen: u64,
}

/// The names that are kept; none if there is no file. One that is damaged is set aside, under a name that is told.
///
/// # Errors
/// [`NamesError`].
pub(super) fn read(folder: &StateDir) -> Result<Vec<(PublicName, Claim)>, NamesError> {
    let content = match folder.read(FILE, MAX_FILE_BYTES) {
        Ok(Some(content)) => content,
        Ok(None) => return Ok(Vec::new()),
        Err(error) if is_damaged(&error) => return set_aside(folder, &error.to_string()),
        Err(error) => return Err(error.into()),
    };
    if let Ok(Head { version }) = serde_json::from_slice(&content)
        && version > VERSION
    {
        return Err(NamesError::Version(version));
    }
    match serde_json::from_slice::<File>(&content) {
        Ok(file) => Ok(file.names.into_iter().filter_map(claim).collect()),
        Err(error) => set_aside(folder, &error.to_string()),
    }
}

fn claim(row: Row) -> Option<(PublicName, Claim)> {
    let name = match row.name.contains('.') {
        true => CustomHost::new(&row.name).ok().map(PublicName::Host),
        false => ClaimedName::new(&row.name).ok().map(PublicName::Label),
    };
    if name.is_none() {
        tracing::warn!(name = row.name, "a kept name can no longer be claimed, and is left out");
    }
    Some((name?, Claim { owner: row.address, seen: UnixTime::from_secs(row.seen) }))
}

fn set_aside(folder: &StateDir, reason: &str) -> Result<Vec<(PublicName, Claim)>, NamesError> {
    let kept = folder.set_aside(FILE)?;
    tracing::error!(
        file = %kept.display(), reason,
        "the file of claimed names is damaged and was set aside: names are free until their owners come back"
    );
    Ok(Vec::new())
}

/// Writes all names.
///
/// # Errors
/// The folder takes no file.
pub(super) fn write(folder: &StateDir, claims: &ClaimRegistry) -> io::Result<()> {
    let row = |(name, claim): (&PublicName, &Claim)| Row {
        name: name.as_str().to_owned(),
        address: claim.owner,
        seen: claim.seen.as_secs(),
    };
    let file = File { version: VERSION, names: claims.iter().map(row).collect() };
    folder.write(FILE, &serde_json::to_vec(&file)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn folder(name: &str) -> StateDir {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-names-{name}-{}", std::process::id()));
        let _none = std::fs::remove_dir_all(&path);
        StateDir::new(path)
    }

    #[test]
    fn names_are_read_as_they_were_written() {
        let folder = folder("kept");
        assert!(read(&folder).expect("no file").is_empty());
        let mut claims = ClaimRegistry::new(Duration::from_secs(60));
        let owner = Address::from_public_key([7; 32]);
        for name in [
            PublicName::Label(ClaimedName::new("cool-app").expect("a name")),
            PublicName::Host(CustomHost::new("app.example.org").expect("a host")),
        ] {
            claims.claim(name, owner, |_| false, NOW).expect("it is free");
        }
        write(&folder, &claims).expect("a folder");
        let mut read_again = ClaimRegistry::new(Duration::from_secs(60));
        assert_eq!(read_again.restore(read(&folder).expect("a file")), 0);
        assert_eq!(read_again, claims);
        std::fs::remove_dir_all(folder.path("")).expect("it was ours");
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_one_of_a_later_version_is_left_alone() {
        let folder = folder("damaged");
        let contents = [&b"{\"version\":1,\"names\":[{\"na"[..], b"", b"[]", b"{\"version\":1}"];
        for (content, kept) in contents.into_iter().zip(["", "-2", "-3", "-4"]) {
            folder.write(FILE, content).expect("a folder");
            assert!(read(&folder).expect("set aside").is_empty());
            assert!(!folder.path(FILE).exists());
            let kept = folder.path(format!("names.json.damaged{kept}"));
            assert_eq!(std::fs::read(kept).expect("it is there"), content);
        }
        folder.write(FILE, b"{\"version\":2,\"names\":{}}").expect("a folder");
        assert!(matches!(read(&folder), Err(NamesError::Version(2))));
        assert!(folder.path(FILE).exists());
        // What cannot be a name any more is left out, and the others are kept.
        let address = Address::from_public_key([7; 32]);
        let rows = format!(
            r#"{{"version":1,"names":[{{"name":"www","address":"{address}","seen":1}},{{"name":"cool-app","address":"{address}","seen":1}}]}}"#
        );
        folder.write(FILE, rows.as_bytes()).expect("a folder");
        assert_eq!(read(&folder).expect("a file").len(), 1);
        std::fs::remove_dir_all(folder.path("")).expect("it was ours");
    }
}
