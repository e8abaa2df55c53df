//! The file of the API's token: made at the first start, for its owner alone.

use std::fs::File;
use std::io;
use std::path::Path;

use hvym_tunnel_net::files::{self, FileAccess};

use super::guard::ApiToken;

/// The longest file that is read.
const MAX_BYTES: usize = 1024;

/// The token in the file at `path`, or a new one that is kept there.
///
/// # Errors
/// The file cannot be read or written, others can read it, or it holds no token.
pub(super) fn load_or_create(path: &Path) -> io::Result<ApiToken> {
    match File::open(path) {
        Ok(file) => load(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = ApiToken::generate();
            files::create_folder_of(path)?;
            match files::create(path, format!("{}\n", token.text()).as_bytes(), FileAccess::Private) {
                Ok(()) => Ok(token),
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(&File::open(path)?),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn load(file: &File) -> io::Result<ApiToken> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if let Some(mode) = files::mode_for_others(file)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("others can read it: its mode is {mode:o}"),
        ));
    }
    let text = files::read_text_limited(file, MAX_BYTES)?;
    ApiToken::parse(&text).ok_or_else(|| invalid("there is no token in it"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_kept_from_others() {
        let folder = std::env::temp_dir().join(format!("hvym-api-token-{}", std::process::id()));
        let path = folder.join("deep/api.token");
        let first = load_or_create(&path).expect("a folder");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&path).expect("a file").text(), first.text());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its owner may");
        let refused = load_or_create(&path).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::PermissionDenied));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner may");
        fs::write(&path, "short").expect("its owner may");
        assert!(load_or_create(&path).is_err());
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
