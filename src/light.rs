//! Jobs and `ConfigMaps` as far as the operator looks at them: kept in memory by the ten thousand.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job, JobStatus};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use crate::objects;

/// A Job without its spec.
#[derive(Clone, Debug, Deserialize)]
pub struct LightJob {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its status.
    #[serde(default)]
    pub status: JobStatus,
}

/// A CronJob of another operator, without its template (R31).
#[derive(Clone, Debug, Deserialize)]
pub struct LightCronJob {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What of its spec matters.
    pub spec: LightCronJobSpec,
    /// Its status.
    #[serde(default)]
    pub status: CronJobStatus,
}

/// The spec of a [`LightCronJob`].
#[derive(Clone, Debug, Deserialize)]
pub struct LightCronJobSpec {
    /// It makes no Jobs.
    #[serde(default)]
    pub suspend: bool,
}

/// A ConfigMap with its data reduced to a hash, so that a change by others is noticed and nothing is kept (R8).
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "FullConfigMap")]
pub struct LightConfigMap {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Hash of its content, see [`objects::content_hash`].
    pub hash: String,
}

#[derive(Deserialize)]
struct FullConfigMap {
    metadata: ObjectMeta,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl From<FullConfigMap> for LightConfigMap {
    fn from(full: FullConfigMap) -> Self {
        let hash = full.data.get(objects::PIPELINE_KEY).map(|text| objects::content_hash(text)).unwrap_or_default();
        Self { metadata: full.metadata, hash }
    }
}

/// The `Resource` of a reduced type is the one of the whole type.
macro_rules! resource_as {
    ($light:ty, $whole:ty) => {
        impl Resource for $light {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                <$whole as Resource>::kind(&())
            }

            fn group((): &()) -> Cow<'_, str> {
                <$whole as Resource>::group(&())
            }

            fn version((): &()) -> Cow<'_, str> {
                <$whole as Resource>::version(&())
            }

            fn plural((): &()) -> Cow<'_, str> {
                <$whole as Resource>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource_as!(LightJob, Job);
resource_as!(LightCronJob, CronJob);
resource_as!(LightConfigMap, ConfigMap);
