//! The pod of a run: what users set, restricted Pod Security unless they say otherwise (R8).

use crds::Run;
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, PodSecurityContext, PodSpec, ProjectedVolumeSource,
    SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

use scheduler::state::RunKind;

use super::{Defaults, config_map_name, optional, runner};

/// Pod annotation by which the document asks for an AWS role.
const ROLE_ARN: &str = "eks.amazonaws.com/role-arn";
/// Not where EKS itself mounts one if the ServiceAccount has a role too: a pod cannot have two mounts of one path.
const AWS_TOKEN_DIR: &str = "/var/run/secrets/marmot-aws-token";
/// The only writable place: HOME and TMPDIR, without which plugins cannot start on a read-only root.
const SCRATCH: &str = "/tmp";

/// `$0` is the pipeline's name.
const DESTROY: &str = r#"printf 'name: "%s"\nruns: []\n' "$0" > "$TMPDIR/pipeline.yaml" && echo y | marmot ingest -c "$TMPDIR/pipeline.yaml" --destroy --host "$MARMOT_HOST""#;

/// The container that runs `marmot`; the documented name.
pub const CONTAINER: &str = "marmot-ingest";

/// The pod of a run of that kind.
pub(super) fn spec(run: &Run, kind: RunKind, defaults: &Defaults) -> PodSpec {
    let spec = &run.spec;
    let role = spec.pod_annotations.as_ref().and_then(|annotations| annotations.get(ROLE_ARN));
    let mut volumes = vec![empty_dir("marmot-scratch")];
    let mut mounts = vec![mount("marmot-scratch", SCRATCH)];
    // A teardown needs only the pipeline's name, and the ConfigMap may have gone before it (R30).
    if kind != RunKind::Teardown {
        volumes.push(config_volume(run));
        mounts.push(VolumeMount { read_only: Some(true), ..mount("marmot-config", "/config") });
    }
    let mut pull_secrets = spec.image_pull_secrets.clone().unwrap_or_default();
    if let Some(runner) = &defaults.runner {
        volumes.extend(runner::volumes());
        mounts.extend(runner::mounts());
        pull_secrets.extend(runner.pull_secrets());
    }
    let mut env = vec![
        variable("MARMOT_HOST", &defaults.marmot.get().unwrap_or_default()),
        variable("HOME", SCRATCH),
        variable("TMPDIR", SCRATCH),
    ];
    if let Some(role) = role {
        volumes.push(aws_token());
        mounts.push(VolumeMount { read_only: Some(true), ..mount("marmot-aws-token", AWS_TOKEN_DIR) });
        env.push(variable("AWS_ROLE_ARN", role));
        env.push(variable("AWS_WEB_IDENTITY_TOKEN_FILE", &format!("{AWS_TOKEN_DIR}/token")));
    }
    let own_env = spec.env.clone().unwrap_or_default();
    env.retain(|ours| own_env.iter().all(|theirs| theirs.name != ours.name));
    env.extend(own_env);
    let mut env_from = spec.env_from.clone();
    volumes.extend(spec.volumes.clone().unwrap_or_default());
    let own_mounts = spec.volume_mounts.clone().unwrap_or_default();
    // A place may be written to by one volume only: theirs.
    mounts.retain(|ours| ours.mount_path != SCRATCH || own_mounts.iter().all(|theirs| !is_at(theirs, SCRATCH)));
    mounts.extend(own_mounts);
    if kind == RunKind::Teardown {
        optional::make(&mut env, env_from.as_deref_mut().unwrap_or_default(), &mut volumes);
    }
    let command = match &defaults.runner {
        Some(_) => runner::command(run, kind),
        None => plain_command(run, kind),
    };
    PodSpec {
        service_account_name: Some(
            spec.service_account_name.clone().unwrap_or_else(|| defaults.service_account.clone()),
        ),
        restart_policy: Some("Never".to_owned()),
        // Variables of Services would stand in for those that somebody has forgotten, and set some of Marmot's own.
        enable_service_links: Some(false),
        image_pull_secrets: Some(pull_secrets).filter(|secrets| !secrets.is_empty()),
        node_selector: spec.node_selector.clone(),
        tolerations: spec.tolerations.clone(),
        affinity: spec.affinity.clone(),
        priority_class_name: spec.priority_class_name.clone(),
        security_context: Some(pod_security(spec.pod_security_context.clone().unwrap_or_default())),
        termination_grace_period_seconds: defaults.runner.as_ref().map(|_| runner::POD_GRACE_SECONDS),
        init_containers: defaults.runner.as_ref().map(|runner| vec![runner.init_container()]),
        containers: vec![Container {
            name: CONTAINER.to_owned(),
            image: Some(spec.image.clone().unwrap_or_else(|| defaults.image.clone())),
            image_pull_policy: spec.image_pull_policy.as_ref().map(ToString::to_string),
            command: Some(command),
            env: Some(env),
            env_from,
            resources: spec.resources.clone(),
            volume_mounts: Some(mounts),
            security_context: Some(container_security(spec.security_context.clone().unwrap_or_default())),
            // Never the log: it is the source's text, and anybody who may read pods would read it (R37).
            termination_message_policy: Some("File".to_owned()),
            ..Container::default()
        }],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

/// Without the runner: the documented commands. They end with 0 whatever happens.
fn plain_command(run: &Run, kind: RunKind) -> Vec<String> {
    let name = run.metadata.name.as_deref().unwrap_or_default();
    if kind == RunKind::Teardown {
        ["sh", "-c", DESTROY, name].map(str::to_owned).to_vec()
    } else {
        ["marmot", "ingest", "-c", "/config/pipeline.yaml", "--host", "$(MARMOT_HOST)"].map(str::to_owned).to_vec()
    }
}

/// What a user sets stands; the rest is what Pod Security `restricted` asks for.
fn pod_security(mut context: PodSecurityContext) -> PodSecurityContext {
    context.run_as_non_root.get_or_insert(true);
    context
        .seccomp_profile
        .get_or_insert_with(|| SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() });
    context
}

pub(super) fn container_security(mut context: SecurityContext) -> SecurityContext {
    let capabilities = context.capabilities.get_or_insert_default();
    let added = capabilities.add.as_deref().unwrap_or_default();
    // The API server refuses to forbid these what they are.
    let is_mighty = context.privileged == Some(true) || added.iter().any(|name| name.ends_with("SYS_ADMIN"));
    capabilities.drop.get_or_insert_with(|| vec!["ALL".to_owned()]);
    if !is_mighty {
        context.allow_privilege_escalation.get_or_insert(false);
    }
    context.read_only_root_filesystem.get_or_insert(true);
    context
}

fn is_at(mount: &VolumeMount, path: &str) -> bool {
    mount.mount_path.trim_end_matches('/') == path
}

fn config_volume(run: &Run) -> Volume {
    let name = run.metadata.name.as_deref().unwrap_or_default();
    Volume {
        name: "marmot-config".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: config_map_name(name), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }
}

pub(super) fn empty_dir(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// The token the EKS webhook would project if the annotation stood on the ServiceAccount; on a pod it ignores it.
fn aws_token() -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some("sts.amazonaws.com".to_owned()),
        expiration_seconds: Some(86_400),
        path: "token".to_owned(),
    };
    let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    Volume {
        name: "marmot-aws-token".to_owned(),
        projected: Some(ProjectedVolumeSource { sources: Some(vec![source]), ..ProjectedVolumeSource::default() }),
        ..Volume::default()
    }
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() }
}
