//! What has to be true before Runs can be watched: an API server that answers, and a CRD that knows every field this
//! operator reads or writes. Neither is a reason to exit: both are waited for (R38).

use std::error::Error as StdError;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::time::Instant;

use crate::admin::Gate;
use crate::api_error::{chain, words};
use crate::args::ServerArgs;

/// Where every authenticated user may read the schema of Run, so that a namespaced Role suffices.
const SCHEMA_PATH: &str = "/openapi/v3/apis/runs.marmotdata.io/v1alpha1";
/// Who the operator says it is: audit logs tell by it what it did.
pub const AGENT: &str = concat!("marmot-operator/", env!("CARGO_PKG_VERSION"));
/// Longest wait for the schema, in one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest pause between two attempts (R38).
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The same trouble is told again after this time.
const REMIND: Duration = Duration::from_secs(60);
/// How many missing fields a message names.
const NAMED_FIELDS: usize = 5;

/// Why the operator cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Preflight {
    /// No kubeconfig and no pod's ServiceAccount to be found, or one that cannot be used.
    #[error("no usable API server configuration: {0}; give --kubeconfig (and --context), or set KUBECONFIG")]
    NotConfigured(String),
    /// No answer.
    #[error(
        "the API server at {server} does not answer: {cause}; another one is chosen with --kubeconfig, --context or KUBECONFIG"
    )]
    Unreachable {
        /// Its URL.
        server: String,
        /// What happened.
        cause: String,
    },
    /// An answer, but not to us.
    #[error(
        "the API server at {server} refuses to show the schema of Run: {cause}; check the credentials, and that the ClusterRole system:discovery is bound to them"
    )]
    Refused {
        /// Its URL.
        server: String,
        /// What it said.
        cause: String,
    },
    /// Run is not installed.
    #[error(
        "the CRD runs.runs.marmotdata.io is missing; install it: marmot-operator crd | kubectl apply --server-side --force-conflicts -f -"
    )]
    CrdMissing,
    /// Run is installed by an older operator.
    #[error(
        "the CRD runs.runs.marmotdata.io is older than this operator (it lacks {}); update it: \
         marmot-operator crd | kubectl apply --server-side --force-conflicts -f -",
        named(.0)
    )]
    CrdOutdated(Vec<String>),
}

/// The API server to talk to: the kubeconfig named, else what kube finds by itself. `agent` is who we say we are.
///
/// # Errors
/// [`Preflight::NotConfigured`].
pub async fn configure(server: &ServerArgs, agent: &'static str) -> Result<kube::Config, Preflight> {
    let ServerArgs { kubeconfig, context } = server;
    let failed = |error: &dyn StdError| Preflight::NotConfigured(chain(error));
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let mut config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| failed(&error))?
        }
        None if context.is_some() => kube::Config::from_kubeconfig(&options).await.map_err(|error| failed(&error))?,
        None => kube::Config::infer().await.map_err(|error| failed(&error))?,
    };
    // HTTPS_PROXY is for other servers than this machine's own.
    if config.cluster_url.host().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host)) {
        config.proxy_url = None;
    }
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    Ok(config)
}

/// Checks once that the API server answers and that its CRD of Run knows every field of ours. `server` is its URL, for
/// the messages.
///
/// # Errors
/// Each variant of [`Preflight`] but `NotConfigured`.
pub async fn check(client: &kube::Client, server: &str) -> Result<(), Preflight> {
    let unreachable = |cause| Preflight::Unreachable { server: server.to_owned(), cause };
    let request = http::Request::get(SCHEMA_PATH).body(Vec::new()).map_err(|error| unreachable(chain(&error)))?;
    let answer = tokio::time::timeout(TIMEOUT, client.request::<Value>(request)).await;
    let document = match answer {
        Ok(Ok(document)) => document,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Err(Preflight::CrdMissing),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
            return Err(Preflight::Refused { server: server.to_owned(), cause: status.message.clone() });
        }
        Ok(Err(error)) => return Err(unreachable(words(&error))),
        Err(_) => return Err(unreachable(format!("nothing came within {} s", TIMEOUT.as_secs()))),
    };
    let installed = served_schema(&document).ok_or(Preflight::CrdMissing)?;
    let missing = missing_fields(&crds::crd(), installed);
    if missing.is_empty() { Ok(()) } else { Err(Preflight::CrdOutdated(missing)) }
}

