//! Compare-and-swap for the Lease: a tower layer that puts `metadata.resourceVersion` into every PATCH.
//!
//! `kube-leader-election` patches the Lease without saying which version it looked at, so that of two candidates for one
//! expired lease both succeed, and a renewal that arrives late takes the lease back from its new holder. With the
//! version in the body the API server refuses all but the first with `409 Conflict`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::{FutureExt, TryFutureExt};
use http::header::CONTENT_LENGTH;
use http::{Method, Request};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// The version of the Lease that may be overwritten: the one the elector has judged. Not simply the last one seen: the
/// crate reads the Lease again before it writes, and what it finds there has been judged by nobody.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    judged: Arc<Mutex<Option<String>>>,
}

impl Guard {
    /// Allows writes over `resource_version`, and over no other; `None` refuses every one.
    pub fn allow(&self, resource_version: Option<String>) {
        *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = resource_version;
    }

    /// The version that may be overwritten.
    #[must_use]
    pub fn allowed(&self) -> Option<String> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { guard: self.clone(), inner }
    }
}

/// A client's service behind a [`Guard`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: Guard,
    inner: S,
}

/// Why a request did not leave the guard.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No version of the Lease has been judged, so none may be overwritten.
    #[error("refused to patch the Lease: no version of it has been judged")]
    NotJudged,
    /// The body is not a JSON object.
    #[error("refused to patch the Lease: its patch is not a JSON object")]
    NotAnObject,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>>,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let request = if request.method() == Method::PATCH { pin(request, self.guard.allowed()) } else { Ok(request) };
        match request {
            Ok(request) => Box::pin(self.inner.call(request).map_err(Into::into)),
            Err(refused) => Box::pin(async move { Err(refused.into()) }),
        }
    }
}

/// Writes `resource_version` into the body of a merge patch.
fn pin(request: Request<Body>, resource_version: Option<String>) -> Result<Request<Body>, Refused> {
    let resource_version = resource_version.ok_or(Refused::NotJudged)?;
    let (mut parts, body) = request.into_parts();
    // A patch is in memory, so its body is there at once; anything else is no patch of ours.
    let body = body.collect_bytes().now_or_never().and_then(Result::ok).ok_or(Refused::NotAnObject)?;
    let mut patch: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&body).map_err(|_| Refused::NotAnObject)?;
    patch
        .entry("metadata")
        .or_insert_with(|| serde_json::json!({}))
        .as_object_mut()
        .ok_or(Refused::NotAnObject)?
        .insert("resourceVersion".to_owned(), resource_version.into());
    let body = serde_json::to_vec(&patch).map_err(|_| Refused::NotAnObject)?;
    // The body has grown; hyper writes the new length.
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Request::from_parts(parts, Body::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::{ServiceExt, service_fn};

    async fn through(guard: &Guard, method: Method, body: &str) -> Result<serde_json::Value, BoxError> {
        let echo = service_fn(|request: Request<Body>| async move {
            assert!(!request.headers().contains_key(CONTENT_LENGTH) || request.method() != Method::PATCH);
            let bytes = request.into_body().collect_bytes().await?;
            Ok::<_, BoxError>(serde_json::from_slice(&bytes).unwrap_or_default())
        });
        let request = Request::builder().method(method).header(CONTENT_LENGTH, body.len());
        let request = request.body(Body::from(body.as_bytes().to_vec())).unwrap();
        guard.layer(echo).oneshot(request).await
    }

    // R35
    #[tokio::test]
    async fn a_patch_carries_the_judged_version() {
        let guard = Guard::default();
        guard.allow(Some("42".to_owned()));
        let sent = through(&guard, Method::PATCH, r#"{"metadata":{"name":"x"},"spec":{}}"#).await.unwrap();
        assert_eq!(sent, serde_json::json!({"metadata": {"name": "x", "resourceVersion": "42"}, "spec": {}}));
        let sent = through(&guard, Method::PATCH, "{}").await.unwrap();
        assert_eq!(sent["metadata"]["resourceVersion"], "42");
    }

    // R35
    #[tokio::test]
    async fn a_patch_over_an_unjudged_version_never_leaves() {
        let guard = Guard::default();
        let error = through(&guard, Method::PATCH, "{}").await.unwrap_err();
        assert!(error.to_string().contains("no version of it has been judged"), "{error}");
        guard.allow(Some("1".to_owned()));
        assert!(through(&guard, Method::PATCH, "[]").await.is_err());
    }

    #[tokio::test]
    async fn other_requests_pass_untouched() {
        let guard = Guard::default();
        let sent = through(&guard, Method::POST, r#"{"metadata":{}}"#).await.unwrap();
        assert_eq!(sent, serde_json::json!({"metadata": {}}));
    }
}
