//! The control socket: a Unix socket for its owner alone, at which the operator lists, ends and bans agents.
//!
//! A request and its answer are one line of JSON each. It has a thread of its own, since its clients are few and may be slow.

mod commands;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hvym_tunnel_net::files;
use hvym_tunnel_net::runtime::RuntimeHandle;
use socket2::SockRef;

use crate::relay_state::RelayState;

/// How long a client may take for one line: it has the only place.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request. An address and a reason take a few hundred bytes.
const MAX_REQUEST_BYTES: u64 = 8 * 1024;

/// The socket, until it is dropped.
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// Device and inode: another process of the relay may have taken the path over.
    file: Option<(u64, u64)>,
    listener: UnixListener,
    closed: Arc<AtomicBool>,
}

impl ControlSocket {
    /// Takes commands at `path`. A socket that nobody listens at any more is replaced, and with `takes_over` one of a relay
    /// whose place this one takes.
    ///
    /// # Errors
    /// Another relay listens there, the folder takes no socket, or the system has no thread left.
    pub(crate) fn open(
        path: &Path,
        takes_over: bool,
        state: Arc<RelayState>,
        runtime: RuntimeHandle,
    ) -> io::Result<Self> {
        if !takes_over && UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another relay listens there"));
        }
        let listener = bind(path)?;
        let (file, kept) = (identity(path), listener.try_clone()?);
        let closed = Arc::<AtomicBool>::default();
        let is_closed = Arc::clone(&closed);
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            for client in listener.incoming() {
                if is_closed.load(Ordering::Acquire) {
                    return;
                }
                let _inside = runtime.enter();
                if let Err(error) = client.and_then(|client| serve(&state, &client)) {
                    tracing::debug!(%error, "a client of the control socket left");
                }
            }
        })?;
        Ok(Self { path: path.to_owned(), file, listener: kept, closed })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the thread, which then ends.
        let _woken = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if identity(&self.path) == self.file {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// What tells the file at `path` from another.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Listens at `path`. The socket is made in a folder that nobody else can enter, and is moved when its own mode is set, so that
/// no other user can connect in between.
fn bind(path: &Path) -> io::Result<UnixListener> {
    files::create_folder_of(path)?;
    let folder = path.with_file_name(format!(".control.{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let draft = folder.join("s");
    let listener = UnixListener::bind(&draft).and_then(|listener| {
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
        fs::rename(&draft, path)?;
        Ok(listener)
    });
    let _gone = fs::remove_file(&draft);
    let _gone = fs::remove_dir(&folder);
    listener
}

fn serve(state: &Arc<RelayState>, client: &UnixStream) -> io::Result<()> {
    client.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let mut requests = BufReader::new(client);
    loop {
        let mut line = String::new();
        if requests.by_ref().take(MAX_REQUEST_BYTES).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut answer = commands::answer(state, &line);
        answer.push('\n');
        (&*client).write_all(answer.as_bytes())?;
    }
}
