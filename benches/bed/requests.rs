//! Many requests at once, and the time of day.

use std::fmt::Debug;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Objects that nobody measures are created with so many in flight.
pub(crate) const IN_FLIGHT: usize = 64;

/// Creates objects, so many at a time.
pub(crate) async fn create_all<K>(api: &Api<K>, objects: Vec<K>, in_flight: usize) -> anyhow::Result<()>
where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PostParams::default();
    let creates = stream::iter(objects).map(|object| {
        let params = &params;
        async move { api.create(params, &object).await }
    });
    creates.buffer_unordered(in_flight).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

/// Deletes everything of a kind in a namespace. Above some thousand objects the API server gives up after a minute, with
/// part of the work done.
pub(crate) async fn clear<K>(api: &Api<K>) -> anyhow::Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let mut attempts = 0;
    loop {
        match api.delete_collection(&DeleteParams::background(), &ListParams::default()).await {
            Ok(_) => return Ok(()),
            Err(error) if attempts == ATTEMPTS => return Err(error.into()),
            Err(_) => attempts += 1,
        }
    }
}

/// Of clearing a namespace.
const ATTEMPTS: usize = 20;

/// `bench-0`, `bench-1` and so on.
pub(crate) fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("bench-{number}"))
}

/// The first minute that begins in so many seconds or later.
pub(crate) fn minute_after(seconds: i64) -> Timestamp {
    let earliest = Timestamp::now().as_second().saturating_add(seconds);
    Timestamp::from_second((earliest / 60 + 1) * 60).unwrap_or(Timestamp::MAX)
}

/// The schedule of that minute, once a day.
pub(crate) fn schedule_of(tick: Timestamp) -> String {
    let time = tick.to_zoned(jiff::tz::TimeZone::UTC);
    format!("{} {} * * *", time.minute(), time.hour())
}

/// A number from the environment.
pub(crate) fn number(variable: &str, default: usize) -> anyhow::Result<usize> {
    match std::env::var(variable) {
        Ok(text) => {
            let number = text.trim().parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| anyhow::anyhow!("{variable}: {text:?} is no whole number above 0"))
        }
        Err(_) => Ok(default),
    }
}
