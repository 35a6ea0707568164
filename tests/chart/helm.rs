//! helm as a test runs it.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::chart;
use crate::support::cluster::programs;

/// Name of the release in tests.
pub(crate) const RELEASE: &str = "marmot-operator";
/// Its namespace, unless another one is given.
pub(crate) const NAMESPACE: &str = "marmot";

/// Values that switch everything on.
pub(crate) const EVERYTHING: &[&str] = &[
    "operator.enabled=true",
    "operator.replicas=3",
    "operator.metricsPerRun=true",
    "operator.debugEndpoint=true",
    "operator.image.pullSecrets[0].name=registry",
    "operator.marmot.url=https://marmot.example.com",
    "operator.marmot.serverServiceAccount=marmot",
    "operator.jobDefaults.backoffLimit=1",
    "operator.ingest.imagePullPolicy=Always",
    "operator.ingest.imagePullSecrets[0].name=registry",
    "operator.ingest.env[0].name=HTTPS_PROXY",
    "operator.ingest.env[0].value=http://proxy.example.com:3128",
    "operator.ingest.nodeSelector.pool=ingest",
    "operator.ingest.tolerations[0].operator=Exists",
    "operator.ingest.podSecurityContext.fsGroup=10001",
    "operator.ingest.serviceAccount.annotations.team=data",
    "operator.apiKey.existingSecret=marmot-api-key",
    "operator.plugins.autoinstall=false",
    "operator.plugins.registry=registry.example.com/plugins",
    "operator.plugins.cache.volume.persistentVolumeClaim.claimName=marmot-plugins",
    "operator.log.format=json",
    "operator.log.level=debug",
    "operator.extraArgs[0]=--leader-elect-lease-duration=30s",
    "operator.extraEnv[0].name=TZ",
    "operator.extraEnv[0].value=UTC",
    "operator.extraVolumes[0].name=more",
    "operator.extraVolumes[0].emptyDir.sizeLimit=1Mi",
    "operator.extraVolumeMounts[0].name=more",
    "operator.extraVolumeMounts[0].mountPath=/more",
    "operator.podLabels.team=data",
    "operator.podAnnotations.team=data",
    "operator.nodeSelector.pool=system",
    "operator.tolerations[0].operator=Exists",
    "operator.networkPolicy.enabled=true",
    "operator.networkPolicy.apiServer[0].ipBlock.cidr=10.0.0.1/32",
    "operator.serviceMonitor.enabled=true",
    "operator.prometheusRule.enabled=true",
    "operator.grafanaDashboard.enabled=true",
];

/// A program of the test cluster's folder.
pub(crate) fn program(name: &str) -> Command {
    let bin = programs().unwrap_or_else(|message| panic!("{message}"));
    let mut command = Command::new(bin.join(name));
    command.stdin(Stdio::null());
    command
}

/// `helm ARGS CHART`.
pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    program("helm").args(args).arg(chart()).output().expect("helm can be started")
}

/// `--set` for each; `@FILE` is a values file of the chart's folder.
pub(crate) fn sets(sets: &[&str]) -> impl Iterator<Item = String> {
    sets.iter().flat_map(|set| match set.strip_prefix('@') {
        Some(file) => ["--values".to_owned(), chart().join(file).display().to_string()],
        None => ["--set".to_owned(), (*set).to_owned()],
    })
}

/// The objects that the chart renders with these values.
pub(crate) fn render(set: &[&str]) -> Vec<Value> {
    render_in(NAMESPACE, set)
}

/// The same, with the release in a given namespace.
pub(crate) fn render_in(namespace: &str, set: &[&str]) -> Vec<Value> {
    let args = ["template", "--namespace", namespace, RELEASE].map(str::to_owned);
    let (command, release) = args.split_at(3);
    let output = run(command.iter().cloned().chain(sets(set)).chain(release.iter().cloned()));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let documents = text(&output.stdout);
    let documents = documents.split("\n---\n").filter(|text| text.lines().any(|line| line.starts_with("kind:")));
    documents.map(|text| serde_saphyr::from_str(text.trim_start_matches("---\n")).expect("helm renders YAML")).collect()
}

/// Output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
