//! `/healthz`, `/readyz` and `/metrics`; `/debug/runs` where it is asked for.

mod exposition;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::Bind;
use crate::looks::DebugRuns;
use crate::metrics::Metrics;

/// How long open requests have to end at shutdown.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the process still waits for before it counts as ready: caches, never leadership (R35, R38). Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// What is missing, by the order of registration; `None` once it is there.
    gates: Arc<Mutex<Vec<Option<String>>>>,
}

/// One thing that has to be there. Once it is, it stays: an API server that goes away later does not make a replica
/// with full caches unready.
#[derive(Debug)]
pub struct Gate {
    readiness: Readiness,
    index: usize,
}

impl Readiness {
    /// Adds something to wait for; `missing` says in words that it is not there yet.
    #[must_use]
    pub fn gate(&self, missing: &str) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.push(Some(missing.to_owned()));
        Gate { readiness: self.clone(), index: gates.len() - 1 }
    }

    /// Everything that is missing; empty when ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }

    fn set(&self, index: usize, missing: Option<String>) {
        if let Some(gate) = self.gates.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            *gate = missing;
        }
    }
}

impl Gate {
    /// It is there, for good.
    pub fn open(self) {
        self.readiness.set(self.index, None);
    }

    /// It is still not there, and this is why.
    pub fn waits(&self, missing: impl Into<String>) {
        self.readiness.set(self.index, Some(missing.into()));
    }
}

/// An endpoint that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("--{flag}={address}: cannot listen there: {source}; choose another address, or 0 to turn the endpoint off")]
pub struct BindError {
    /// The flag that names the address.
    flag: &'static str,
    address: Bind,
    source: io::Error,
}

/// An endpoint that is being served.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub address: SocketAddr,
    /// Ends when `shutdown` was cancelled and open requests are answered, or half a second later.
    pub task: JoinHandle<()>,
}

/// Serves `/healthz` (this process answers; says nothing about the API server, whose absence no restart mends),
/// `/readyz` (everything of `readiness` is there; else 503 and what is missing, a line each) and, once there is something
/// to show, `/debug/runs`. `None` when turned off.
///
/// # Errors
/// Where the address of `--health-probe-bind-address` cannot be listened on.
pub async fn serve_health(
    bind: &Bind,
    readiness: Readiness,
    debug: Arc<OnceLock<DebugRuns>>,
    shutdown: CancellationToken,
) -> Result<Option<Endpoint>, BindError> {
    let ready = move || {
        let missing = readiness.missing();
        let answer = if missing.is_empty() {
            (StatusCode::OK, "ok\n".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
        };
        std::future::ready(answer)
    };
    let runs = move |uri: Uri| std::future::ready(debug_runs(debug.get(), &uri));
    let router = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready));
    let router = router.route("/debug/runs", get(runs));
    serve("health-probe-bind-address", bind, router, shutdown).await
}

/// `?run=namespace/name` asks for one Run.
fn debug_runs(debug: Option<&DebugRuns>, uri: &Uri) -> Response {
    let Some(debug) = debug else {
        return (StatusCode::NOT_FOUND, "turned off, or not ready yet: --debug-endpoint turns it on\n").into_response();
    };
    let query = uri.query().unwrap_or_default().split('&');
    let run = query.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == "run");
    let run = run.map(|(_, run)| run.replace("%2F", "/").replace("%2f", "/"));
    match debug.answer(run.as_deref()) {
        Some(answer) => ([(CONTENT_TYPE, "application/json")], format!("{answer:#}\n")).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such Run; write ?run=namespace/name\n").into_response(),
    }
}

/// Serves `/metrics`, in `OpenMetrics` to those who ask for it and in the classic Prometheus text form to all others.
/// `None` when turned off.
///
/// # Errors
/// Where the address of `--metrics-bind-address` cannot be listened on.
pub async fn serve_metrics(
    bind: &Bind,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<Option<Endpoint>, BindError> {
    let scrape = move |headers: HeaderMap| {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (form, metrics) = (exposition::negotiate(accept), Arc::clone(&metrics));
        async move {
            // Goes through all Runs: on a pod with less than a core there is one worker, and ticks would wait for it.
            let answer = tokio::task::spawn_blocking(move || match metrics.encode() {
                Ok(text) => ([(CONTENT_TYPE, form.content_type())], form.render(text)).into_response(),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
            });
            answer.await.unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response())
        }
    };
    serve("metrics-bind-address", bind, Router::new().route("/metrics", get(scrape)), shutdown).await
}

async fn serve(
    flag: &'static str,
    bind: &Bind,
    router: Router,
    shutdown: CancellationToken,
) -> Result<Option<Endpoint>, BindError> {
    let failed = |source| BindError { flag, address: bind.clone(), source };
    let Some(listener) = listen(bind).await.map_err(failed)? else { return Ok(None) };
    let address = listener.local_addr().map_err(failed)?;
    let task = tokio::spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        // A client that keeps its connection open must not keep the process alive.
        let patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            ended = server => if let Err(error) = ended {
                tracing::error!(%error, flag, "the endpoint ended");
            },
            () = patience => {}
        }
    });
    Ok(Some(Endpoint { address, task }))
}

async fn listen(bind: &Bind) -> io::Result<Option<TcpListener>> {
    match bind {
        Bind::Off => Ok(None),
        Bind::Host(address) => TcpListener::bind(address).await.map(Some),
        // The IPv6 wildcard takes IPv4 too, as in Go; there may be no IPv6.
        Bind::Port(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).await.map(Some)
            }
            listener => listener.map(Some),
        },
    }
}

#[cfg(test)]
mod tests;
