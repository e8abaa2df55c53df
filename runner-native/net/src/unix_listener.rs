//! Unix sockets for their owner alone, at which other programs of the same user connect.
//!
//! Knows no protocol.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::poll_fn;

use super::files;
use super::listener::ACCEPT_PAUSE;
use super::registration::Registration;
use super::tcp::Unix;
use super::timer::Timer;

/// Listens at `path`. The socket is made in a folder that nobody else can enter, and is moved when its own mode is set, so that
/// no other user can connect in between.
///
/// # Errors
/// The folder takes no socket.
pub fn bind_private(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    files::create_folder_of(path)?;
    let folder = path.with_file_name(format!(".socket.{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let draft = folder.join("s");
    let listener = std::os::unix::net::UnixListener::bind(&draft).and_then(|listener| {
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
        fs::rename(&draft, path)?;
        Ok(listener)
    });
    let _gone = fs::remove_file(&draft);
    let _gone = fs::remove_dir(&folder);
    listener
}

/// The file of a socket, by which it is told from another that was put in its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: Option<(u64, u64)>,
}

impl SocketFile {
    /// The one at `path` now.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), id: id(path) }
    }

    /// Removes the file, unless another process has put its own there.
    pub fn remove(&self) {
        if id(&self.path) == self.id {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

fn id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// A Unix socket that listens.
#[derive(Debug)]
pub struct UnixListener {
    /// Before the socket, which must outlive it.
    registration: Registration,
    listener: std::os::unix::net::UnixListener,
    /// Goes with it, unless somebody else has made it.
    file: Option<SocketFile>,
}

impl UnixListener {
    /// Listens at `path` for programs of the same user. A socket that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// Somebody listens there, or the folder takes no socket.
    pub fn listen(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        Self::take_over(path)
    }

    /// The same in place of another process that listens there, which keeps the connections that it has.
    ///
    /// # Errors
    /// The folder takes no socket.
    pub fn take_over(path: &Path) -> io::Result<Self> {
        let listener = bind_private(path)?;
        Self::register(listener, Some(SocketFile::new(path)))
    }

    /// Takes a socket over that listens already, as a supervisor has opened it. Its file stays.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if other users can connect, and those of the system.
    pub fn from_listening(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        if !is_private(&listener)? {
            let text = "other users can connect there, where its mode must be 0600 and its owner this user";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Self::register(listener, None)
    }

    fn register(listener: std::os::unix::net::UnixListener, file: Option<SocketFile>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { registration: Registration::new(&listener)?, listener, file })
    }

    /// The next connection. While the process has no descriptor left it waits.
    pub async fn accept(&self) -> Unix {
        loop {
            let accepted = poll_fn(|cx| self.poll_accept(cx)).await;
            match accepted.and_then(|stream| Unix::from_shared(Arc::new(stream))) {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection at a Unix socket for a moment");
                    Timer::after(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        loop {
            ready!(self.registration.poll_readable(cx))?;
            self.registration.about_to_read();
            match self.listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => {
                    self.registration.has_more();
                    let (stream, _) = accepted?;
                    stream.set_nonblocking(true)?;
                    return Poll::Ready(Ok(stream));
                }
            }
        }
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// Whether this user alone can connect. A socket without a file is open to everybody.
fn is_private(listener: &std::os::unix::net::UnixListener) -> io::Result<bool> {
    let at = listener.local_addr()?;
    let Some(path) = at.as_pathname() else { return Ok(false) };
    let file = fs::metadata(path)?;
    Ok(file.mode() & 0o077 == 0 && file.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use futures_util::AsyncReadExt;

    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn a_socket_is_for_its_owner_is_taken_by_one_and_gone_with_it() {
        let folder = std::env::temp_dir().join(format!("hvym-unix-listener-{}", std::process::id()));
        let path = folder.join("deep/api.sock");
        let runtime = Runtime::with_threads(2).expect("threads and descriptors");
        let inside = runtime.handle().enter();
        let listener = UnixListener::listen(&path).expect("a folder");
        assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
        assert_eq!(
            UnixListener::listen(&path).map_err(|error| error.kind()).err(),
            Some(io::ErrorKind::AddrInUse)
        );
        let mut client = UnixStream::connect(&path).expect("it listens");
        // The second attempt above was a connection too.
        let accepted = runtime.block_on(async { [listener.accept().await, listener.accept().await] });
        client.write_all(b"x").expect("it is open");
        let [_, mut ours] = accepted;
        let mut byte = [0];
        runtime.block_on(ours.read_exact(&mut byte)).expect("a byte");
        drop(ours);
        assert_eq!((byte, client.read(&mut byte).ok()), (*b"x", Some(0)));
        drop(listener);
        assert!(!path.exists());
        // One that was left behind is replaced, and one that another has put there is left alone.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a folder"));
        let again = UnixListener::listen(&path).expect("nobody listens");
        fs::remove_file(&path).expect("it is ours");
        fs::write(&path, "another").expect("a folder");
        drop(again);
        assert!(path.exists());
        drop(inside);
        fs::remove_dir_all(&folder).expect("it is ours");
    }

    #[test]
    fn a_socket_of_a_supervisor_is_for_its_owner_too_and_its_file_stays() {
        let folder = std::env::temp_dir().join(format!("hvym-unix-passed-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("api.sock");
        let runtime = Runtime::with_threads(1).expect("threads and descriptors");
        let inside = runtime.handle().enter();
        let passed = std::os::unix::net::UnixListener::bind(&path).expect("a folder");
        for (mode, is_taken) in [(0o600, true), (0o660, false), (0o602, false), (0o700, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
            let taken = UnixListener::from_listening(passed.try_clone().expect("descriptors"));
            assert_eq!(taken.map_err(|error| error.kind()).is_ok(), is_taken, "{mode:o}");
            assert!(path.exists());
        }
        drop(inside);
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
