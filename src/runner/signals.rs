//! Signals as events, so that one thread can wait for everything at once.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

/// Signals that are handed on to `marmot`.
const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// The signals of this process. From the moment this exists none of them acts by itself, also for PID 1, which the
/// kernel spares those it does not handle. They are handled rather than blocked, because a child inherits what is blocked.
pub(super) struct Signals {
    bell: UnixStream,
    arrived: Vec<(Signal, Arc<AtomicBool>)>,
}

impl Signals {
    /// Takes them over, and SIGCHLD, which only wakes whoever waits.
    pub(super) fn take() -> io::Result<Self> {
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let mut arrived = Vec::with_capacity(FORWARDED.len());
        for signal in FORWARDED {
            let flag = Arc::new(AtomicBool::new(false));
            // In this order: who hears the bell finds the flag.
            signal_hook::flag::register(signal as i32, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal as i32, rope.try_clone()?)?;
            arrived.push((signal, flag));
        }
        signal_hook::low_level::pipe::register(Signal::SIGCHLD as i32, rope)?;
        Ok(Self { bell, arrived })
    }

    /// One that has arrived, each once.
    pub(super) fn arrived(&mut self) -> Option<Signal> {
        let mut rings = [0; 64];
        while matches!(self.bell.read(&mut rings), Ok(1..)) {}
        self.arrived.iter().find(|(_, flag)| flag.swap(false, Ordering::SeqCst)).map(|(signal, _)| *signal)
    }

    /// Waits for one that asks to stop, at most so long.
    pub(super) fn stop_within(&mut self, time: Duration) -> Option<Signal> {
        let until = Instant::now() + time;
        loop {
            while let Some(signal) = self.arrived() {
                if asks_to_stop(signal) {
                    return Some(signal);
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let mut waited = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            // Interrupted or not: the loop looks again.
            let _ = poll(&mut waited, timeout(left));
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
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
