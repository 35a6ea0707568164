//! One stream of the child: passed on as it comes, byte for byte, and read along.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd;

use super::lines::{Line, Lines};

/// So much is read at once, and no more is ever held.
const BUFFER: usize = 32 * 1024;
/// A pipe that is ready takes so much without blocking.
const PIECE: usize = 4096;

/// The way of one stream through the runner. Nothing is read before all that was read is written, so a reader of the pod's
/// log that is slow slows `marmot` down and costs no memory.
pub(super) struct Relay {
    /// The child's end; `None` once it is closed.
    from: Option<OwnedFd>,
    /// Ours. Not closed, only borrowed.
    to: Sink,
    /// Whoever reads our output has gone; the child need not know.
    deaf: bool,
    buffer: Vec<u8>,
    /// What of `buffer` is still to be written.
    left: std::ops::Range<usize>,
    lines: Lines,
}

/// Standard output or error of the runner.
pub(super) enum Sink {
    Out(io::Stdout),
    Err(io::Stderr),
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Out(out) => out.as_fd(),
            Self::Err(err) => err.as_fd(),
        }
    }
}

impl Relay {
    pub(super) fn new(from: Option<OwnedFd>, to: Sink) -> Self {
        Self { from, to, deaf: false, buffer: vec![0; BUFFER], left: 0..0, lines: Lines::default() }
    }

    /// Nothing more will come, and all that came has been passed on.
    pub(super) fn is_done(&self) -> bool {
        self.from.is_none() && self.left.is_empty()
    }

    /// Something that was read is not written yet.
    pub(super) fn is_blocked(&self) -> bool {
        !self.left.is_empty()
    }

    /// What to wait for.
    pub(super) fn waits_for(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.left.is_empty() {
            self.from.as_ref().map(|from| (from.as_fd(), PollFlags::POLLIN))
        } else {
            Some((self.to.as_fd(), PollFlags::POLLOUT))
        }
    }

    /// Goes on after [`waits_for`](Self::waits_for) said it can. Lines that end go to `each`.
    pub(super) fn step(&mut self, each: &mut dyn FnMut(Line)) {
        if self.left.is_empty() {
            self.read(each);
        } else {
            self.write();
        }
    }

    /// Stops reading, whoever holds the other end.
    pub(super) fn close(&mut self, each: &mut dyn FnMut(Line)) {
        if self.from.take().is_some() {
            self.lines.finish(each);
        }
    }

    fn read(&mut self, each: &mut dyn FnMut(Line)) {
        let Some(from) = &self.from else { return };
        match unistd::read(from, &mut self.buffer) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(0) | Err(_) => self.close(each),
            Ok(read) => {
                let fresh = self.buffer.get(..read).unwrap_or_default();
                self.lines.feed(fresh, each);
                self.left = if self.deaf { 0..0 } else { 0..read };
            }
        }
    }

    fn write(&mut self) {
        let end = self.left.end.min(self.left.start + PIECE);
        let piece = self.buffer.get(self.left.start..end).unwrap_or_default();
        match unistd::write(self.to.as_fd(), piece) {
            Ok(written) => self.left.start += written,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(_) => {
                self.deaf = true;
                self.left = 0..0;
            }
        }
    }
}
