use axum::http::Request;
use kube::client::Body;

use super::*;

struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

async fn get(address: SocketAddr, path: &str, accept: &str) -> Answer {
    let mut config = kube::Config::new(format!("http://127.0.0.1:{}", address.port()).parse().unwrap());
    // Else a 503 is asked for again, for minutes.
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    let request = Request::get(path).header(ACCEPT, accept).body(Body::empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    let content_type = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.unwrap();
    Answer { status, content_type, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn local() -> Bind {
    Bind::Host("127.0.0.1:0".to_owned())
}

// R38
#[tokio::test]
async fn ready_says_what_is_missing_and_healthy_does_not_care() {
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let runs = readiness.gate("the cache of Runs is not filled yet");
    let crd = readiness.gate("API server not checked yet");
    let endpoint =
        serve_health(&Bind::Port(0), readiness.clone(), Arc::default(), shutdown.clone()).await.unwrap().unwrap();

    crd.waits("the CRD is missing");
    let answer = get(endpoint.address, "/readyz", "*/*").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "the cache of Runs is not filled yet\nthe CRD is missing\n");
    assert_eq!(get(endpoint.address, "/healthz", "*/*").await.status, 200);

    runs.open();
    crd.open();
    assert_eq!(get(endpoint.address, "/readyz", "*/*").await.status, 200);

    assert_eq!(get(endpoint.address, "/debug/runs", "*/*").await.status, 404, "off by default");

    shutdown.cancel();
    endpoint.task.await.unwrap();
}

#[tokio::test]
async fn metrics_come_in_the_form_asked_for() {
    let metrics = Arc::new(Metrics::new());
    let endpoint = serve_metrics(&local(), metrics, CancellationToken::new()).await.unwrap().unwrap();
    let open = get(endpoint.address, "/metrics", "application/openmetrics-text;version=1.0.0").await;
    assert_eq!(open.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    let classic = get(endpoint.address, "/metrics", "*/*").await;
    assert_eq!(classic.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(classic.body.contains("# TYPE marmot_operator_leader_transitions_total counter"), "{}", classic.body);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_the_flag() {
    let first =
        serve_health(&local(), Readiness::default(), Arc::default(), CancellationToken::new()).await.unwrap().unwrap();
    let taken = Bind::Host(first.address.to_string());
    let error = serve_metrics(&taken, Arc::new(Metrics::new()), CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("--metrics-bind-address={taken}: cannot listen")), "{error}");
}

#[tokio::test]
async fn off_is_off() {
    let endpoint =
        serve_health(&Bind::Off, Readiness::default(), Arc::default(), CancellationToken::new()).await.unwrap();
    assert!(endpoint.is_none());
}

/// A replica that leads and has one Run.
fn debug() -> DebugRuns {
    let run = serde_json::json!({
        "metadata": { "namespace": "sales", "name": "orders", "uid": "1" }, "spec": { "runs": [{ "x": {} }] },
    });
    let index = Arc::new(crate::index::Index::default());
    index.apply_run(crate::lenient::Lenient(Ok(serde_json::from_value(run).unwrap()))).unwrap();
    let clock = Arc::new(crate::clock::SystemClock);
    DebugRuns {
        looks: Arc::default(),
        index,
        ticker: Arc::new(crate::ticker::Ticker::new(clock, Arc::default())),
        leadership: tokio::sync::watch::channel(crate::leader::Leadership::alone()).1,
        holder: "me".to_owned(),
    }
}

#[tokio::test]
async fn a_run_is_shown_by_its_name() {
    let shown = Arc::new(OnceLock::new());
    let endpoint = serve_health(&local(), Readiness::default(), Arc::clone(&shown), CancellationToken::new()).await;
    let address = endpoint.unwrap().unwrap().address;
    assert!(shown.set(debug()).is_ok());
    for (path, status, runs) in [
        ("/debug/runs", 200, 1),
        ("/debug/runs?run=sales/orders", 200, 1),
        ("/debug/runs?other&run=sales%2Forders", 200, 1),
        ("/debug/runs?run=orders", 404, 0),
    ] {
        let answer = get(address, path, "*/*").await;
        assert_eq!(answer.status, status, "{path}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_eq!(body["runs"].as_array().map_or(0, Vec::len), runs, "{path}: {body}");
        assert!(status == 404 || body["leading"] == true && body["runs"][0]["run"] == "sales/orders", "{body}");
    }
}
