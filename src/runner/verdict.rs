//! The outcome of a run, from what `marmot` said and how it ended (R36). Its exit code alone says nothing: it is 0 on
//! every error.

use super::lines::Line;
use super::redact::Redactor;
use super::report::{Counts, Outcome, Report};
use super::transcript::Transcript;

const ALL_WELL: &str = "✅ All operations completed successfully";
const SOME_ERRORS: &str = "⚠️  Some operations completed with errors";
const DESTROYED: &str = "✅ All pipeline resources have been permanently deleted";
const NOTHING_FOUND: &str = "⚠️  No resources were found to delete";
const CANCELLED: &str = "(y/N): Operation cancelled.";
const NOT_STARTED: &str = "Failed to start run: ";
const NOT_DESTROYED: &str = "Failed to destroy pipeline: ";
const REFUSED: &str = ": connection refused";

const OUT_OF_MEMORY: &str = "the container ran out of memory: raise spec.resources.limits.memory";

/// What `marmot` was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// `marmot ingest` of a pipeline with so many sources.
    Ingest {
        /// Keys of all entries of `runs`.
        sources: usize,
    },
    /// `marmot ingest --destroy`.
    Destroy,
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What it left to its parent.
    pub status: Status,
    /// Somebody had asked the runner to stop, and it passed that on.
    pub asked: bool,
    /// The container ran out of memory meanwhile.
    pub out_of_memory: bool,
}

/// What a process leaves to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// An exit code.
    Exited(i32),
    /// The number and the name of a signal.
    Signalled(i32, &'static str),
}

/// The verdict on one call, with everything secret taken out of it (R37).
#[must_use]
pub fn judge(task: Task, said: &Transcript, end: End, redactor: &Redactor) -> Report {
    let words = |line: &Line| redactor.redact(&line.text, line.cut);
    let (outcome, reason, message) = match end.status {
        Status::Signalled(signal, name) => killed(&format!("signal {signal} ({name})"), end),
        Status::Exited(code) => match (&said.error, code) {
            (None, 0) => ended(task, said, &words),
            (_, code) if end.asked => killed(&format!("exit code {code}"), end),
            (Some(error), _) if end.out_of_memory => out_of_memory(said, error, &words),
            (Some(error), _) => failed(said, error, &words),
            (None, code) => {
                let last = said.last_error.as_ref().or(said.last.as_ref()).map(words).unwrap_or_default();
                (Outcome::Killed, "ExitCode", format!("marmot ended with exit code {code}: {last}"))
            }
        },
    };
    Report::new(outcome, reason, message, counts(said))
}

/// Whether another attempt may do better: Marmot itself was not up yet, and nothing had started (R36). A source that
/// refuses connections is no such case.
#[must_use]
pub fn is_worth_another_try(said: &Transcript) -> bool {
    let Some(step) = said.failed_step.as_ref().filter(|_| said.started == 0 && said.error.is_some()) else {
        return false;
    };
    let why = step.text.strip_prefix(NOT_STARTED).or_else(|| step.text.strip_prefix(NOT_DESTROYED));
    why.is_some_and(|why| why == "request failed with status 503" || (!step.cut && why.ends_with(REFUSED)))
}

