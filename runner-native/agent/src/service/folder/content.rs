//! A part of a file as a body: read piece by piece, off the executor's threads, as fast as the visitor takes it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::io::AsyncRead;
use hyper::body::{Body, Frame, SizeHint};
use smol::{Unblock, unblock};

/// One piece. As much again is read ahead.
const PIECE_BYTES: usize = 64 * 1024;

/// What is left of a part of a file.
pub(super) struct FileContent {
    file: Unblock<File>,
    left: u64,
    buffer: BytesMut,
}

impl FileContent {
    /// `count` bytes of `file`, from byte `first` on.
    ///
    /// # Errors
    /// If the file cannot be read from there.
    pub(super) async fn new(mut file: File, first: u64, count: u64) -> io::Result<Self> {
        if first > 0 {
            file = unblock(move || file.seek(SeekFrom::Start(first)).map(|_| file)).await?;
        }
        let file = Unblock::with_capacity(PIECE_BYTES, file);
        Ok(Self { file, left: count, buffer: BytesMut::new() })
    }
}

impl Body for FileContent {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(this.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        this.buffer.resize(most, 0);
        let n = ready!(Pin::new(&mut this.file).poll_read(cx, &mut this.buffer))?;
        if n == 0 {
            // The file was truncated after its length was sent; the response ends by an error.
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())));
        }
        this.left -= n as u64;
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(n).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
