//! Descriptors on their way from one process to another, over a Unix socket (unix(7), `SCM_RIGHTS`).
//!
//! Knows nothing of what they are: a label of a few bytes goes with each.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// The longest label.
pub const MAX_LABEL_BYTES: usize = 32;

/// Sends a descriptor with its label; the other process gets one of its own for the same open file. Blocks while the socket is
/// full.
///
/// # Errors
/// Nobody receives, or the label is empty or too long.
pub fn send(socket: impl AsFd, label: &str, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    if label.is_empty() || label.len() > MAX_LABEL_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Of one length, so that each is received by itself, also one that has no descriptor.
    let mut padded = [0; MAX_LABEL_BYTES];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    match sendmsg(socket, &[IoSlice::new(&padded)], &mut ancillary, SendFlags::NOSIGNAL)? {
        MAX_LABEL_BYTES => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// The next descriptor and its label; `None` at the end. What is received is closed by a program that this one starts. Blocks.
///
/// # Errors
/// What came is not from [`send`].
pub fn receive(socket: impl AsFd) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    let mut label = [0; MAX_LABEL_BYTES];
    let (mut filled, mut descriptor) = (0, None);
    while filled < label.len() {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut room = [IoSliceMut::new(&mut label[filled..])];
        let count = recvmsg(&socket, &mut room, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                descriptor = descriptor.or_else(|| descriptors.next());
            }
        }
        if count == 0 {
            return if filled == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        filled += count;
    }
    let end = label.iter().position(|byte| *byte == 0).unwrap_or(label.len());
    let text = std::str::from_utf8(&label[..end]).ok().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some((text.to_owned(), descriptor)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_listener_arrives_with_its_label_and_accepts_from_the_same_queue() {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = listener.local_addr().expect("its address");
        let longest = "x".repeat(MAX_LABEL_BYTES);
        send(&ours, &longest, Some(listener.as_fd())).expect("room");
        send(&ours, "end", None).expect("room");
        send(&ours, "after", Some(listener.as_fd())).expect("room");
        drop((ours, listener));
        let (label, descriptor) = receive(&theirs).expect("a message").expect("the first");
        assert_eq!(label, longest);
        let received = TcpListener::from(descriptor.expect("a descriptor"));
        let (label, descriptor) = receive(&theirs).expect("a message").expect("the second");
        assert_eq!((label.as_str(), descriptor.is_none()), ("end", true));
        let (label, descriptor) = receive(&theirs).expect("a message").expect("the third");
        assert_eq!((label.as_str(), descriptor.is_some()), ("after", true));
        assert!(receive(&theirs).expect("the end").is_none());
        let visitor = TcpStream::connect(at).expect("it still listens");
        let (_, peer) = received.accept().expect("a connection");
        assert_eq!(peer, visitor.local_addr().expect("its address"));
    }

    #[test]
    fn a_label_is_bounded_and_what_is_no_label_is_refused() {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        for label in ["", &"x".repeat(MAX_LABEL_BYTES + 1)] {
            assert_eq!(
                send(&ours, label, None).map_err(|error| error.kind()),
                Err(io::ErrorKind::InvalidInput)
            );
        }
        for torn in [&[b'x'; 5][..], &[0; MAX_LABEL_BYTES], &[0xff; MAX_LABEL_BYTES]] {
            let (mut ours, theirs) = UnixStream::pair().expect("sockets");
            ours.write_all(torn).expect("room");
            drop(ours);
            assert!(receive(&theirs).is_err(), "{torn:?}");
        }
        drop(ours);
        assert!(receive(&theirs).expect("the end").is_none());
    }
}
