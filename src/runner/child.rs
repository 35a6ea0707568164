//! One call of `marmot`, watched from start to end.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::relay::{Relay, Sink};
use super::signals::{Signals, asks_to_stop, timeout};
use super::transcript::Transcript;
use super::verdict::{End, Status};

/// How long the processes that `marmot` leaves behind may take to end before they are killed.
const ORPHANS_MAY_TAKE: Duration = Duration::from_secs(2);
/// How long after that their output is waited for. Nothing but a process that left the group can hold it then.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a reader of our output that is slow may hold up the end.
const SLOW_READER: Duration = Duration::from_secs(60);

/// A call.
pub(super) struct Call {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it reads; nothing if absent.
    pub answer: Option<&'static str>,
    /// How long it may go on after it was told to stop.
    pub grace: Duration,
}

/// Where a call stands.
enum Stage {
    /// `marmot` runs; at that instant it is killed.
    Runs(Option<Instant>),
    /// It has ended; what it left behind may run until then.
    LeavesOrphans(Instant),
    /// Everything of its group is killed; its output is waited for until the first instant, passed on until the second.
    Empties(Instant, Instant),
}

impl Call {
    /// Runs the program in a process group of its own, passes its output on and signals to it, and takes in every process
    /// that ends below this one. Returns when the program, its group and its output have ended.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub(super) fn run(&self, signals: &mut Signals) -> io::Result<(Transcript, End)> {
        let out_of_memory = memory_kills();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .process_group(0)
            .stdin(if self.answer.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let (Some(answer), Some(mut stdin)) = (self.answer, child.stdin.take()) {
            // A few bytes fit into any pipe. Who does not read them says so in the output.
            let _ = stdin.write_all(answer.as_bytes());
        }
        let mut watch = Watch {
            group: Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?),
            out: Relay::new(child.stdout.take().map(Into::into), Sink::Out(io::stdout())),
            err: Relay::new(child.stderr.take().map(Into::into), Sink::Err(io::stderr())),
            said: Transcript::default(),
            stage: Stage::Runs(None),
            status: None,
            asked: false,
            grace: self.grace,
        };
        // From here on `watch` alone waits for processes.
        drop(child);
        while !watch.is_over() {
            watch.wait(signals);
            watch.hand_on(signals);
            watch.reap();
            watch.hurry();
        }
        let status = watch.status.unwrap_or(Status::Exited(0));
        let out_of_memory = memory_kills() > out_of_memory;
        Ok((watch.said, End { status, asked: watch.asked, out_of_memory }))
    }
}

struct Watch {
    /// The program's PID is its group's.
    group: Pid,
    out: Relay,
    err: Relay,
    said: Transcript,
    stage: Stage,
    status: Option<Status>,
    asked: bool,
    grace: Duration,
}

impl Watch {
    fn is_over(&self) -> bool {
        let silent = self.out.is_done() && self.err.is_done();
        match self.stage {
            Stage::Runs(_) => false,
            Stage::LeavesOrphans(_) => silent && !self.is_group_alive(),
            Stage::Empties(until, _) => (silent && !self.is_group_alive()) || until <= Instant::now(),
        }
    }

    /// Waits until a signal, output, room for output or the end of a stage, and passes output on.
    fn wait(&mut self, signals: &Signals) {
        let until = match self.stage {
            Stage::Runs(until) => until,
            Stage::LeavesOrphans(until) | Stage::Empties(until, _) => Some(until),
        };
        let wait = until.map_or(PollTimeout::NONE, |until| timeout(until.saturating_duration_since(Instant::now())));
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let (out, err) = (self.out.waits_for(), self.err.waits_for());
        let (has_out, has_err) = (out.is_some(), err.is_some());
        fds.extend([out, err].into_iter().flatten().map(|(fd, flags)| PollFd::new(fd, flags)));
        if poll(&mut fds, wait).is_err() {
            return;
        }
        let mut ready = fds.iter().skip(1).map(|fd| fd.any().unwrap_or(false)).collect::<Vec<_>>().into_iter();
        let out_ready = has_out && ready.next().unwrap_or(false);
        let err_ready = has_err && ready.next().unwrap_or(false);
        if out_ready {
            self.out.step(&mut |line| self.said.stdout(line));
        }
        if err_ready {
            self.err.step(&mut |line| self.said.stderr(line));
        }
    }

    /// Hands signals on to the program and its plugins; the first that asks to stop starts the grace period.
    fn hand_on(&mut self, signals: &mut Signals) {
        while let Some(signal) = signals.arrived() {
            let _ = killpg(self.group, signal);
            if asks_to_stop(signal) {
                self.asked = true;
                if let Stage::Runs(until) = &mut self.stage {
                    until.get_or_insert_with(|| Instant::now() + self.grace);
                }
            }
        }
    }

    /// Takes in every process that has ended: the program, and as PID 1 or subreaper its orphans.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Status::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Status::Signalled(signal as i32, signal.as_str())),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            if pid == self.group && self.status.is_none() {
                self.status = Some(status);
                if self.is_group_alive() {
                    let _ = killpg(self.group, Signal::SIGTERM);
                }
                self.stage = Stage::LeavesOrphans(Instant::now() + ORPHANS_MAY_TAKE);
            }
        }
    }

    /// Goes on to the next stage where one has lasted long enough.
    fn hurry(&mut self) {
        let now = Instant::now();
        match self.stage {
            Stage::Runs(Some(until)) if until <= now => {
                let _ = killpg(self.group, Signal::SIGKILL);
                // Its end is seen in a moment.
                self.stage = Stage::Runs(None);
            }
            Stage::LeavesOrphans(until) if until <= now => {
                let _ = killpg(self.group, Signal::SIGKILL);
                self.stage = Stage::Empties(now + LAST_WORDS, now + SLOW_READER);
            }
            Stage::Empties(until, at_most) if until <= now => {
                if !self.asked && now < at_most && (self.out.is_blocked() || self.err.is_blocked()) {
                    self.stage = Stage::Empties(now + LAST_WORDS, at_most);
                    return;
                }
                self.out.close(&mut |line| self.said.stdout(line));
                self.err.close(&mut |line| self.said.stderr(line));
            }
            _ => {}
        }
    }

    fn is_group_alive(&self) -> bool {
        killpg(self.group, None).is_ok()
    }
}

/// How often the kernel has killed a process of this container for want of memory.
fn memory_kills() -> u64 {
    // cgroup v2, and v1; both write `oom_kill 0`.
    let files = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];
    let events = files.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or_default()
}
