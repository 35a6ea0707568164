//! The runner's part of a pod: an init container brings it, the ingestion container starts through it (R36, R37).

use std::collections::BTreeMap;

use crds::Run;
use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, LocalObjectReference, ResourceRequirements, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use scheduler::state::RunKind;

use super::pod::{CONTAINER, container_security, empty_dir, mount};
use crate::runner::install::PROGRAM;
use crate::runner::report::PARTIAL;

/// Where the program lies, in both containers.
const PROGRAM_DIR: &str = "/marmot-runner";
/// Where the pipeline is written with its secrets filled in: memory.
const WORK_DIR: &str = "/marmot-work";
/// An expanded pipeline is hardly larger than a ConfigMap may be, but values may be long.
const WORK_SIZE: &str = "16Mi";
/// How long Kubernetes waits for the pod; the runner kills `marmot` five seconds earlier, to tell how it ended.
pub(super) const POD_GRACE_SECONDS: i64 = 30;

/// The runner as the flags describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runner {
    /// The operator's own image, `--runner-image`.
    pub image: String,
    /// When nodes pull it, `--runner-image-pull-policy`; `None`: Kubernetes decides by the tag.
    pub pull_policy: Option<String>,
    /// Names of Secrets with which it can be pulled, `--runner-image-pull-secret`.
    pub pull_secrets: Vec<String>,
}

impl Runner {
    /// Copies the runner out of the operator's image. Namespaces with quotas or Pod Security look at it like at any other
    /// container.
    pub(super) fn init_container(&self) -> Container {
        let amounts = |cpu: &str, memory: &str| {
            Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity(cpu.to_owned())),
                ("memory".to_owned(), Quantity(memory.to_owned())),
            ]))
        };
        Container {
            name: "marmot-runner".to_owned(),
            image: Some(self.image.clone()),
            image_pull_policy: self.pull_policy.clone(),
            args: Some(["runner", "install", PROGRAM_DIR].map(str::to_owned).to_vec()),
            resources: Some(ResourceRequirements {
                requests: amounts("10m", "16Mi"),
                limits: amounts("200m", "64Mi"),
                ..ResourceRequirements::default()
            }),
            volume_mounts: Some(vec![mount("marmot-runner", PROGRAM_DIR)]),
            security_context: Some(container_security(SecurityContext::default())),
            ..Container::default()
        }
    }

    pub(super) fn pull_secrets(&self) -> impl Iterator<Item = LocalObjectReference> + '_ {
        self.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() })
    }
}

/// The program's and the one in memory.
pub(super) fn volumes() -> [Volume; 2] {
    let memory =
        EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit: Some(Quantity(WORK_SIZE.to_owned())) };
    let work = Volume { name: "marmot-work".to_owned(), empty_dir: Some(memory), ..Volume::default() };
    [empty_dir("marmot-runner"), work]
}

/// Of the ingestion container.
pub(super) fn mounts() -> [VolumeMount; 2] {
    let program = VolumeMount { read_only: Some(true), ..mount("marmot-runner", PROGRAM_DIR) };
    [program, mount("marmot-work", WORK_DIR)]
}

/// Entry point of the ingestion container. It needs neither a shell nor a writable root, and names what is secret in the
/// environment, which only the maker of the pod knows.
pub(super) fn command(run: &Run, kind: RunKind) -> Vec<String> {
    let mut command = vec![format!("{PROGRAM_DIR}/{PROGRAM}"), "runner".to_owned()];
    if kind == RunKind::Teardown {
        let name = run.metadata.name.as_deref().unwrap_or_default();
        command.extend(["destroy".to_owned(), format!("--pipeline={name}")]);
    } else {
        command.extend(["ingest".to_owned(), "--config=/config/pipeline.yaml".to_owned()]);
    }
    command.push(format!("--work-dir={WORK_DIR}"));
    command.push(format!("--grace-period={}s", POD_GRACE_SECONDS - 5));
    let from_secret = |variable: &&k8s_openapi::api::core::v1::EnvVar| {
        variable.value_from.as_ref().is_some_and(|source| source.secret_key_ref.is_some())
    };
    let named = run.spec.env.iter().flatten().filter(from_secret);
    command.extend(named.map(|variable| format!("--secret-env={}", variable.name)));
    let whole = run.spec.env_from.iter().flatten().filter(|source| source.secret_ref.is_some());
    command.extend(whole.map(|source| format!("--secret-env-from={}", source.prefix.as_deref().unwrap_or_default())));
    command
}

/// `Partial` would be partial again: it ends the Job at once.
pub(super) fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: Some(CONTAINER.to_owned()),
                operator: "In".to_owned(),
                values: vec![i32::from(PARTIAL)],
            }),
            ..PodFailurePolicyRule::default()
        }],
    }
}
