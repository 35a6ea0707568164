//! Observe → decide → execute, for one Run at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use dashmap::DashMap;
use jiff::Timestamp;
use scheduler::{Effect, sweep};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::execute::{ExecuteError, Executor, Plan};
use crate::index::{Index, Key, KnownJob};
use crate::leader::{Leadership, Term};
use crate::looks::Looks;
use crate::memory::Memory;
use crate::observe::observe;
use crate::queue::{Lane, Queue};
use crate::slots::Slots;
use crate::ticker::Ticker;
use crate::watch::Synced;

/// A Run whose decisions do not come to rest within so many steps is a bug; it must not starve the others.
const MAX_STEPS: usize = 32;
/// Of failures in a row the second is told, and each after so many more.
const TELLING: u32 = 30;

/// The loop's parts.
pub struct Controller {
    /// What the watches have shown.
    pub index: Arc<Index>,
    /// Whether they have shown everything there is.
    pub synced: Arc<Synced>,
    /// Who is looked at next.
    pub queue: Arc<Queue>,
    /// Who is woken when.
    pub ticker: Arc<Ticker>,
    /// API calls.
    pub executor: Executor,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Do we lead?
    pub leadership: watch::Receiver<Leadership>,
    /// Identity of this process in claims.
    pub holder: String,
    /// What this process alone knows.
    pub memory: DashMap<Key, Memory>,
    /// Where decisions are noted, if anybody asks for them.
    pub looks: Option<Arc<Looks>>,
}

/// How a look ended.
enum Rest {
    /// Nothing more to do until then, or until something changes.
    Until(Option<Timestamp>),
    /// Jobs were created. What follows has time until everybody else's Jobs are created.
    Created(Option<Timestamp>),
    /// A call failed: look again after a pause, or at the wake time if that is earlier.
    Failed(ExecuteError, Option<Timestamp>),
}

