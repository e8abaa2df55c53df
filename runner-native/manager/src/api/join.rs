//! Services of another program for as long as the response to it lasts: when it goes, however it goes, they go.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hvym_tunnel_agent::AgentEvent;
use hvym_tunnel_net::observer::Observer;
use hyper::body::Frame;
use smol::channel::{Sender, bounded};

use super::ApiState;
use super::answer::{self, Answer};
use crate::ManagerError;
use crate::shapes::JoinRequest;

/// Lines that wait for one program; when there are more, whoever writes them waits, and drops what it may.
const LINES: usize = 64;

/// Tells a program that has joined the link to a relay what happens to its services, in lines that it understands.
pub type Narrate = Arc<dyn Fn(&JoinRequest, &str, LineSink) -> Arc<dyn Observer<AgentEvent>> + Send + Sync>;

/// Where these lines go. Writing waits for the program, so that it is for a thread of its own.
#[derive(Debug)]
pub struct LineSink(Sender<Bytes>);

impl io::Write for LineSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send_blocking(Bytes::copy_from_slice(bytes));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Adds the services of a program, and tells it what happens to them until it goes.
pub(super) fn join(state: &ApiState, request: &JoinRequest) -> Answer {
    let Some(narrate) = &state.hooks.narrate else { return answer::manager_error(&ManagerError::NotShared) };
    let (sender, lines) = bounded(LINES);
    let joined = match state.manager.join(request, |relay| narrate(request, relay, LineSink(sender))) {
        Ok(joined) => joined,
        // Its settings contradict each other, or the relay does not have what it needs.
        Err(ManagerError::Agent(error)) => return answer::error(StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => return answer::manager_error(&error),
    };
    let lines = stream::unfold((lines, joined), |(lines, joined)| async move {
        let line = lines.recv().await.ok()?;
        Some((Ok(Frame::data(line)), (lines, joined)))
    });
    let mut answer = answer::content(StatusCode::OK, "application/x-ndjson", "");
    *answer.body_mut() = StreamBody::new(lines).boxed_unsync();
    answer
}
