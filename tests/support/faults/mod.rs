//! A layer of faults between one operator process and the API server. It stands in front of a whole process, so that a
//! crash is a crash: requests go through it over plain HTTP on loopback, and to the API server with the rights of the
//! client it is given.

pub mod call;
pub mod fault;
pub mod turns;
mod views;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use call::Call;
use fault::{Fault, Side, refusal};
use turns::Turns;
pub use views::Views;

/// The layer in front of one process.
pub struct Layer {
    client: Client,
    kubeconfig: PathBuf,
    /// Its lists and watches.
    pub views: Views,
    turns: Option<Turns>,
    counts: fn(&Call) -> bool,
    process: AtomicI32,
    crashes: watch::Sender<usize>,
    record: Mutex<Record>,
    server: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Record {
    /// The calls that count, since counting began.
    calls: Vec<Call>,
    counting: bool,
    fault: Option<(usize, Fault)>,
    struck: bool,
    last: Option<Instant>,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("connection closed")]
    Close,
    #[error("connection reset")]
    Reset,
}

type Answer = Result<Response<UnsyncBoxBody<Bytes, std::convert::Infallible>>, End>;

impl Layer {
    /// Serves on a port of its own until dropped; `name` is that of its kubeconfig. Only calls that `counts` picks are
    /// recorded and struck, and wait for `turns`.
    pub async fn start(name: &str, client: Client, counts: fn(&Call) -> bool, turns: Option<Turns>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "layer",
            "clusters": [{ "name": "layer", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "layer", "user": {} }],
            "contexts": [{ "name": "layer", "context": { "cluster": "layer", "user": "layer" } }],
        });
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.kubeconfig"));
        std::fs::write(&path, kubeconfig.to_string()).expect("the kubeconfig can be written");
        let layer = Arc::new(Self {
            client,
            kubeconfig: path,
            views: Views::default(),
            turns,
            counts,
            process: AtomicI32::new(0),
            crashes: watch::Sender::new(0),
            record: Mutex::default(),
            server: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::downgrade(&layer)));
        *layer.server.lock().unwrap() = Some(server.abort_handle());
        layer
    }

    /// For the process behind it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// This process is behind it now.
    pub fn stands_before(&self, process: u32) {
        self.process.store(process.try_into().expect("a process id"), Ordering::Release);
    }

    /// Calls are counted from here on; the first one is number 1.
    pub fn count(&self) {
        let mut record = self.record.lock().unwrap();
        record.calls.clear();
        record.counting = true;
    }

    /// Strikes one call, by its number.
    pub fn strike(&self, call: usize, fault: Fault) {
        self.record.lock().unwrap().fault = Some((call, fault));
    }

    /// The call that was to be struck has come.
    pub fn has_struck(&self) -> bool {
        self.record.lock().unwrap().struck
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.record.lock().unwrap().calls.clone()
    }

    /// How long ago the last call came that belongs to a decision.
    pub fn quiet_for(&self) -> Duration {
        self.record.lock().unwrap().last.map_or(Duration::MAX, |last| last.elapsed())
    }

    /// How often the process was killed.
    pub fn crashes(&self) -> watch::Receiver<usize> {
        self.crashes.subscribe()
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let call = Call::of(request.method(), request.uri());
        let list = request.uri().to_string();
        if call.verb == "list"
            && call.follows()
            && let Some(old) = self.views.old(&list)
        {
            let answer = Response::builder().header(header::CONTENT_TYPE, "application/json").body(old);
            return Ok(whole(answer.expect("a response")));
        }
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(header::HOST);
        if call.verb == "watch" {
            let answer = self.client.send(Request::from_parts(parts, Body::empty())).await.map_err(|_| End::Close)?;
            let mut watch = Response::builder().status(answer.status());
            if let Some(kind) = answer.headers().get(header::CONTENT_TYPE) {
                watch = watch.header(header::CONTENT_TYPE, kind);
            }
            let events = self.views.stream(answer).map(|chunk| chunk.map(Frame::data));
            return Ok(watch.body(StreamBody::new(events).boxed_unsync()).expect("a response"));
        }
        let body = body.collect().await.map_err(|_| End::Close)?.to_bytes();
        let request = Request::from_parts(parts, Body::from(body));
        // What is on its way arrives, whether or not anybody waits for the answer any more.
        let passed = tokio::spawn(async move {
            let turn = match &self.turns {
                Some(turns) if (self.counts)(&call) => Some(turns.take().await),
                _ => None,
            };
            let answer = self.pass(&call, request).await;
            drop(turn);
            answer
        });
        passed.await.unwrap_or(Err(End::Close)).map(whole)
    }

    async fn pass(&self, call: &Call, request: Request<Body>) -> Result<Response<Bytes>, End> {
        let Some(fault) = self.note(call).await else { return self.forward(request).await };
        match fault {
            Fault::Kill(Side::Before) => {
                self.kill();
                Err(End::Close)
            }
            Fault::Kill(Side::After) | Fault::KillAndOutdate => {
                let _ = self.forward(request).await;
                self.kill();
                if fault == Fault::KillAndOutdate {
                    self.outdate();
                }
                Err(End::Close)
            }
            Fault::Close(side) | Fault::Reset(side) => {
                if side == Side::After {
                    let _ = self.forward(request).await;
                }
                Err(if fault == Fault::Reset(side) { End::Reset } else { End::Close })
            }
            Fault::Refuse(code) => Ok(refusal(call, code)),
            Fault::Late(delay) => {
                tokio::time::sleep(delay).await;
                self.forward(request).await
            }
            Fault::Outdate => {
                let answer = self.forward(request).await;
                self.outdate();
                answer
            }
        }
    }

    /// Takes note of a call; answers what is to happen to it.
    async fn note(&self, call: &Call) -> Option<Fault> {
        let (number, fault) = {
            let mut record = self.record.lock().unwrap();
            if call.decides() {
                record.last = Some(Instant::now());
            }
            if !record.counting || !(self.counts)(call) {
                return None;
            }
            record.calls.push(call.clone());
            (record.calls.len(), record.fault)
        };
        let (struck, fault) = fault?;
        if matches!(fault, Fault::Outdate | Fault::KillAndOutdate) && number == struck.saturating_sub(1).max(1) {
            self.views.keep(&self.client).await;
        }
        let strikes = number == struck && fault.befits(call);
        self.record.lock().unwrap().struck |= strikes;
        strikes.then_some(fault)
    }

    async fn forward(&self, request: Request<Body>) -> Result<Response<Bytes>, End> {
        let (parts, body) = self.client.send(request).await.map_err(|_| End::Close)?.into_parts();
        let body = body.collect_bytes().await.map_err(|_| End::Close)?;
        let mut answer = Response::builder().status(parts.status);
        if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
            answer = answer.header(header::CONTENT_TYPE, kind);
        }
        answer.body(body).map_err(|_| End::Close)
    }

    fn outdate(&self) {
        self.views.lag(Duration::from_secs(2));
        self.views.outdate();
        self.views.expire();
    }

    fn kill(&self) {
        let process = self.process.load(Ordering::Acquire);
        kill(Pid::from_raw(process), Signal::SIGKILL).expect("the process was there");
        self.crashes.send_modify(|crashes| *crashes += 1);
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap().take() {
            server.abort();
        }
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

async fn serve(listener: TcpListener, layer: std::sync::Weak<Layer>) {
    while let Ok((stream, _)) = listener.accept().await {
        let layer = layer.clone();
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let layer = layer.upgrade();
                async move { layer.ok_or(End::Close)?.answer(request).await }
            });
            let mut served = Builder::new().serve_connection(TokioIo::new(stream), service);
            // It ends with an error whenever an answer is withheld.
            let Err(error) = Pin::new(&mut served).await else { return };
            if let Some(End::Reset) = error.source().and_then(|cause| cause.downcast_ref()) {
                let _ = served.into_parts().io.into_inner().set_zero_linger();
            }
        });
    }
}

fn whole(answer: Response<Bytes>) -> Response<UnsyncBoxBody<Bytes, std::convert::Infallible>> {
    answer.map(|body| Full::new(body).boxed_unsync())
}
