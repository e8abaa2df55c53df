//! The control socket: a Unix socket for its owner alone, at which the operator lists, ends and bans agents.
//!
//! A request and its answer are one line of JSON each. It has a thread of its own, since its clients are few and may be slow.

mod commands;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_net::unix_listener::{SocketFile, bind_private};
use socket2::SockRef;

use crate::relay_state::RelayState;

/// How long a client may take for one line: it has the only place.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request. An address and a reason take a few hundred bytes.
const MAX_REQUEST_BYTES: u64 = 8 * 1024;

/// The socket, until it is dropped.
pub(crate) struct ControlSocket {
    /// Another process of the relay may have taken the path over.
    file: SocketFile,
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
        let listener = bind_private(path)?;
        let (file, kept) = (SocketFile::new(path), listener.try_clone()?);
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
        Ok(Self { file, listener: kept, closed })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the thread, which then ends.
        let _woken = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        self.file.remove();
    }
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
