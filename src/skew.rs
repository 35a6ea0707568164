//! How far our clock and the API server's lie apart, by the `Date` of its answers (R12): ticks run by ours.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::DATE;
use http::{HeaderMap, Request, Response};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use tower::{Layer, Service};

use crate::clock::Clock;
use crate::metrics::Metrics;

/// `Date` has whole seconds: the server's clock showed anything up to a second more.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// A layer of a client that measures with every answer.
#[derive(Clone)]
pub struct Skew {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Skew {
    /// Measures against `clock`, into `metrics`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics }
    }
}

impl<S> Layer<S> for Skew {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Measured { skew: self.clone(), inner }
    }
}

/// A client's service whose answers are measured.
#[derive(Clone)]
pub struct Measured<S> {
    skew: Skew,
    inner: S,
}

impl<S, B> Service<Request<Body>> for Measured<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Skew { clock, metrics } = self.skew.clone();
        let sent = clock.now();
        let answer = self.inner.call(request);
        let measure = move |answer: &Result<Response<B>, S::Error>| {
            let date = answer.as_ref().ok().and_then(|answer| date(answer.headers()));
            if let Some(date) = date {
                metrics.set_clock_skew(proven(sent, clock.now(), date).as_secs_f64());
            }
        };
        answer.inspect(measure).boxed()
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(headers.get(DATE)?.as_bytes()).ok()
}

/// Our clock minus the server's, as far as it is proven: the server wrote `date` at some time between `sent` and
/// `received`.
fn proven(sent: Timestamp, received: Timestamp, date: Timestamp) -> SignedDuration {
    let at_most = received.duration_since(date);
    let at_least = sent.duration_since(date) - RESOLUTION;
    SignedDuration::ZERO.clamp(at_least.min(at_most), at_most)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // R12
    #[test]
    fn only_what_is_proven_is_told() {
        let at = |millis: i64| Timestamp::from_millisecond(1_000_000_000 + millis).unwrap();
        for (sent, received, date, millis) in [
            (900, 950, 0, 0),
            // Across a second, and slow.
            (950, 1_050, 1_000, 0),
            (0, 4_000, 3_000, 0),
            // Ours is ahead, and behind.
            (10_000, 10_100, 0, 9_000),
            (0, 100, 10_000, -9_900),
        ] {
            assert_eq!(proven(at(sent), at(received), at(date)), SignedDuration::from_millis(millis), "{sent} {date}");
        }
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(DATE, HeaderValue::from_static("Thu, 26 Nov 2026 04:13:34 GMT"));
        assert_eq!(date(&headers), Some("2026-11-26T04:13:34Z".parse().unwrap()));
    }
}
