//! Kubernetes events: last in line, never able to slow a tick. What does not fit is dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use scheduler::decision::News;
use scheduler::state::{Outcome, RunKind, RunResult, SkipReason, Skipped};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::metrics::Metrics;

/// Events waiting to be written.
const BACKLOG: usize = 1024;
const ACTION_RUN: &str = "Run";
const FAILED_CREATE: &str = "FailedCreate";
const FAILED_UPDATE: &str = "FailedUpdate";
const FORBIDDEN: &str = "ConcurrencyForbidden";
const TRIGGER_QUEUED: &str = "TriggerQueued";
/// Time limit of one write: those that follow must not wait for ever.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a note that the API server takes.
const LONGEST_NOTE: usize = 1024;

/// Writes events out.
pub struct Writer {
    task: tokio::task::JoinHandle<()>,
    last: CancellationToken,
}

impl Writer {
    /// Writes what is in line, takes nothing more, and ends.
    pub async fn finish(self) {
        self.last.cancel();
        let _ = self.task.await;
    }
}

/// Where events are put in line.
#[derive(Clone)]
pub struct Events {
    line: mpsc::Sender<(ObjectReference, Event)>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// The line, and who writes it out until he is told to [`finish`](Writer::finish), or all `Events` are gone.
    #[must_use]
    pub fn start(client: Client, instance: String, metrics: Arc<Metrics>) -> (Self, Writer) {
        let (line, mut waiting) = mpsc::channel::<(ObjectReference, Event)>(BACKLOG);
        let reporter = Reporter { controller: "marmot-operator".to_owned(), instance: Some(instance) };
        let recorder = move || Recorder::new(client.clone(), reporter.clone());
        let (dropped, last) = (Arc::clone(&metrics), CancellationToken::new());
        let closing = last.clone();
        let task = tokio::spawn(async move {
            // Keeps what it wrote for six minutes, and looks through all of it for each event.
            let repeated = recorder();
            loop {
                let next = tokio::select! {
                    biased;
                    next = waiting.recv() => next,
                    () = closing.cancelled(), if !waiting.is_closed() => {
                        waiting.close();
                        continue;
                    }
                };
                let Some((about, event)) = next else { return };
                let recorder = if may_repeat(&event) { &repeated } else { &recorder() };
                let written = tokio::time::timeout(TIMEOUT, recorder.publish(&event, &about)).await;
                if let Err(error) = written.map_err(|_| None).and_then(|written| written.map_err(Some)) {
                    debug!(?error, reason = event.reason, "event not written");
                    dropped.events_dropped(1);
                }
            }
        });
        (Self { line, metrics }, Writer { task, last })
    }

    /// Puts an event about a Run in line.
    pub fn publish(&self, about: &ObjectReference, event: Event) {
        if self.line.try_send((about.clone(), event)).is_err() {
            self.metrics.events_dropped(1);
        }
    }
}

/// It may be told again and again of the same Run and Job: then it is counted in the event that is there, whose words stay.
/// Whatever else is told has words of its own.
fn may_repeat(event: &Event) -> bool {
    [FAILED_CREATE, FAILED_UPDATE, FORBIDDEN, TRIGGER_QUEUED].contains(&event.reason.as_str())
}

/// The event for a piece of news.
#[must_use]
pub fn event_for(news: &News, namespace: &str) -> Event {
    match news {
        News::Started { job, kind, tick, .. } => {
            let what = match (kind, tick) {
                (RunKind::Scheduled, Some(tick)) => format!("Created Job {job} for the tick of {tick}"),
                (RunKind::Trigger, _) => format!("Created Job {job} for the trigger annotation"),
                (RunKind::Teardown, _) => format!("Created Job {job} to remove from Marmot what the Run brought in"),
                _ => format!("Created Job {job}"),
            };
            let reason = if *kind == RunKind::Teardown { "TearingDown" } else { "SuccessfulCreate" };
            about(job, namespace, event(EventType::Normal, reason, &what))
        }
        News::Finished(result) => about(&result.job, namespace, finished(result)),
        News::Skipped(skipped) => event(EventType::Warning, skip_reason(skipped.reason), &describe(skipped)),
        News::Problem { reason, message } => event(EventType::Warning, reason, message),
        News::TeardownSkipped { why, .. } => {
            event(EventType::Warning, "TeardownSkipped", &format!("The Run goes without a teardown: {why}"))
        }
        News::TookOver { cron_job } => {
            let note =
                format!("The ticks of CronJob {cron_job} are run without it from now on; its Jobs belong to the Run");
            event(EventType::Normal, "TookOver", &note)
        }
        News::NothingTornDown => event(
            EventType::Warning,
            "NothingTornDown",
            "The teardown found nothing to remove. Assets of a run that was killed or lost its completion may remain in \
             Marmot: create the Run again, let it finish once, and delete it",
        ),
        News::TriggerQueued => event(EventType::Normal, TRIGGER_QUEUED, "The trigger waits for the active run to end"),
        News::StartDelayed { message } => event(EventType::Normal, "StartDelayed", message),
        News::InvalidTrigger { value } => event(
            EventType::Warning,
            "InvalidTrigger",
            &format!("Annotation runs.marmotdata.io/trigger is {value:?}; only \"true\" starts a run"),
        ),
    }
}

/// The event for a refused create (R39, R10).
#[must_use]
pub fn refused(job: &str, namespace: &str, message: &str) -> Event {
    let note = format!("Error creating Job {job}: {message}");
    about(job, namespace, event(EventType::Warning, FAILED_CREATE, &note))
}

