//! The in-pod runner: entry point of the ingestion container (R36, R37).
//!
//! `marmot` exits with 0 on every error. The runner starts it, passes its output on, reads along, and tells by exit code
//! and termination message how the run really ended. It is PID 1 of the container: signals are handed on, orphans taken
//! in. One thread, no runtime, no connection to anything.

pub mod args;
mod child;
pub mod config;
pub mod expand;
pub mod install;
pub mod lines;
pub mod redact;
mod relay;
pub mod report;
mod secrets;
mod signals;
pub mod transcript;
pub mod verdict;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::args::{Command, Common};
use self::child::Call;
use self::config::Config;
use self::redact::Redactor;
use self::report::{Counts, Outcome, Report};
use self::signals::Signals;
use self::verdict::{Status, Task, is_worth_another_try, judge};

/// Pause before the second attempt; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs the runner. What it has to say goes to standard error, the termination log and the exit code.
#[must_use]
pub fn main(command: &Command) -> ExitCode {
    let (task, common) = match command {
        Command::Expand { config, target } => return config::expand_for_parent(config, target),
        Command::Install { directory } => {
            return match install::install(directory) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => {
                    say(&format!("cannot copy the runner to {}: {error}", directory.display()));
                    ExitCode::FAILURE
                }
            };
        }
        Command::Ingest { common, .. } => ("ingest", common),
        Command::Destroy { common, .. } => ("destroy", common),
    };
    let (report, code) = run(command, common);
    say(&format!("{task}: {:?}: {}: {}", report.outcome, report.reason, report.message));
    if let Err(error) = std::fs::write(&common.termination_log, report.to_line()) {
        say(&format!("the outcome cannot be written to {}: {error}", common.termination_log.display()));
    }
    ExitCode::from(code)
}

/// A run to its end, and the exit code for it.
fn run(command: &Command, common: &Common) -> (Report, u8) {
    let failed = |reason: &str, message: String| {
        let report = Report::new(Outcome::Failed, reason, message, Counts::default());
        let code = report.exit_code();
        (report, code)
    };
    // As early as possible: a signal that comes before is lost on PID 1.
    let mut signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return failed("CannotStart", format!("signals cannot be taken over: {error}")),
    };
    // Not PID 1 where processes are shared within the pod: then orphans come here only if asked for.
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let config = match command {
        Command::Destroy { pipeline, .. } => Config::named(pipeline, &common.work_dir),
        Command::Ingest { config, .. } => Config::expanded(config, &common.work_dir),
        Command::Install { .. } | Command::Expand { .. } => return failed("CannotStart", String::new()),
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return failed(error.reason(), error.to_string()),
    };
    let task = match command {
        Command::Ingest { .. } => Task::Ingest { sources: config.sources },
        _ => Task::Destroy,
    };
    let environment = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let secrets = secrets::values(common, environment);
    let redactor = Redactor::new(config.values.iter().chain(&secrets).map(String::as_str));
    attempts(&call(task, &config, common), task, common, &redactor, &mut signals)
}

fn call(task: Task, config: &Config, common: &Common) -> Call {
    let mut arguments = vec!["ingest".to_owned(), "-c".to_owned(), config.path.display().to_string()];
    if task == Task::Destroy {
        arguments.push("--destroy".to_owned());
    }
    if let Some(host) = &common.host {
        arguments.extend(["--host".to_owned(), host.clone()]);
    }
    let answer = (task == Task::Destroy).then_some("y\n");
    Call { program: common.marmot.clone(), arguments, answer, grace: common.grace_period }
}

/// Calls `marmot` until it has got through to Marmot, or the time for that is over (R36).
fn attempts(call: &Call, task: Task, common: &Common, redactor: &Redactor, signals: &mut Signals) -> (Report, u8) {
    let since = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let (said, end) = match call.run(signals) {
            Ok(ended) => ended,
            Err(error) => {
                let message = format!("{} cannot be started: {error}", call.program.display());
                let report = Report::new(Outcome::Failed, "CannotStart", message, Counts::default());
                let code = report.exit_code();
                return (report, code);
            }
        };
        let report = judge(task, &said, end, redactor);
        let over = since.elapsed() + pause >= common.retry_for;
        if end.asked || over || !is_worth_another_try(&said) {
            let code = match (report.outcome, end.status) {
                (Outcome::Killed, Status::Signalled(signal, _)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
                _ => report.exit_code(),
            };
            return (report, code);
        }
        say(&format!("{}; trying again in {} s", report.message, pause.as_secs()));
        if let Some(signal) = signals.stop_within(pause) {
            let message = format!("told to stop by {signal} while waiting for Marmot: {}", report.message);
            let report = Report::new(Outcome::Killed, "Terminated", message, report.counts);
            let code = u8::try_from(128 + signal as i32).unwrap_or(u8::MAX);
            return (report, code);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A line of the runner's own, beside those of `marmot`.
fn say(text: &str) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stderr(), "marmot-operator runner: {text}");
}
