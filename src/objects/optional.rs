//! What a teardown can do without: Secrets and ConfigMaps of the Run are often deleted together with it (R30).

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, Volume};

/// Without it nothing can be removed, and that it is missing is to be said.
const API_KEY: &str = "MARMOT_API_KEY";

/// Makes every reference to a Secret or ConfigMap optional but that to the API key.
pub(super) fn make(env: &mut [EnvVar], env_from: &mut [EnvFromSource], volumes: &mut [Volume]) {
    for source in env.iter_mut().filter(|variable| variable.name != API_KEY).filter_map(|one| one.value_from.as_mut()) {
        source.secret_key_ref.iter_mut().for_each(|key| key.optional = Some(true));
        source.config_map_key_ref.iter_mut().for_each(|key| key.optional = Some(true));
    }
    for source in env_from {
        source.secret_ref.iter_mut().for_each(|whole| whole.optional = Some(true));
        source.config_map_ref.iter_mut().for_each(|whole| whole.optional = Some(true));
    }
    for volume in volumes {
        volume.secret.iter_mut().for_each(|secret| secret.optional = Some(true));
        volume.config_map.iter_mut().for_each(|config| config.optional = Some(true));
        for source in volume.projected.iter_mut().flat_map(|all| all.sources.iter_mut().flatten()) {
            source.secret.iter_mut().for_each(|secret| secret.optional = Some(true));
            source.config_map.iter_mut().for_each(|config| config.optional = Some(true));
        }
    }
}