impl Controller {
    /// Looks at Runs, many at a time, until `stop` says so; then those in progress end. Dropped, it drops them.
    pub async fn work(self: Arc<Self>, stop: CancellationToken) {
        let slots = Arc::new(Slots::default());
        let mut looks = JoinSet::new();
        loop {
            let next = async { (slots.take().await, self.queue.next().await) };
            let (slot, key) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = next => next,
            };
            while looks.try_join_next().is_some() {}
            let (controller, slots) = (Arc::clone(&self), Arc::clone(&slots));
            looks.spawn(async move {
                let _done = Done(&controller.queue, &key);
                let hangs = controller.memory.get(&key).is_some_and(|memory| memory.hangs);
                slots.see_through(slot, hangs, || controller.queue.waits(&key), Box::pin(controller.look(&key))).await;
            });
        }
        while looks.join_next().await.is_some() {}
    }

    async fn look(&self, key: &Key) {
        let term = self.leadership.borrow().term().cloned();
        // What has not been listed yet would count as not there: Jobs, namesakes (R11), CronJobs (R31). Everybody is looked at
        // when all of it has been.
        let term = term.filter(|term| self.synced.is_complete() && term.holds(&self.clock));
        let Some(term) = term else { return self.ticker.arm(key, None) };
        let mut memory = self.memory.remove(key).map(|(_, memory)| memory).unwrap_or_default();
        let in_doubt = memory.in_doubt.clone();
        let rest = self.steps(key, &term, &mut memory).await;
        if let Some(places) = &self.executor.places {
            places.settle(key, &self.index, &memory, &in_doubt);
        }
        let Some(rest) = rest else {
            self.looks.iter().for_each(|looks| looks.forget(key));
            return self.ticker.arm(key, None);
        };
        let wake = match rest {
            Rest::Until(wake) => {
                memory.failures = 0;
                memory.term = Some(term.number());
                wake
            }
            Rest::Created(wake) => {
                self.queue.push(key.clone(), Lane::Change);
                wake
            }
            Rest::Failed(ExecuteError::NotLeading, _) => None,
            Rest::Failed(error, wake) => {
                report(key, &error);
                // Once is nothing, and then every five minutes is enough.
                if let Some(indexed) = self.index.run(key).filter(|_| memory.failures % TELLING == 1) {
                    self.executor.tell_failure(&indexed.run, &error);
                }
                memory.hangs |= matches!(error, ExecuteError::Timeout { .. });
                let again = self.clock.now().saturating_add(memory.back_off()).unwrap_or(Timestamp::MAX);
                Some(wake.map_or(again, |wake| wake.min(again)))
            }
        };
        self.memory.insert(key.clone(), memory);
        self.ticker.arm(key, wake);
    }

    /// Puts away what Runs that are gone have left behind (R30).
    pub async fn sweep(&self) {
        let term = self.leadership.borrow().term().cloned();
        let Some(term) = term.filter(|term| self.synced.is_complete() && term.holds(&self.clock)) else { return };
        let is_due = |job: &KnownJob| job.observed().is_some_and(|job| sweep::is_due(job, self.clock.now()));
        for job in self.index.leftovers().into_iter().filter(|job| is_due(job)) {
            if let Err(error) = self.executor.sweep(&term, &job).await {
                debug!(job = job.name(), %error, "a teardown Job stays for now");
            }
        }
    }

    /// Steps until the Run is at rest; `None` if it is gone.
    async fn steps(&self, key: &Key, term: &Term, memory: &mut Memory) -> Option<Rest> {
        let mut absent = BTreeSet::new();
        let mut wake = None;
        for _ in 0..MAX_STEPS {
            let indexed = self.index.run(key)?;
            let uid = indexed.run.metadata.uid.clone().unwrap_or_default();
            if memory.uid != uid {
                *memory = Memory { uid, ..Memory::default() };
            }
            let mut process = memory.process(&self.holder, term.number(), &absent);
            process.places = self.executor.places.as_ref().map(|places| places.of(key));
            let mut observation = observe(&indexed, &self.index, process, &self.executor.defaults);
            memory.forget_mended(&mut observation);
            if let Err(error) = self.executor.explain_ends(term, &key.namespace, memory, &mut observation).await {
                return Some(Rest::Failed(error, wake));
            }
            let decided = (self.clock.now(), self.clock.monotonic());
            let run = Arc::clone(&indexed.run);
            let mut plan = Plan { run, term, decided, memory: &mut *memory, absent: &mut absent };
            self.executor.tell_late(&mut plan, &observation);
            let decision = scheduler::decide(&observation, decided.0);
            wake = decision.wake;
            self.looks.iter().for_each(|looks| looks.note(key, &observation, &decision, decided.0));
            if decision.effects.is_empty() {
                plan.memory.tidy(&observation);
                return Some(Rest::Until(wake));
            }
            for effect in &decision.effects {
                match self.executor.execute(&mut plan, effect).await {
                    Ok(()) => plan.memory.hangs = false,
                    Err(ExecuteError::Conflict | ExecuteError::Gone { .. }) => {
                        if let Err(error) = self.refresh(key, &mut plan).await {
                            return Some(Rest::Failed(error, wake));
                        }
                        break;
                    }
                    // The next decision renews the claim.
                    Err(ExecuteError::WindowClosed { .. }) => break,
                    Err(error) => return Some(Rest::Failed(error, wake)),
                }
            }
            // What was looked up is known during this look only, and still to be recorded.
            if absent.is_empty() && matches!(decision.effects.last(), Some(Effect::CreateJob(_))) {
                return Some(Rest::Created(wake));
            }
        }
        warn!(run = %key, "no rest after {MAX_STEPS} steps");
        Some(Rest::Failed(ExecuteError::Conflict, wake))
    }

    /// The cache was behind: takes in the Run as the API server holds it.
    async fn refresh(&self, key: &Key, plan: &mut Plan<'_>) -> Result<(), ExecuteError> {
        match self.executor.execute(plan, &Effect::ConfirmRun).await {
            Ok(()) | Err(ExecuteError::Conflict) => Ok(()),
            Err(ExecuteError::Gone { .. }) => {
                self.index.remove_run(&plan.run.metadata);
                debug!(run = %key, "the Run is gone");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// However a look ends, the Run can be looked at again.
struct Done<'a>(&'a Queue, &'a Key);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.done(self.1);
    }
}

/// A conflict is usual; a call that failed is worth a line.
fn report(key: &Key, error: &ExecuteError) {
    if let ExecuteError::Conflict = error {
        debug!(run = %key, %error, "looking again");
    } else {
        warn!(run = %key, %error, "looking again");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use http::{Request, Response};
    use jiff::SignedDuration;
    use kube::Client;
    use kube::client::Body;
    use scheduler::caps::{Limits, Place};
    use scheduler::names;
    use serde_json::{Value, json};
    use tower::{BoxError, service_fn};

    use super::*;
    use crate::clock::SystemClock;
    use crate::events::Events;
    use crate::index::Unfinished;
    use crate::leader;
    use crate::metrics::Metrics;
    use crate::objects::Defaults;
    use crate::places::Places;

    /// Method and path of each call, and its body.
    type Asked = Arc<Mutex<Vec<(String, Value)>>>;

    /// A controller that leads, with an API server that answers nothing but "broken", and what that was asked.
    fn controller(synced: Synced, capped: bool) -> (Controller, Asked) {
        let asked = Asked::default();
        let seen = Arc::clone(&asked);
        let answer = service_fn(move |request: Request<Body>| {
            let seen = Arc::clone(&seen);
            async move {
                let call = format!("{} {}", request.method(), request.uri().path());
                let body = request.into_body().collect_bytes().await?;
                seen.lock().unwrap().push((call, serde_json::from_slice(&body).unwrap_or_default()));
                let broken = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500 });
                let answer = Response::builder().status(500).body(Body::from(broken.to_string().into_bytes()));
                Ok::<_, BoxError>(answer?)
            }
        });
        let client = Client::new(answer, "sales");
        let (metrics, clock) = (Arc::new(Metrics::new()), Arc::new(SystemClock) as Arc<dyn Clock>);
        let (unfinished, queue) = <(Arc<Unfinished>, Arc<Queue>)>::default();
        let places = capped.then(|| {
            let limits = Limits { concurrent_runs: Some(1), starts_per_second: None };
            let (queue, clock, metrics) = (Arc::clone(&queue), Arc::clone(&clock), Arc::clone(&metrics));
            Arc::new(Places::new(limits, Arc::clone(&unfinished), queue, clock, metrics))
        });
        let (leadership, _) = leader::alone(CancellationToken::new(), &metrics);
        let index = Arc::new(Index::counting(unfinished));
        let controller = Controller {
            index: Arc::clone(&index),
            synced: Arc::new(synced),
            queue: Arc::clone(&queue),
            ticker: Arc::new(Ticker::new(Arc::clone(&clock), queue)),
            executor: Executor {
                events: Events::start(client.clone(), "me".to_owned(), Arc::clone(&metrics)).0,
                client,
                index,
                clock: Arc::clone(&clock),
                defaults: Defaults::default(),
                metrics,
                places,
            },
            clock,
            leadership,
            holder: "me".to_owned(),
            memory: DashMap::new(),
            looks: None,
        };
        (controller, asked)
    }

    fn run() -> Value {
        json!({
            "metadata": { "namespace": "sales", "name": "orders", "uid": "1", "generation": 1, "resourceVersion": "1",
                          "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "runs": [{ "x": {} }], "teardownOnDelete": false },
        })
    }

    fn apply(controller: &Controller, run: &Value) -> Key {
        controller.index.apply_run(serde_json::from_value(run.clone()).unwrap()).unwrap().unwrap()
    }

    // R11, R30, R31: no Job, no namesake and no CronJob may merely not have been listed yet.
    #[tokio::test]
    async fn nothing_is_decided_before_everything_has_been_seen() {
        for (synced, acts) in [(Synced::default(), false), (Synced::complete(), true)] {
            let (controller, asked) = controller(synced, false);
            controller.look(&apply(&controller, &run())).await;
            assert_eq!(!asked.lock().unwrap().is_empty(), acts, "{asked:?}");
        }
    }

    // R16: what was stored, although its answer was lost, is told once.
    #[tokio::test]
    async fn the_news_of_a_write_without_an_answer_is_told() {
        let (controller, asked) = controller(Synced::complete(), false);
        let is_news = |body: &Value| body["reason"] != "FailedUpdate";
        let events =
            || asked.lock().unwrap().iter().filter(|(call, body)| call.ends_with("/events") && is_news(body)).count();
        let mut run = run();
        controller.look(&apply(&controller, &run)).await;
        let stored =
            asked.lock().unwrap().iter().find(|(call, _)| call.ends_with("/status")).unwrap().1["status"].clone();
        (run["status"], run["metadata"]["resourceVersion"]) = (stored, json!("2"));
        assert_eq!(events(), 0);
        let key = apply(&controller, &run);
        for _ in 0..2 {
            controller.look(&key).await;
            let told = async {
                while events() == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
        }
        assert_eq!(events(), 1);

        // A write that changes no more than conditions, and was not stored.
        (run["status"]["conditions"], run["metadata"]["resourceVersion"]) = (json!([]), json!("3"));
        apply(&controller, &run);
        for _ in 0..2 {
            controller.look(&key).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(events(), 1);
    }

    // R38: where its status cannot be written, only an event can say so; once may be nothing.
    #[tokio::test]
    async fn what_cannot_be_written_is_told_the_second_time() {
        let (controller, asked) = controller(Synced::complete(), false);
        let key = apply(&controller, &run());
        controller.look(&key).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(asked.lock().unwrap().iter().all(|(call, _)| !call.ends_with("/events")));
        for _ in 0..3 {
            controller.look(&key).await;
        }
        let told = || {
            let asked = asked.lock().unwrap();
            let events = asked.iter().filter(|(call, _)| call.ends_with("/events"));
            events.map(|(_, body)| (body["reason"].clone(), body["note"].clone())).collect::<Vec<_>>()
        };
        let wait = async {
            while told().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
        assert_eq!(told().len(), 1, "{:?}", told());
        assert_eq!(told()[0].0, "FailedUpdate");
    }

    // R8, R39: whoever made the ConfigMap what it should be, nothing refuses it any more.
    #[tokio::test]
    async fn a_config_map_that_is_there_is_not_refused() {
        let (mut controller, _) = controller(Synced::complete(), false);
        controller.executor.defaults = Defaults {
            marmot: crate::marmot::Address::given("http://marmot"),
            image: "marmot".to_owned(),
            ..Defaults::default()
        };
        let key = apply(&controller, &run());
        let is_refused = || controller.memory.get(&key).unwrap().refused.contains_key(names::CONFIG);
        for refused in [false, true] {
            controller.look(&key).await;
            assert_eq!(is_refused(), refused);
        }
        let indexed = controller.index.run(&key).unwrap();
        let text = crate::pipeline::render("orders", indexed.run.spec.runs.get()).unwrap();
        let mut metadata = crate::objects::config_map(&indexed.run, &text).metadata;
        (metadata.uid, metadata.resource_version) = (Some("2".to_owned()), Some("7".to_owned()));
        let hash = crate::objects::content_hash(&text);
        controller.index.apply_config(&crate::light::LightConfigMap { metadata, hash });
        controller.look(&key).await;
        assert!(!is_refused());
    }

    // A Run that goes while nobody knows what became of its create gives its place back: else it is nobody's for ever.
    #[tokio::test]
    async fn a_run_that_is_gone_keeps_no_place() {
        let (controller, _) = controller(Synced::complete(), true);
        let places = Arc::clone(controller.executor.places.as_ref().unwrap());
        let turns = Arc::clone(&places);
        let (index, synced) = (Arc::clone(&controller.index), Arc::clone(&controller.synced));
        let leadership = controller.leadership.clone();
        tokio::spawn(async move { turns.run(&index, &synced, leadership).await });
        let key = Key { namespace: "sales".into(), name: "orders".into() };
        let now = controller.clock.now();
        places.ask(&key, "orders-1", now.saturating_sub(SignedDuration::from_secs(1)).unwrap(), false);
        while places.of(&key).get("orders-1") != Some(&Place::Free) {
            tokio::task::yield_now().await;
        }
        let in_doubt = [("orders-1".to_owned(), 1)].into();
        controller.memory.insert(key.clone(), Memory { in_doubt, ..Memory::default() });
        controller.look(&key).await;
        assert!(places.of(&key).is_empty());
    }
}
