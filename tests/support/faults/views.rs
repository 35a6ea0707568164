//! How the process behind the layer sees the world: its lists and watches, which can lag, expire, and be old.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::fault::status;

/// Lists and watches of one process.
#[derive(Debug)]
pub struct Views {
    /// How much later than the truth watch events come.
    lag: watch::Sender<Duration>,
    /// Watches that began under a smaller number have expired.
    epoch: watch::Sender<u64>,
    /// The last answer to each list the process has asked for, by path and query; kept for later.
    kept: Mutex<BTreeMap<String, Option<Bytes>>>,
    /// Answers to the next list of each kind.
    old: Mutex<BTreeMap<String, Bytes>>,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            lag: watch::Sender::new(Duration::ZERO),
            epoch: watch::Sender::new(0),
            kept: Mutex::default(),
            old: Mutex::default(),
        }
    }
}

impl Views {
    /// From now on watch events come so much later than they happen.
    pub fn lag(&self, lag: Duration) {
        self.lag.send_replace(lag);
    }

    /// Every watch ends with 410; what it had not shown yet is lost.
    pub fn expire(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Keeps what the lists of the process would show now.
    pub async fn keep(&self, client: &Client) {
        let lists: Vec<String> = self.kept.lock().unwrap().keys().cloned().collect();
        for list in lists {
            let request = Request::get(&list).body(Body::empty()).expect("a request");
            let answer = client.send(request).await.expect("the API server answers");
            let answer = answer.into_body().collect_bytes().await.expect("the answer can be read");
            self.kept.lock().unwrap().insert(list, Some(answer));
        }
    }

    /// The next list of each kind shows what was kept last.
    pub fn outdate(&self) {
        let kept = self.kept.lock().unwrap();
        let kept = kept.iter().filter_map(|(list, answer)| Some((list.clone(), answer.clone()?)));
        *self.old.lock().unwrap() = kept.collect();
    }

    /// An old answer to this list, if it is to get one.
    pub fn old(&self, list: &str) -> Option<Bytes> {
        self.kept.lock().unwrap().entry(list.to_owned()).or_default();
        self.old.lock().unwrap().remove(list)
    }

    /// The events of a watch as the process gets to see them.
    pub fn stream(&self, answer: Response<Body>) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
        let (sender, chunks) = mpsc::unbounded_channel();
        tokio::spawn(pump(answer.into_body(), sender));
        let epoch = self.epoch.subscribe();
        let began = *epoch.borrow();
        let watch = Watch { chunks, lag: self.lag.subscribe(), epoch, began, mid_line: false };
        unfold(Some(watch), |watch| async {
            let mut watch = watch?;
            match watch.next().await? {
                Next::Chunk(chunk) => Some((Ok(chunk), Some(watch))),
                Next::Expired => {
                    let error = json!({ "type": "ERROR", "object": status("Expired", 410) });
                    Some((Ok(Bytes::from(format!("{error}\n"))), None))
                }
            }
        })
    }
}

/// Reads a watch as it comes, with the time; ends with the watch, or when nobody wants it any more.
async fn pump(mut body: Body, sender: mpsc::UnboundedSender<(Instant, Bytes)>) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = sender.closed() => return,
        };
        let Some(Ok(frame)) = frame else { return };
        if let Ok(chunk) = frame.into_data()
            && sender.send((Instant::now(), chunk)).is_err()
        {
            return;
        }
    }
}

struct Watch {
    chunks: mpsc::UnboundedReceiver<(Instant, Bytes)>,
    lag: watch::Receiver<Duration>,
    epoch: watch::Receiver<u64>,
    began: u64,
    /// Half an event has been shown.
    mid_line: bool,
}

enum Next {
    Chunk(Bytes),
    Expired,
}

impl Watch {
    async fn next(&mut self) -> Option<Next> {
        let (began, mid_line) = (self.began, self.mid_line);
        let (chunks, lag, epoch) = (&mut self.chunks, &self.lag, &mut self.epoch);
        let chunk = async {
            let (came, chunk) = chunks.recv().await?;
            let lag = *lag.borrow();
            tokio::time::sleep_until(came + lag).await;
            Some(chunk)
        };
        let expired = async {
            if mid_line || epoch.wait_for(|epoch| *epoch > began).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = expired => Some(Next::Expired),
            chunk = chunk => {
                let chunk = chunk?;
                self.mid_line = !chunk.ends_with(b"\n");
                Some(Next::Chunk(chunk))
            }
        }
    }
}
