//! Where Marmot is: told by `--marmot-url`, or found among the Services of the operator's own namespace and followed
//! when they change.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::watch::{Pauses, Synced};

/// What Marmot's chart puts on its Services.
const SELECTOR: &str = "app.kubernetes.io/name=marmot";
const COMPONENT: &str = "app.kubernetes.io/component";

/// The address of Marmot as the ingestion pods reach it.
#[derive(Clone, Debug)]
pub struct Address(Source);

#[derive(Clone, Debug)]
enum Source {
    Given(String),
    Found(watch::Receiver<Option<String>>),
}

impl Address {
    /// The address by `--marmot-url`.
    #[must_use]
    pub fn given(url: &str) -> Self {
        Self(Source::Given(url.to_owned()))
    }

    /// The address as it is known now; `None` as long as no Service of Marmot is there.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        match &self.0 {
            Source::Given(url) => Some(url.clone()),
            Source::Found(url) => url.borrow().clone(),
        }
    }

    /// The address to be found, and where it is told.
    #[must_use]
    pub fn sought() -> (Self, watch::Sender<Option<String>>) {
        let (told, url) = watch::channel(None);
        (Self(Source::Found(url)), told)
    }

    /// Waits for the address to change; never returns where it was given.
    pub async fn changed(&mut self) {
        match &mut self.0 {
            Source::Given(_) => std::future::pending().await,
            Source::Found(url) => {
                if url.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

impl Default for Address {
    /// Nothing is known.
    fn default() -> Self {
        Self::sought().0
    }
}

/// Follows the Services of Marmot's chart in `namespace`. Ends when dropped; errors are waited out (R38).
pub async fn follow(client: Client, namespace: String, told: watch::Sender<Option<String>>, synced: Arc<Synced>) {
    let api: Api<Service> = Api::namespaced(client, &namespace);
    let (services, writer) = reflector::store();
    let config = watcher::Config::default().labels(SELECTOR);
    let events = watcher(api, config).backoff(Pauses::default());
    let mut events = std::pin::pin!(reflector::reflector(writer, events));
    while let Some(event) = events.next().await {
        match event {
            Err(error) => debug!(%error, "watch of Services interrupted"),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => {
                let url = address(&services.state());
                let first = synced.see_services();
                told.send_if_modified(|known| {
                    let changed = *known != url;
                    match &url {
                        Some(url) if changed => info!(url, "Marmot found"),
                        None if changed || first => warn!(namespace, "no Service with {SELECTOR}: no run can start"),
                        _ => {}
                    }
                    *known = url;
                    // The first answer is an answer, whatever it is.
                    changed || first
                });
            }
        }
    }
}

/// The URL of Marmot's server: its Service, not that of its operator or database. `.svc` is known in every namespace.
fn address(services: &[Arc<Service>]) -> Option<String> {
    let is_server = |service: &&Arc<Service>| service.labels().get(COMPONENT).is_none_or(|part| part == "server");
    let url = |service: &Arc<Service>| {
        let ports = service.spec.as_ref()?.ports.as_deref()?;
        let port = ports.iter().find(|port| port.name.as_deref() == Some("http")).or(ports.first())?;
        Some(format!("{}://{}.{}.svc:{}", scheme(port), service.name_any(), service.namespace()?, port.port))
    };
    let mut urls: Vec<String> = services.iter().filter(is_server).filter_map(url).collect();
    urls.sort();
    urls.into_iter().next()
}

fn scheme(port: &ServicePort) -> &'static str {
    if port.name.as_deref() == Some("https") { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn service(name: &str, component: Option<&str>, ports: &Value) -> Arc<Service> {
        let mut labels = json!({ "app.kubernetes.io/name": "marmot" });
        if let Some(component) = component {
            labels[COMPONENT] = json!(component);
        }
        let metadata = json!({ "name": name, "namespace": "data", "labels": labels });
        Arc::new(serde_json::from_value(json!({ "metadata": metadata, "spec": { "ports": ports } })).unwrap())
    }

    #[rstest]
    #[case(&[("marmot", None, json!([{ "name": "http", "port": 8080 }]))], Some("http://marmot.data.svc:8080"))]
    #[case(&[("marmot", None, json!([{ "port": 80 }]))], Some("http://marmot.data.svc:80"))]
    #[case(&[("marmot", None, json!([{ "name": "https", "port": 443 }]))], Some("https://marmot.data.svc:443"))]
    #[case(&[("m", None, json!([{ "name": "grpc", "port": 1 }, { "name": "http", "port": 2 }]))], Some("http://m.data.svc:2"))]
    #[case(&[("marmot-db", Some("postgresql"), json!([{ "port": 5432 }]))], None)]
    #[case(&[("b", None, json!([{ "port": 80 }])), ("a", Some("server"), json!([{ "port": 80 }]))], Some("http://a.data.svc:80"))]
    #[case(&[], None)]
    fn the_server_is_found_among_services(#[case] services: &[(&str, Option<&str>, Value)], #[case] url: Option<&str>) {
        let services: Vec<_> =
            services.iter().map(|(name, component, ports)| service(name, *component, ports)).collect();
        assert_eq!(address(&services).as_deref(), url);
    }
}
