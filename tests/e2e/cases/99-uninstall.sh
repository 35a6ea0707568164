# shellcheck shell=bash
# Uninstalling leaves the CRD and the Runs; a new installation goes on with them; docs/install.md is the way out.

uids() { k get "$RUNS" --output jsonpath='{range .items[*]}{.metadata.name}={.metadata.uid}{"\n"}{end}'; }
goes "$RUNS/often"
before=$(uids)
helm uninstall "$RELEASE" --namespace "$NAMESPACE" --wait >/dev/null 2>&1 || fail "helm cannot uninstall"
k wait pod --selector app.kubernetes.io/component=operator --for=delete --timeout="${PATIENCE}s" >/dev/null || fail "the operator's pods stay"
kubectl get "$CRD" >/dev/null || fail "the CRD is gone"
[[ $(uids) == "$before" ]] || fail "the Runs are not the same: before $before, after $(uids)"
! k get "deployment/$RELEASE" >/dev/null 2>&1 || fail "the Deployment is still there"
! kubectl get "clusterrole/$RELEASE" >/dev/null 2>&1 || fail "the ClusterRole is still there"
prove "helm uninstall: CRD and $(wc -l <<<"$before") Runs are as they were, the operator and its roles are gone"

install
job=$(field "$RUNS/minutely" .status.lastResult.job)
[[ $(uids) == "$before" ]] || fail "the Runs are not the same after a new installation"
watched "^minutely-" '{.status.lastResult.job}' "$RUNS/minutely"
while [[ $WATCHED == "$job" ]]; do watched "^minutely-" '{.status.lastResult.job}' "$RUNS/minutely"; done
is job/locked-gen1 .status.failed 1
[[ -z $(k get job/locked-gen2 --ignore-not-found) ]] || fail "a one-shot Run ran again"
prove "helm install once more: $WATCHED is the next tick, and no one-shot Run ran again"

kubectl delete "$RUNS" --all --all-namespaces --timeout="${PATIENCE}s" >/dev/null || fail "the Runs do not go"
helm uninstall "$RELEASE" --namespace "$NAMESPACE" --wait >/dev/null 2>&1 || fail "helm cannot uninstall"
kubectl delete "$CRD" --timeout="${PATIENCE}s" >/dev/null || fail "the CRD does not go"
prove "the three commands of docs/install.md: no Run, no operator, no CRD"