type Parts = (Outcome, &'static str, String);

fn killed(how: &str, end: End) -> Parts {
    let (reason, why) = if end.asked {
        ("Terminated", "the pod was told to stop: it was deleted, replaced, evicted or over its deadline")
    } else if end.out_of_memory {
        ("OOMKilled", OUT_OF_MEMORY)
    } else {
        ("Killed", "nobody asked the runner for it")
    };
    (Outcome::Killed, reason, format!("marmot was ended by {how}: {why}"))
}

/// The kernel takes the largest process, which is often the plugin: `marmot` lives on and calls that a failed discovery.
fn out_of_memory(said: &Transcript, error: &Line, words: &dyn Fn(&Line) -> String) -> Parts {
    let (_, _, message) = failed(said, error, words);
    (Outcome::Killed, "OOMKilled", format!("{OUT_OF_MEMORY}; marmot said: {message}"))
}

/// `Error: …` stands on standard error: the command itself says that it failed.
fn failed(said: &Transcript, error: &Line, words: &dyn Fn(&Line) -> String) -> Parts {
    // The step repeats the error and says what was tried.
    let step = said.failed_step.as_ref().filter(|step| step.text.contains(&error.text));
    let line = step.unwrap_or(error);
    let (reason, hint) = diagnosis(&line.text);
    let text = words(line);
    (Outcome::Failed, reason, if hint.is_empty() { text } else { format!("{hint}: {text}") })
}

/// One stable word for an error of Marmot's, and words where its own would leave users in the dark.
fn diagnosis(text: &str) -> (&'static str, &'static str) {
    let by_step = [
        ("Config validation failed: ", "InvalidSourceConfig"),
        ("Discovery failed: ", "DiscoveryFailed"),
        ("unknown source: ", "UnknownSource"),
        ("parsing config file: ", "InvalidPipeline"),
        ("reading config file: ", "InvalidPipeline"),
        ("pipeline name is required", "InvalidPipeline"),
    ];
    if let Some((_, reason)) = by_step.iter().find(|(step, _)| text.starts_with(step)) {
        let hint = match *reason {
            "UnknownSource" => "marmot has no plugin for it that could be loaded",
            _ => "",
        };
        return (reason, hint);
    }
    let status = text.rsplit_once("request failed with status ").map(|(_, status)| status);
    match status {
        Some("400") => {
            ("BadRequest", "Marmot did not understand the request; an ingestion image newer than the server does that")
        }
        Some("401") => {
            ("Unauthorized", "Marmot answered 401, unauthorized: the API key (MARMOT_API_KEY) is missing or wrong")
        }
        Some("403") => {
            ("Forbidden", "Marmot answered 403, forbidden: the user of the API key may not ingest (ingestion:manage)")
        }
        Some("503") => ("MarmotUnreachable", "Marmot answered 503: it is not ready"),
        None if text.starts_with(NOT_STARTED) || text.starts_with(NOT_DESTROYED) => {
            ("MarmotUnreachable", "Marmot cannot be reached")
        }
        _ => ("MarmotError", ""),
    }
}

/// The process ended by itself and without `Error: `: the last line decides, and it alone.
fn ended(task: Task, said: &Transcript, words: &dyn Fn(&Line) -> String) -> Parts {
    let last = said.last.as_ref().map_or("", |line| line.text.as_str());
    match (task, last) {
        (Task::Ingest { sources }, ALL_WELL) => ingested(sources, said, words),
        (Task::Ingest { .. }, SOME_ERRORS) => {
            let message = format!("{} errors of single assets; the pod's log names them", said.sums.errors);
            (Outcome::Partial, "AssetErrors", message)
        }
        (Task::Destroy, DESTROYED) => {
            (Outcome::Succeeded, "Destroyed", format!("{} assets deleted", said.sums.deleted))
        }
        (Task::Destroy, NOTHING_FOUND) => {
            (Outcome::Succeeded, "NothingFound", "Marmot found nothing to delete for this pipeline".to_owned())
        }
        (Task::Destroy, last) if last.ends_with(CANCELLED) => {
            (Outcome::Failed, "Cancelled", "marmot did not take `y` for an answer".to_owned())
        }
        _ => {
            let last = said.last.as_ref().map(words).unwrap_or_default();
            (Outcome::Killed, "Incomplete", format!("marmot ended in the middle of its work; its last line: {last}"))
        }
    }
}

/// Marmot calls it a success. These are the cases in which it does so although something was lost.
fn ingested(sources: usize, said: &Transcript, words: &dyn Fn(&Line) -> String) -> Parts {
    let sums = said.sums;
    let arrived = sums.created.saturating_add(sums.updated).saturating_add(sums.unchanged);
    if said.started == 0 {
        let message = "marmot started no run: it found no entry under runs".to_owned();
        return (Outcome::Failed, "NothingRan", message);
    }
    if let Some(why) = &said.completion_lost {
        let message = format!(
            "Marmot did not take the completion of the run ({}): its assets are unknown to a later teardown",
            words(why)
        );
        return (Outcome::Partial, "CompletionLost", message);
    }
    let done = said.completed + said.without_assets;
    if done < said.started.max(sources) {
        let message = format!("only {done} of {} sources were reported complete", said.started.max(sources));
        return (Outcome::Partial, "Incomplete", message);
    }
    if sources == 1 && arrived < sums.discovered {
        let message = format!("{arrived} of {} discovered assets arrived in Marmot", sums.discovered);
        return (Outcome::Partial, "AssetsLost", message);
    }
    if said.completed == 0 {
        let message = "the sources hold no assets; what earlier runs brought is still there".to_owned();
        return (Outcome::Succeeded, "NoAssets", message);
    }
    let message = format!(
        "{} assets: {} created, {} updated, {} unchanged",
        sums.discovered, sums.created, sums.updated, sums.unchanged
    );
    (Outcome::Succeeded, "Completed", message)
}

fn counts(said: &Transcript) -> Counts {
    let sums = said.sums;
    Counts {
        sources: u64::try_from(said.started).unwrap_or(u64::MAX),
        discovered: sums.discovered,
        created: sums.created,
        updated: sums.updated,
        unchanged: sums.unchanged,
        deleted: sums.deleted,
        errors: sums.errors,
    }
}

#[cfg(test)]
mod tests;