/// Repeats [`check`] until it succeeds, with growing pauses of at most 10 s (R38), and opens `gate` then. Until then the
/// trouble stands in the log, once a minute while it lasts, and in `/readyz`. Not to be called before the endpoints
/// are served.
pub async fn wait(client: &kube::Client, server: &str, gate: Gate) {
    let mut pause = Duration::from_secs(1);
    let mut told: Option<(String, Instant)> = None;
    while let Err(trouble) = check(client, server).await {
        let message = trouble.to_string();
        if told.as_ref().is_none_or(|(last, when)| *last != message || when.elapsed() >= REMIND) {
            tracing::warn!("{message}");
            gate.waits(message.as_str());
            told = Some((message, Instant::now()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    if told.is_some() {
        tracing::info!(server, "the API server answers and its CRD is right; going on");
    }
    gate.open();
}

/// The schema of Run in an OpenAPI v3 document.
fn served_schema(document: &Value) -> Option<&Value> {
    let is_run = |schema: &&Value| {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind.get("kind").is_some_and(|kind| kind == "Run")))
    };
    document.get("components")?.get("schemas")?.as_object()?.values().find(is_run)
}

/// Fields of spec and status that `crd` has and `served` lacks. A field that the API server does not know is dropped
/// from what we write without a word.
fn missing_fields(crd: &CustomResourceDefinition, served: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for version in &crd.spec.versions {
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let wanted = serde_json::to_value(schema).unwrap_or_default();
        for part in ["spec", "status"] {
            let part_of = |schema: &Value| schema.get("properties").and_then(|fields| fields.get(part)).cloned();
            let wanted = part_of(&wanted).unwrap_or_default();
            match part_of(served) {
                Some(served) => compare(part, &wanted, &served, &mut missing),
                None => missing.push(part.to_owned()),
            }
        }
    }
    missing
}

/// Walks two schemas down, collecting the paths of fields that only the wanted one has.
fn compare(path: &str, wanted: &Value, served: &Value, missing: &mut Vec<String>) {
    let fields = wanted.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (name, wanted) in fields {
        let path = format!("{path}.{name}");
        match served.get("properties").and_then(|fields| fields.get(name)) {
            Some(served) => compare(&path, wanted, served, missing),
            None if is_open(served) => {}
            None => missing.push(path),
        }
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let (Some(wanted), Some(served)) = (wanted.get(key), served.get(key)) {
            compare(&format!("{path}{mark}"), wanted, served, missing);
        }
    }
}

/// The schema keeps fields that it does not name.
fn is_open(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
}

/// The first few of many fields.
fn named(fields: &[String]) -> String {
    let first: Vec<&str> = fields.iter().take(NAMED_FIELDS).map(String::as_str).collect();
    let more = fields.len().saturating_sub(NAMED_FIELDS);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    first.join(", ") + &tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Readiness;
    use serde_json::json;

    /// The CRD as the API server publishes it, changed by `edit`.
    fn published(edit: impl FnOnce(&mut Value)) -> Value {
        let crd = crds::crd();
        let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema;
        let mut schema = serde_json::to_value(schema).unwrap();
        schema["x-kubernetes-group-version-kind"] = json!([{"group": "runs.marmotdata.io", "kind": "Run"}]);
        edit(&mut schema);
        json!({"components": {"schemas": {"list": {}, "run": schema}}})
    }

    fn missing(document: &Value) -> Vec<String> {
        missing_fields(&crds::crd(), served_schema(document).unwrap())
    }

    #[test]
    fn the_own_crd_lacks_nothing() {
        assert_eq!(missing(&published(|_| {})), Vec::<String>::new());
    }

    #[test]
    fn an_older_crd_is_recognized_by_the_fields_it_lacks() {
        let document = published(|schema| {
            schema["properties"]["spec"]["properties"].as_object_mut().unwrap().remove("timeZone").unwrap();
            schema["properties"].as_object_mut().unwrap().remove("status").unwrap();
        });
        assert_eq!(missing(&document), ["spec.timeZone", "status"]);
        let message = Preflight::CrdOutdated(missing(&document)).to_string();
        assert!(message.contains("(it lacks spec.timeZone, status)"), "{message}");
        assert!(
            message.contains("marmot-operator crd | kubectl apply --server-side --force-conflicts -f -"),
            "{message}"
        );
    }

    #[test]
    fn nested_fields_count_and_open_schemas_lack_nothing() {
        let wanted = json!({"properties": {"env": {"items": {"properties": {"name": {}}}}, "labels": {}}});
        let mut lacks = Vec::new();
        compare("spec", &wanted, &json!({"properties": {"env": {"items": {}}}}), &mut lacks);
        assert_eq!(lacks, ["spec.env[].name", "spec.labels"]);
        lacks.clear();
        compare("spec", &wanted, &json!({"x-kubernetes-preserve-unknown-fields": true}), &mut lacks);
        assert!(lacks.is_empty());
    }

    #[test]
    fn long_lists_are_cut() {
        let fields: Vec<String> = (0..8).map(|n| format!("f{n}")).collect();
        assert_eq!(named(&fields), "f0, f1, f2, f3, f4 and 3 more");
    }

    /// A URL nobody listens at.
    fn nowhere() -> (kube::Client, String) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let client = kube::Client::try_from(kube::Config::new(server.parse().unwrap())).unwrap();
        (client, server)
    }

    #[tokio::test]
    async fn an_api_server_that_is_away_is_named_with_the_flags_that_choose_another() {
        let (client, server) = nowhere();
        let message = check(&client, &server).await.unwrap_err().to_string();
        assert!(message.contains(&server) && message.contains("--kubeconfig"), "{message}");
        assert!(message.contains("refused"), "{message}");
    }

    // R38
    #[tokio::test]
    async fn an_api_server_that_is_away_is_waited_for() {
        let (client, server) = nowhere();
        let readiness = Readiness::default();
        let gate = readiness.gate("not checked");
        let waiting = tokio::time::timeout(Duration::from_millis(1500), wait(&client, &server, gate)).await;
        assert!(waiting.is_err());
        assert!(readiness.missing()[0].contains("does not answer"), "{:?}", readiness.missing());
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_an_error_that_names_the_flag() {
        let server = ServerArgs { kubeconfig: Some("/nowhere/kubeconfig".into()), context: None };
        let error = configure(&server, AGENT).await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/kubeconfig") && error.contains("--kubeconfig"), "{error}");
    }
}
