//! `identity list`, `use`, `lock` and `unlock`: the files of identities, and whether a passphrase is needed to use them. Shows
//! addresses, never secrets.

use std::fs;
use std::path::{Path, PathBuf};

use hvym_tunnel_net::files::{self, FileAccess};
use hvym_tunnel_net::key::{Identity, KeyError, Source, StoredIdentity, shown};
use hvym_tunnel_net::passphrase::Passphrase;
use hvym_tunnel_net::sealed::{SealCost, is_sealed, seal};
use hvym_tunnel_net::secret::Secret;

use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::passphrase;

/// The identities beside `source`, by the names of their files.
fn all(source: &Source) -> Result<Vec<(PathBuf, StoredIdentity)>, ExitError> {
    let own = source.destination()?;
    let folder = own.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_key = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path == own || name.ends_with(".key") || (name.contains(".key.") && name.ends_with(".bak"))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_key).collect();
    paths.sort();
    let stored =
        paths.into_iter().filter_map(|path| StoredIdentity::at(&path).ok().map(|stored| (path, stored)));
    Ok(stored.collect())
}

/// Prints the identities; a star marks the one in use.
pub(super) fn list(source: &Source) -> Result<(), ExitError> {
    let own = source.destination()?;
    let line = |(path, stored): &(PathBuf, StoredIdentity)| {
        let mark = if path == own { '*' } else { ' ' };
        let state = if stored.is_sealed { "locked" } else { "open" };
        format!("{mark} {}  {state:<6}  {}\n", stored.address, shown(path))
    };
    let lines: String = all(source)?.iter().map(line).collect();
    if lines.is_empty() {
        eprintln!("there is no identity yet: expose makes one, and so does hvym-tunnel identity new");
    }
    write_out(lines.as_bytes())
}

/// Puts another identity in the place of the one in use, which is kept beside it.
pub(super) fn take(source: &Source, which: &str) -> Result<(), ExitError> {
    let (own, known) = (source.destination()?, all(source)?);
    let is_meant = |(path, stored): &&(PathBuf, StoredIdentity)| {
        path.as_path() == Path::new(which)
            || path.file_name().is_some_and(|name| name == which)
            || (!which.is_empty() && stored.address.to_string().starts_with(which))
    };
    let meant: Vec<_> = known.iter().filter(is_meant).collect();
    let unclear = |message: String| {
        ExitError::new(Exit::Config, message)
            .with_hint("hvym-tunnel identity list shows their addresses and files")
    };
    let Some((_, chosen)) = meant.first() else {
        return Err(unclear(format!("there is no identity {which}")));
    };
    if meant.iter().any(|(_, other)| other.address != chosen.address) {
        return Err(unclear(format!("{which} may be one of several identities")));
    }
    match StoredIdentity::at(own) {
        Ok(current) if current.address == chosen.address => eprintln!("it is the one in use"),
        Ok(current) => {
            let backup = current.back_up(own)?;
            eprintln!("the identity from before is kept in {} (0600)", backup.display());
            chosen.copy_to(own)?;
        }
        Err(KeyError::NotFound { .. }) => chosen.copy_to(own)?,
        Err(error) => return Err(error.into()),
    }
    write_out(format!("{}\n", chosen.address).as_bytes())
}

/// The file that is meant: the one that was named, else the identity's.
fn path<'a>(source: &'a Source, named: Option<&'a Path>) -> Result<&'a Path, ExitError> {
    Ok(named.map_or_else(|| source.destination(), Ok)?)
}

/// Seals a file by a passphrase.
pub(super) fn lock(source: &Source, named: Option<&Path>) -> Result<(), ExitError> {
    let path = path(source, named)?;
    let content = Secret::from_file(path)?;
    if is_sealed(content.bytes()) {
        return Err(ExitError::new(Exit::Config, format!("{} is locked already", shown(path))));
    }
    match Identity::from_file(path, &source.passphrase) {
        Ok(identity) => {
            identity.store_sealed(path, &chosen(source, path)?, true)?;
            told(&format!("{}\n", identity.address()))?;
        }
        Err(KeyError::NotSecret { .. }) if named.is_some() => {
            let sealed = seal(content.bytes(), None, &chosen(source, path)?, SealCost::STANDARD);
            let sealed = sealed.map_err(|error| KeyError::Sealed { path: shown(path), error })?;
            write(path, sealed.as_bytes())?;
        }
        Err(error) => return Err(error.into()),
    }
    eprintln!("{} is locked: without its passphrase nobody can use it, you included", path.display());
    Ok(())
}

/// Writes a sealed file as it was.
pub(super) fn unlock(source: &Source, named: Option<&Path>) -> Result<(), ExitError> {
    let path = path(source, named)?;
    if !is_sealed(Secret::from_file(path)?.bytes()) {
        return Err(ExitError::new(Exit::Config, format!("{} is not locked", shown(path))));
    }
    match Identity::from_file(path, &source.passphrase) {
        Ok(identity) => {
            identity.store(path, true)?;
            told(&format!("{}\n", identity.address()))?;
        }
        Err(KeyError::NotSecret { .. }) if named.is_some() => {
            let secret = Secret::from_sealed_file(path, &source.passphrase)?;
            write(path, secret.bytes())?;
        }
        Err(error) => return Err(error.into()),
    }
    eprintln!("{} is open (0600): whoever has this file can use it", path.display());
    Ok(())
}

fn told(address: &str) -> Result<(), ExitError> {
    write_out(address.as_bytes())
}

fn chosen(source: &Source, path: &Path) -> Result<Passphrase, ExitError> {
    let chosen = source.passphrase.choose(&shown(path)).map_err(passphrase::missing)?;
    chosen.ok_or_else(|| ExitError::new(Exit::Usage, "the two passphrases are not the same"))
}

fn write(path: &Path, content: &[u8]) -> Result<(), ExitError> {
    files::replace(path, content, FileAccess::Private)
        .map_err(|error| ExitError::new(Exit::Config, format!("cannot write {}: {error}", shown(path))))
}
