//! Resolves the path of a request to a file, a listing or a redirect. Nothing outside the folder and nothing hidden is
//! ever found.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::conditions::Validators;
use super::listing;
use super::visible::{inside, is_hidden};

/// The file served for a folder.
const INDEX: &str = "index.html";

/// What a path leads to.
pub(super) enum Found {
    /// A file, open.
    File(FoundFile),
    /// A page that says what is in a folder.
    Listing(String),
    /// Another path, relative to the requested one.
    Redirect(String),
}

/// An open file, and what its response says about it.
pub(super) struct FoundFile {
    pub(super) file: File,
    /// Bytes.
    pub(super) length: u64,
    pub(super) media_type: String,
    pub(super) validators: Validators,
}

/// Resolves `path`, as a visitor sent it, below `root`. It may block on the disk.
///
/// # Errors
/// What the system says; what visitors must not see is not found.
pub(super) fn locate(root: &Path, path: &str) -> io::Result<Found> {
    let relative = relative(path).ok_or(io::ErrorKind::NotFound)?;
    // Each time anew: a folder that is built again, or a link that points to the newest, is still the folder.
    let root = root.canonicalize()?;
    let found = inside(&root, &root.join(&relative))?;
    if !fs::metadata(&found)?.is_dir() {
        // A folder's path cannot be a file's: what it links to would be found elsewhere.
        return if path.ends_with('/') { Err(io::ErrorKind::NotADirectory.into()) } else { open(&found) };
    }
    if !path.ends_with('/') {
        let name = path.rsplit('/').next().unwrap_or_default();
        return Ok(Found::Redirect(format!("./{name}/")));
    }
    match inside(&root, &found.join(INDEX)).and_then(|index| open(&index)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            listing::render(&root, &found, &relative).map(Found::Listing)
        }
        answer => answer,
    }
}

fn open(path: &Path) -> io::Result<Found> {
    // Opening a pipe or a device would wait, or do something.
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let validators = Validators::new(meta.len(), meta.modified().ok());
    Ok(Found::File(FoundFile { file, length: meta.len(), media_type: media_type(path), validators }))
}

/// By the name alone. Text is taken for UTF-8, which what says otherwise within itself overrules.
fn media_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = guess.type_() == "text" || guess.subtype() == "javascript" || guess.subtype() == "json";
    if is_text { format!("{}; charset=utf-8", guess.essence_str()) } else { guess.essence_str().to_owned() }
}

/// The names in a request's path. `None` if one of them cannot be a file's that visitors see, `..` among them.
fn relative(path: &str) -> Option<PathBuf> {
    let names = path.split('/').filter(|segment| !segment.is_empty());
    names.map(|segment| name(percent_decode_str(segment).collect())).collect()
}

#[cfg(unix)]
fn name(bytes: Vec<u8>) -> Option<OsString> {
    let is_possible = !is_hidden(&bytes) && !bytes.contains(&b'/') && !bytes.contains(&0);
    is_possible.then(|| std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

/// What a name may not hold is what the system would take for something else: another folder, a drive, a stream of
/// a file, or the same name without its end.
#[cfg(not(unix))]
fn name(bytes: Vec<u8>) -> Option<OsString> {
    let text = String::from_utf8(bytes).ok()?;
    let is_possible = !is_hidden(text.as_bytes())
        && !text.contains(|c: char| c.is_control() || "/\\:*?\"<>|".contains(c))
        && !text.ends_with(['.', ' ']);
    is_possible.then(|| OsString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_names_what_lies_outside_or_is_hidden() {
        for bad in [
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/..%2fx",
            "/a%2fb",
            "/%2f",
            "/%00",
            "/a%00.html",
            "/.git",
            "/.git/config",
            "/a/.env",
            "/.",
            "/%2eenv",
        ] {
            assert_eq!(relative(bad), None, "{bad}");
        }
        for (good, expected) in [
            ("/", ""),
            ("", ""),
            ("//", ""),
            ("/a//b/", "a/b"),
            ("/a%20b%3f", "a b?"),
            ("/100%", "100%"),
            ("/%zz", "%zz"),
            ("/.well-known/x", ".well-known/x"),
            ("/a..b/c...", "a..b/c..."),
        ] {
            assert_eq!(relative(good), Some(PathBuf::from(expected)), "{good}");
        }
    }

    #[test]
    fn a_name_tells_the_kind_of_a_file() {
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.JS", "text/javascript; charset=utf-8"),
            ("a.json", "application/json; charset=utf-8"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.unheard-of", "application/octet-stream"),
            ("a", "application/octet-stream"),
        ] {
            assert_eq!(media_type(Path::new(name)), expected, "{name}");
        }
    }
}
