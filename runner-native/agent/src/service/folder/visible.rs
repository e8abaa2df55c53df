//! Which files of a folder visitors may see.

use std::io;
use std::path::{Component, Path, PathBuf};

/// A hidden folder that is meant for visitors (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// The canonical form of `path`, if that is below `root`, which is canonical, and not hidden there.
///
/// # Errors
/// The system's, and [`io::ErrorKind::NotFound`] for what visitors must not see.
pub(super) fn inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let real = path.canonicalize()?;
    let below = real.strip_prefix(root).map_err(|_| io::ErrorKind::NotFound)?;
    let is_shown = |component: Component<'_>| match component {
        Component::Normal(name) => !is_hidden(name.as_encoded_bytes()),
        _ => false,
    };
    if below.components().all(is_shown) { Ok(real) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Whether visitors do not see a file of this name.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && name != WELL_KNOWN.as_bytes()
}
