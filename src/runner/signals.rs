//! Signals as events, so that one thread can wait for everything at once.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals that are handed on to `marmot`.
const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// The signals of this process. From the moment this exists none of them acts by itself, also for PID 1, which the
/// kernel spares those it does not handle.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Takes them over.
    pub(super) fn take() -> Result<Self, Errno> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        FORWARDED.into_iter().for_each(|signal| set.add(signal));
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next one that has arrived, other than SIGCHLD. That one only says "look", and is swallowed.
    pub(super) fn arrived(&mut self) -> Option<Signal> {
        loop {
            let info = self.0.read_signal().ok().flatten()?;
            match i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGCHLD) | None => {}
                signal => return signal,
            }
        }
    }

    /// Waits for one that asks to stop, at most so long.
    pub(super) fn stop_within(&mut self, time: Duration) -> Option<Signal> {
        let until = std::time::Instant::now() + time;
        loop {
            while let Some(signal) = self.arrived() {
                if asks_to_stop(signal) {
                    return Some(signal);
                }
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return None;
            }
            let mut waited = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            // Interrupted or not: the loop looks again.
            let _ = poll(&mut waited, timeout(left));
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// After these the grace period runs.
pub(super) fn asks_to_stop(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGHUP)
}

/// A time for `poll`, rounded up, so that it is over when the call returns.
pub(super) fn timeout(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
}
