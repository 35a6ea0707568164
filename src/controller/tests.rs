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
    let stored = asked.lock().unwrap().iter().find(|(call, _)| call.ends_with("/status")).unwrap().1["status"].clone();
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
