//! Validates every HTTP/1.1 head between a visitor's connection and hyper.
//!
//! A refused head is replaced by [`REFUSED`], a request that cannot come from a visitor, so that its error page is
//! sent in order after earlier responses. Afterwards nothing more is read. Bodies are passed on as they come; only
//! their end is tracked.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::io::{AsyncRead, AsyncWrite};
use hvym_http1::{Body, HeadScanner};
use hvym_tunnel_pages::Format;

use crate::http1::head_validation::{self, RequestError};
use crate::http1::write_timeout::WriteTimeout;
use hvym_tunnel_net::coarse_timer::CoarseTimer;
use hvym_tunnel_net::socket::Wire;

/// Only `OPTIONS` may ask for `*`, so no visitor's request that was let through looks like this.
const REFUSED: &[u8] = b"GET * HTTP/1.1\r\nhost: *\r\nconnection: close\r\n\r\n";
/// The same, for an answer that must not have a body.
const REFUSED_HEAD: &[u8] = b"HEAD * HTTP/1.1\r\nhost: *\r\nconnection: close\r\n\r\n";
/// One read of what is not yet judged. Most heads are smaller; hyper starts with as much.
const READ_BYTES: usize = 8 * 1024;
/// What a visitor may send before its upgrade is answered. A first message comes early, megabytes do not.
const MAX_EARLY_BYTES: usize = 64 * 1024;

/// State that the reading side and the answering side of a connection share.
#[derive(Default)]
pub(crate) struct GuardVerdict {
    refused: Mutex<Option<(RequestError, Format)>>,
    /// Whether the last request that asked to change the protocol was answered, and stays with this one.
    stays: AtomicBool,
}

impl GuardVerdict {
    /// Why the request in whose place [`REFUSED`] stands was refused.
    pub(crate) fn refused(&self) -> Option<(RequestError, Format)> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A request was answered, and the protocol stays what it is.
    pub(crate) fn stays(&self) {
        self.stays.store(true, Ordering::Release);
    }
}

enum GuardPhase {
    /// Before or inside a head.
    Head(HeadScanner),
    /// Behind a head.
    Body { body: Body, may_change: bool },
    /// The answer decides what the next bytes are.
    Undecided,
    /// Refused: nothing more is read.
    Over,
}

/// A visitor's connection whose heads are validated.
pub(crate) struct RequestGuard {
    wire: WriteTimeout,
    verdict: Arc<GuardVerdict>,
    phase: GuardPhase,
    /// Read, and not validated.
    ahead: BytesMut,
    /// Validated, and not passed on.
    judged: Bytes,
    head_limit: Duration,
    /// Runs from the first byte of a head to its last.
    timer: Option<CoarseTimer>,
}

impl RequestGuard {
    /// A connection from which `ahead` was read already.
    pub(crate) fn new(
        wire: WriteTimeout,
        ahead: &[u8],
        verdict: Arc<GuardVerdict>,
        head_limit: Duration,
    ) -> Self {
        let (phase, judged) = (GuardPhase::Head(head_validation::scanner()), Bytes::new());
        Self { wire, verdict, phase, ahead: ahead.into(), judged, head_limit, timer: None }
    }

    /// The connection, once it is no longer HTTP, and what was read from it too early.
    pub(crate) fn into_parts(self) -> (Wire, Bytes) {
        (self.wire.into_wire(), self.ahead.freeze())
    }

    /// One step of reading a head. `Break` is what the caller gets.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let GuardPhase::Head(scanner) = &mut self.phase else { return Poll::Ready(Ok(1)) };
        match scanner.feed(&self.ahead[scanner.scanned()..]) {
            Ok(Some(_)) => {
                let head = self.ahead.split_to(scanner.scanned()).freeze();
                match head_validation::validate_head(&head) {
                    Ok(framed) => {
                        self.verdict.stays.store(false, Ordering::Release);
                        self.timer = None;
                        self.phase = GuardPhase::Body { body: framed.body, may_change: framed.may_change };
                        self.judged = head;
                    }
                    Err(fault) => self.refuse(fault, &head),
                }
                return Poll::Ready(Ok(1));
            }
            Err(error) => {
                let head = self.ahead.split().freeze();
                self.refuse(error.into(), &head);
                return Poll::Ready(Ok(1));
            }
            Ok(None) => {}
        }
        let read = self.poll_ahead(cx);
        if read.is_pending() && !self.ahead.is_empty() {
            let limit = self.head_limit;
            let timer = self.timer.get_or_insert_with(|| CoarseTimer::after(limit));
            ready!(Pin::new(timer).poll(cx));
            let head = self.ahead.split().freeze();
            self.refuse(RequestError::Late, &head);
            return Poll::Ready(Ok(1));
        }
        read
    }

    /// Reads more of what is not judged. Zero is the end.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [0; READ_BYTES];
        let n = ready!(Pin::new(&mut self.wire).poll_read(cx, &mut room))?;
        self.ahead.extend_from_slice(&room[..n]);
        Poll::Ready(Ok(n))
    }

    fn refuse(&mut self, fault: RequestError, head: &[u8]) {
        let format = head_validation::wanted_format(head);
        *self.verdict.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((fault, format));
        self.judged = Bytes::from_static(if head.starts_with(b"HEAD ") { REFUSED_HEAD } else { REFUSED });
        (self.phase, self.timer, self.ahead) = (GuardPhase::Over, None, BytesMut::new());
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let GuardPhase::Body { body, .. } = &mut self.phase else { return Poll::Ready(Ok(0)) };
        let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let n = if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.wire).poll_read(cx, buf))?
        } else {
            let n = self.ahead.len().min(buf.len());
            self.ahead.copy_to_slice(&mut buf[..n]);
            n
        };
        let used = body.advance(&buf[..n]).map_err(broken)?;
        if used < n {
            // What was read too far comes before what is left of it.
            let rest = std::mem::take(&mut self.ahead);
            self.ahead = BytesMut::from(&buf[used..n]);
            self.ahead.extend_from_slice(&rest);
        }
        Poll::Ready(Ok(used))
    }
}

impl AsyncRead for RequestGuard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if !this.judged.is_empty() {
                let n = this.judged.len().min(buf.len());
                this.judged.copy_to_slice(&mut buf[..n]);
                return Poll::Ready(Ok(n));
            }
            match &this.phase {
                GuardPhase::Head(_) => {
                    if ready!(this.poll_head(cx))? == 0 {
                        return Poll::Ready(Ok(0));
                    }
                }
                GuardPhase::Body { body, may_change } if body.is_finished() => {
                    this.phase = if *may_change {
                        GuardPhase::Undecided
                    } else {
                        GuardPhase::Head(head_validation::scanner())
                    };
                }
                GuardPhase::Body { .. } => return this.poll_body(cx, buf),
                GuardPhase::Undecided if this.verdict.stays.load(Ordering::Acquire) => {
                    this.phase = GuardPhase::Head(head_validation::scanner());
                }
                GuardPhase::Undecided if this.ahead.len() >= MAX_EARLY_BYTES => return Poll::Pending,
                GuardPhase::Undecided => {
                    if ready!(this.poll_ahead(cx))? == 0 {
                        return Poll::Ready(Ok(0));
                    }
                }
                // hyper closes when the page is written; an end seen now would look like a visitor who left.
                GuardPhase::Over => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for RequestGuard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_close(cx)
    }
}
