# shellcheck shell=bash
# With the runner switched off, pods run the documented command, and what docs/runner.md says is lost is lost (R36).

switch() {
  helm upgrade "$RELEASE" "$HERE/../../charts/marmot-operator" --namespace "$NAMESPACE" --reuse-values \
    --set "operator.runner.enabled=$1" >/dev/null || fail "helm cannot upgrade the chart"
  k rollout status "deployment/$RELEASE" --timeout="${PATIENCE}s" >/dev/null || fail "the operator is not ready"
}
switch false
run direct <<'SPEC'
runs: [{shelf: {assets: 1, password: x}}]
SPEC
run unnoticed <<'SPEC'
env: [{name: MARMOT_API_KEY, value: wrong}]
runs: [{shelf: {assets: 1, password: x}}]
SPEC
run foreign <<SPEC
image: $E2E_OPERATOR_IMAGE
imagePullPolicy: IfNotPresent
backoffLimit: 0
teardownOnDelete: false
runs: [{shelf: {assets: 1, password: x}}]
SPEC
ended direct Succeeded CompletionsReached
pod=$(pod_of direct-gen1)
is "pod/$pod" .spec.containers[0].command '["marmot","ingest","-c","/config/pipeline.yaml","--host","$(MARMOT_HOST)"]'
is "pod/$pod" .spec.initContainers ""
calls direct "POST /api/v1/runs/assets/batch" | holds "the batch" '"name":"book 0"'
prove "operator.runner.enabled=false: the documented command, no init container, Succeeded"
ended unnoticed Succeeded CompletionsReached
k logs "pod/$(pod_of unnoticed-gen1)" | holds "the log" "request failed with status 401"
prove "and a wrong key is called a success"

ended foreign Failed StartError "the image $E2E_OPERATOR_IMAGE has no program marmot"
k describe "$RUNS" foreign | holds "kubectl describe run" "has no program marmot"
prove "an image without marmot: $(wide foreign | tr -s ' ')"
k delete "$RUNS/foreign" --timeout="${PATIENCE}s" >/dev/null || fail "foreign does not go"

# Teardown goes through a shell then, and this image has none.
k delete "$RUNS/direct" --wait=false >/dev/null
becomes "$RUNS/direct" '.status.conditions[?(@.type=="Ready")].reason' TeardownFailed
field "$RUNS/direct" '.status.conditions[?(@.type=="Ready")].message' | holds "Ready of direct" "has no shell (sh), which a teardown without the runner needs: switch the runner on"
prove "a teardown without shell: $(field "$RUNS/direct" '.status.conditions[?(@.type=="Ready")].message')"
switch true
goes "$RUNS/direct" 180
calls direct "DELETE /api/v1/pipelines/direct" | holds "the stand-in" '"status":200'
prove "with the runner on again, the next attempt destroys the pipeline and the Run goes"
# Its key is wrong for a teardown, too.
k patch "$RUNS/unnoticed" --type=merge --patch '{"spec":{"teardownOnDelete":false}}' >/dev/null
k delete "$RUNS/unnoticed" --timeout="${PATIENCE}s" >/dev/null || fail "unnoticed does not go"
