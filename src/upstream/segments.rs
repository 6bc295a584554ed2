//! Two segments with one system call.

use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};
use std::io::{self, IoSlice};
use std::os::fd::RawFd;

/// Sends `head` and `body` as far as the socket takes them now, and returns how many bytes that was.
/// The kernel never puts what is in both into one segment, not even if it has to wait with the first
/// (`MSG_EOR`).
///
/// # Errors
/// Those of sending `head`. One that `body` meets shows when its rest is sent.
pub(super) fn send_apart(socket: RawFd, head: &[u8], body: &[u8]) -> io::Result<usize> {
    let mut messages = MultiHeaders::<()>::preallocate(2, None);
    let parts = [[IoSlice::new(head)], [IoSlice::new(body)]];
    let flags = MsgFlags::MSG_EOR | MsgFlags::MSG_NOSIGNAL;
    match sendmmsg(socket, &mut messages, &parts, [None, None], [], flags) {
        Ok(sent) => Ok(sent.map(|part| part.bytes).sum()),
        // Waiting is left to the runtime.
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