/// The event for a call that fails again and again (R38).
#[must_use]
pub fn failed(message: &str) -> Event {
    event(EventType::Warning, FAILED_UPDATE, &format!("It is tried again: {message}"))
}

/// The event for a deleted stray (R33).
#[must_use]
pub fn stray(job: &str, namespace: &str) -> Event {
    let note = format!("Deleted Job {job}, which nothing accounts for");
    about(job, namespace, event(EventType::Warning, "StrayJob", &note))
}

/// The event for a Job that was stopped because its Run goes, or its teardown is called off (R30).
#[must_use]
pub fn stopped(job: &str, namespace: &str) -> Event {
    let note = format!("Deleted Job {job} because the Run is being deleted");
    about(job, namespace, event(EventType::Normal, "Stopped", &note))
}

/// The event for a Job that made way (R18).
#[must_use]
pub fn replaced(job: &str, namespace: &str) -> Event {
    let note = format!("Deleted Job {job} to make way for a newer run");
    about(job, namespace, event(EventType::Normal, "Replaced", &note))
}

/// Names the Job besides the Run: events about two Jobs are two events, not one that happened twice.
fn about(job: &str, namespace: &str, event: Event) -> Event {
    let secondary = ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        name: Some(job.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    };
    Event { secondary: Some(secondary), ..event }
}

fn event(type_: EventType, reason: &str, note: &str) -> Event {
    let end = |(at, letter): (usize, char)| at + letter.len_utf8();
    let end = note.char_indices().map(end).take_while(|end| *end <= LONGEST_NOTE).last().unwrap_or_default();
    let note = note.get(..end).unwrap_or_default().to_owned();
    Event { type_, reason: reason.to_owned(), note: Some(note), action: ACTION_RUN.to_owned(), secondary: None }
}

fn finished(result: &RunResult) -> Event {
    let mut note = format!("Job {} ended: {:?}", result.job, result.outcome);
    for part in [result.reason.as_deref(), result.message.as_deref()].into_iter().flatten() {
        note.push_str(": ");
        note.push_str(part);
    }
    match (result.kind, result.outcome) {
        (RunKind::Teardown, Outcome::Succeeded) => event(EventType::Normal, "TornDown", &note),
        (RunKind::Teardown, _) => event(EventType::Warning, "TeardownFailed", &note),
        // A source that holds nothing is rarely what was meant (R36).
        (_, Outcome::Succeeded) if result.reason.as_deref() == Some("NoAssets") => {
            event(EventType::Warning, "NoAssets", &note)
        }
        (_, Outcome::Succeeded) => event(EventType::Normal, "SawCompletedJob", &note),
        (_, Outcome::Partial | Outcome::Failed | Outcome::Killed) => event(EventType::Warning, "RunFailed", &note),
    }
}

fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::ConcurrencyForbidden => FORBIDDEN,
        _ => "MissedTick",
    }
}

fn describe(skipped: &Skipped) -> String {
    let reason = skipped.reason.as_str();
    if skipped.count == 1 {
        format!("The tick of {} was not run: {reason}", skipped.to)
    } else {
        format!("{} ticks from {} to {} were not run: {reason}", skipped.count, skipped.from, skipped.to)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Method, Request, Response};
    use kube::client::Body;
    use tower::{BoxError, service_fn};

    use super::*;

    // What happens once is not kept for six minutes to be counted: ten thousand Jobs at a time would be 20 MB.
    #[tokio::test]
    async fn only_what_may_repeat_is_counted() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let answer = service_fn(move |request: Request<Body>| {
            seen.lock().unwrap().push(request.method().clone());
            async move {
                let body = request.into_body().collect_bytes().await?;
                Ok::<_, BoxError>(Response::new(Body::from(body)))
            }
        });
        let metrics = Arc::new(Metrics::new());
        let (events, writer) = Events::start(Client::new(answer, "sales"), "me".to_owned(), metrics);
        let run = ObjectReference { name: Some("orders".to_owned()), ..ObjectReference::default() };
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let started = News::Started { job: "orders-1".to_owned(), kind: RunKind::OneShot, tick: None, created_at: at };
        let told: [&dyn Fn() -> Event; 3] =
            [&|| event_for(&started, "sales"), &|| event_for(&News::TriggerQueued, "sales"), &|| {
                refused("orders-2", "sales", "exceeded quota")
            }];
        for tell in told {
            events.publish(&run, tell());
            events.publish(&run, tell());
        }
        writer.finish().await;
        let (new, counted) = (Method::POST, Method::PATCH);
        assert_eq!(*asked.lock().unwrap(), [&new, &new, &new, &counted, &new, &counted].map(Clone::clone));
    }

    // Else one event that is never answered would be the last.
    #[tokio::test(start_paused = true)]
    async fn an_event_that_is_not_answered_holds_up_no_others_for_long() {
        let asked = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&asked);
        let hang = service_fn(move |_: Request<Body>| {
            seen.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<Result<Response<Body>, BoxError>>()
        });
        let (events, writer) = Events::start(Client::new(hang, "sales"), "me".to_owned(), Arc::new(Metrics::new()));
        for job in ["orders-1", "orders-2"] {
            events.publish(&ObjectReference::default(), stray(job, "sales"));
        }
        tokio::time::timeout(TIMEOUT * 3, writer.finish()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    // The API server counts bytes.
    #[test]
    fn a_note_is_cut_between_letters() {
        for (letter, kept) in [("a", 1024), ("ж", 512), ("界", 341)] {
            let note = event(EventType::Normal, "Reason", &letter.repeat(2000)).note.unwrap();
            assert_eq!(note, letter.repeat(kept));
        }
        assert_eq!(event(EventType::Normal, "Reason", "short").note.as_deref(), Some("short"));
    }
}
