//! `ConfigMaps` as the index holds them: whose each is, which version, and a hash of what it holds.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Index, Key, Version, controller_uid};
use crate::light::LightConfigMap;

/// The ConfigMap of a Run.
#[derive(Clone, Debug)]
pub struct KnownConfig {
    uid: Box<str>,
    /// The version that was seen.
    pub version: Version,
    /// Hash of its content.
    pub hash: Box<str>,
}

#[allow(clippy::must_use_candidate, reason = "the Run to look at matters to the watches, not after our own writes")]
impl Index {
    /// Takes in a ConfigMap; returns the Run it belongs to.
    pub fn apply_config(&self, config: &LightConfigMap) -> Option<Key> {
        let owner = controller_uid(&config.metadata, crds::KIND)?;
        let config = KnownConfig {
            uid: config.metadata.uid.as_deref()?.into(),
            version: Version::of(&config.metadata),
            hash: config.hash.as_str().into(),
        };
        let is_stale = |known: &KnownConfig| known.uid == config.uid && !self.is_news(&config.version, &known.version);
        if self.configs.get(owner).is_some_and(|known| is_stale(&known)) {
            return None;
        }
        self.configs.insert(owner.into(), config);
        self.key_of(owner)
    }

    /// Forgets a deleted ConfigMap; returns the Run it belonged to.
    pub fn remove_config(&self, metadata: &ObjectMeta) -> Option<Key> {
        let (owner, uid) = (controller_uid(metadata, crds::KIND)?, metadata.uid.as_deref()?);
        self.configs.remove_if(owner, |_, config| &*config.uid == uid);
        self.key_of(owner)
    }

    /// Forgets this ConfigMap of the Run of that UID: the API server has none.
    pub fn forget_config(&self, run: &str, gone: &KnownConfig) {
        self.configs.remove_if(run, |_, config| config.uid == gone.uid);
    }

    /// Forgets what a new list does not show; returns the Runs that it belonged to.
    pub fn forget_unlisted_configs(&self, listed: &HashSet<String>) -> Vec<Key> {
        let unlisted = self.configs.iter().filter(|config| !listed.contains(&*config.uid));
        let gone: Vec<_> = unlisted.map(|config| (config.key().clone(), config.clone())).collect();
        for (owner, config) in &gone {
            self.forget_config(owner, config);
        }
        gone.iter().filter_map(|(owner, _)| self.key_of(owner)).collect()
    }

    /// The ConfigMap of the Run of that UID.
    #[must_use]
    pub fn config(&self, run: &str) -> Option<KnownConfig> {
        self.configs.get(run).map(|config| config.clone())
    }
}
