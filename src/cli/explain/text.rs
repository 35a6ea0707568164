//! The explanation as text.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use scheduler::explain;
use scheduler::observation::{ObservedJob, ScheduleSpec};
use scheduler::state::{Outcome, RunResult};

use super::{Explanation, Leader};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.conditions(f)?;
        self.ledger(f)?;
        self.jobs(f)?;
        self.now(f)
    }
}

impl Explanation {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, observation, now, .. } = self;
        let status = self.run.run.status.clone().unwrap_or_default();
        writeln!(f, "Run {key}")?;
        let phase = status.phase.map_or_else(|| "not seen by an operator yet".to_owned(), |phase| format!("{phase:?}"));
        line(f, "Phase", &phase)?;
        line(f, "Schedule", &schedule(observation.spec.schedule.as_ref(), observation.spec.suspend))?;
        line(f, "Concurrency", &format!("{:?}", observation.spec.policy))?;
        if observation.spec.schedule.is_some() {
            let next = observation.report.next.map(|next| relative(next, *now));
            line(f, "Next tick", &next.unwrap_or_else(|| "none".to_owned()))?;
            let newest = explain::newest_tick(observation);
            let newest = newest.map(|(tick, fate)| format!("{}, {fate}", relative(tick, *now)));
            line(f, "Newest tick", &newest.unwrap_or_else(|| "none yet".to_owned()))?;
        }
        let result = observation.state.last_result.as_ref().map(|result| ended(result, *now));
        line(f, "Last result", &result.unwrap_or_else(|| "none yet".to_owned()))?;
        let failures = observation.state.consecutive_failures;
        if failures > 0 {
            line(f, "Failures", &format!("{failures} since the last success"))?;
        }
        line(f, "Leader", &leader(&self.leader, *now))
    }

    fn conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.run.run.status.clone().unwrap_or_default();
        list(f, "Conditions", status.conditions.iter(), |condition| {
            format!("{}={} {}: {}", condition.type_, condition.status, condition.reason, condition.message)
        })
    }

    fn ledger(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, "Ticks not run", self.observation.state.ledger.iter(), |entry| {
            let times = if entry.count == 1 {
                entry.to.to_string()
            } else {
                format!("{} from {} to {}", entry.count, entry.from, entry.to)
            };
            format!("{times}, {}", explain::not_run(entry.reason))
        })
    }

    fn jobs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut jobs: Vec<&ObservedJob> = self.observation.jobs.iter().collect();
        jobs.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        list(f, "Jobs", jobs.into_iter(), |job| {
            let state = match &job.finished {
                _ if job.deleting_since.is_some() => "being deleted".to_owned(),
                Some(finished) => format!("{} {}", outcome(finished.outcome), relative(finished.at, self.now)),
                None if job.running => "running".to_owned(),
                None => "waiting for its pod".to_owned(),
            };
            format!("{} ({:?}), made {}, {state}", job.name, job.kind, relative(job.created_at, self.now))
        })?;
        list(f, "Claims", self.observation.state.claims.iter(), |(job, claim)| {
            format!(
                "{job} by {}, attempt {}, made {}",
                claim.holder,
                claim.attempt,
                relative(claim.claimed_at, self.now)
            )
        })
    }

    fn now(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.leader {
            Leader::Is { .. } | Leader::Unseen(_) => "Now, the operator would",
            Leader::Was { .. } | Leader::Nobody => "Nobody leads. An operator that did would now",
        };
        let idle = self.decision.effects.is_empty();
        let title = if idle { format!("{who} do nothing, because") } else { format!("{who} (and why no more)") };
        list(f, &title, explain::why(&self.observation, &self.decision).iter(), Clone::clone)
    }
}

fn schedule(spec: Option<&ScheduleSpec>, suspend: bool) -> String {
    let Some(spec) = spec else {
        return "none: it runs once for each change of its pipeline, and by trigger".to_owned();
    };
    let suspended = if suspend { "; suspended" } else { "" };
    match &spec.parsed {
        Ok(schedule) => {
            format!("{}, {} ({:?}){suspended}", schedule.describe(), schedule.zone().name(), spec.expression)
        }
        Err(problem) => format!("{:?}, which cannot be used: {}", spec.expression, problem.message),
    }
}

fn leader(leader: &Leader, now: Timestamp) -> String {
    match leader {
        Leader::Is { holder, namespace } => format!("{holder}, by the Lease in namespace {namespace}"),
        Leader::Was { holder, namespace, until } => {
            let until = relative(*until, now);
            format!("nobody: the Lease of {holder} in namespace {namespace} ran out {until}; is an operator running?")
        }
        Leader::Nobody => {
            "nobody: no operator holds the Lease; is one running, or one with --leader-elect=false?".to_owned()
        }
        Leader::Unseen(why) => format!("not to be seen ({why}); --leader-election-namespace may help"),
    }
}

fn ended(result: &RunResult, now: Timestamp) -> String {
    let mut text = format!("Job {} {} {}", result.job, outcome(result.outcome), relative(result.finished_at, now));
    for part in [&result.reason, &result.message].into_iter().flatten() {
        text.push_str(": ");
        text.push_str(part);
    }
    text
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Partial => "ended with losses",
        Outcome::Failed => "failed",
        Outcome::Killed => "was killed",
    }
}

/// An instant, and how far away it is.
fn relative(at: Timestamp, now: Timestamp) -> String {
    let away = at.duration_since(now);
    let seconds = Duration::from_secs(away.unsigned_abs().as_secs());
    let words = humantime::format_duration(seconds);
    if away.is_negative() { format!("at {at} ({words} ago)") } else { format!("at {at} (in {words})") }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {:<13}{value}", format!("{name}:"))
}

/// A titled list; nothing where it is empty.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl Iterator<Item = T>,
    text: impl Fn(T) -> String,
) -> fmt::Result {
    let mut items = items.peekable();
    if items.peek().is_some() {
        writeln!(f, "{title}:")?;
    }
    items.try_for_each(|item| writeln!(f, "  - {}", text(item)))
}
