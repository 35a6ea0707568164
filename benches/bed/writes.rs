//! Writes, as the API server itself counts them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::Client;

/// No write for this long is rest.
const REST: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(500);

/// Requests since the API server started, by verb and resource; those that failed count as well.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Writes(BTreeMap<(String, String), u64>);

impl Writes {
    /// What it has counted so far, without leases: those are renewed whether there is work or not.
    pub(crate) async fn count(client: &Client) -> anyhow::Result<Self> {
        let text = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
        let mut counts = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
            let Some((labels, value)) = line.rsplit_once("} ") else { continue };
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\""))?;
                Some(rest.split_once('"')?.0)
            };
            let (verb, resource) = (label(",verb").unwrap_or_default(), label(",resource").unwrap_or_default());
            if !matches!(verb, "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE") || resource == "leases" {
                continue;
            }
            let subresource = label("subresource").filter(|name| !name.is_empty());
            let name = subresource.map_or_else(|| resource.to_owned(), |name| format!("{resource}/{name}"));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, written as 1.2e+04")]
            let value = value.parse::<f64>().unwrap_or_default() as u64;
            *counts.entry((verb.to_owned(), name)).or_default() += value;
        }
        Ok(Self(counts))
    }

    /// Waits until nobody writes, at most for `patience`; whether that came.
    pub(crate) async fn rest(client: &Client, patience: Duration) -> anyhow::Result<bool> {
        let started = Instant::now();
        let (mut last, mut since) = (Self::count(client).await?, Instant::now());
        while since.elapsed() < REST {
            if started.elapsed() > patience {
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
            let now = Self::count(client).await?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(true)
    }

    /// What was written since, as `2.00 PATCH runs/status`, per tick.
    pub(crate) fn per_tick(&self, before: &Self, ticks: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for ((verb, resource), count) in &self.0 {
            let earlier = before.0.get(&(verb.clone(), resource.clone())).copied().unwrap_or_default();
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            let each = count.saturating_sub(earlier) as f64 / ticks.max(1) as f64;
            if each > 0.0 {
                lines.push(format!("{each:.2} {verb} {resource}"));
            }
        }
        lines
    }
}
