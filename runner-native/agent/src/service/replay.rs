//! A connection to a service on which its owner asks again what a visitor asked.
//!
//! The owner passes no filter. What the service gets is what it got from the visitor: the head as it is where bytes pass
//! unchanged, and otherwise as it is forwarded.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::io::{AsyncRead, AsyncWrite};
use hvym_http1::{FieldTable, ForwardedBlock, ForwardedFields, RequestRewrite, RequestView};
use thiserror::Error;

use super::upstream::{ConnectError, UpstreamStream};
use super::{LocalService, Source};

/// A fresh connection to a service.
pub struct ReplayConnection {
    stream: UpstreamStream,
    /// The request head to be written first.
    pub head: Bytes,
}

/// Why a request cannot be sent to its service again.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ReplayRefusal {
    /// The service was removed.
    #[error("there is no service {0} any more")]
    UnknownService(String),
    /// Files are answered by the agent itself.
    #[error("the service is a folder: the file is the same as it would be for any visitor")]
    Folder,
    /// No proxy would pass it on.
    #[error("the request head is malformed: {0}")]
    Malformed(String),
    /// Nobody answers there.
    #[error(transparent)]
    Unreachable(#[from] ConnectError),
}

impl LocalService {
    /// A connection for a request with this head. `is_caller` is whether another identity sent it, of whose words about
    /// visitors the service must see nothing.
    ///
    /// # Errors
    /// [`ReplayRefusal`].
    pub(crate) async fn connect_for(
        &self,
        head: &Bytes,
        is_caller: bool,
    ) -> Result<ReplayConnection, ReplayRefusal> {
        let Source::Upstream(upstream) = &self.source else { return Err(ReplayRefusal::Folder) };
        let head = self.forwarded_head(head, is_caller)?;
        Ok(ReplayConnection { stream: upstream.connect().await?, head })
    }

    fn forwarded_head(&self, head: &Bytes, is_caller: bool) -> Result<Bytes, ReplayRefusal> {
        let malformed = |reason: &dyn ToString| ReplayRefusal::Malformed(reason.to_string());
        let mut table = FieldTable::new();
        let request = RequestView::parse(head, &mut table).map_err(|error| malformed(&error))?;
        if self.filter.is_open() && !is_caller {
            return Ok(head.clone());
        }
        let (mapping, nothing) = (self.filter.mapping(&request), ForwardedBlock::empty());
        let rewrite = RequestRewrite {
            forwarded: if is_caller { ForwardedFields::Replace(&nothing) } else { ForwardedFields::Keep },
            keeps_client_address: !is_caller,
            host: mapping.as_ref(),
            remove: self.filter.removed(),
        };
        let mut written = BytesMut::new();
        request.write_forwarded(&rewrite, &mut written);
        Ok(written.freeze())
    }
}

impl AsyncRead for ReplayConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ReplayConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
