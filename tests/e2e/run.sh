#!/usr/bin/env bash
# Proves the operator on a cluster with real nodes: installs the chart, lets real pods run the real `marmot ingest`
# through the runner, and says what it has seen. Needs an empty cluster of Kubernetes 1.33 or newer: it installs the CRD,
# and refuses where there is one. Everything it made is gone afterwards.
#
#   KUBECONFIG            the cluster
#   E2E_OPERATOR_IMAGE    the operator's image (`make image`), as the nodes have it or can pull it
#   E2E_MARMOT_IMAGE      the ingestion image (tests/e2e/image.sh), likewise
#   E2E_NAMESPACE         made and removed, and one named …-elsewhere; default: marmot-e2e
#   E2E_CASES             names of cases to run, instead of all
#   E2E_KEEP              not empty: leave everything as it is when a case fails
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${KUBECONFIG:?names the cluster to use}"
: "${E2E_OPERATOR_IMAGE:?names the image of the operator: see make image}"
: "${E2E_MARMOT_IMAGE:?names the ingestion image: see tests/e2e/image.sh}"
NAMESPACE=${E2E_NAMESPACE:-marmot-e2e}
ELSEWHERE=$NAMESPACE-elsewhere
STARTED=$SECONDS
for tool in kubectl helm; do
  command -v "$tool" >/dev/null || PATH=$("$HERE/../cluster/build.sh" | tail -n 1):$PATH
done
# shellcheck source=lib.sh
source "$HERE/lib.sh"

CRD=crd/$RUNS
if kubectl get "$CRD" >/dev/null 2>&1; then
  echo "$CRD is there already: this test wants a cluster without Runs" >&2
  exit 2
fi
kubectl create namespace "$NAMESPACE" >/dev/null
finish() {
  local code=$?
  trap - ERR
  ((code == 0)) || state >&2
  if ((code != 0)) && [[ -n ${E2E_KEEP:-} ]]; then
    echo "left as it is: namespace $NAMESPACE, $CRD" >&2
    return
  fi
  # The operator first, with its pods: it would put finalizers back.
  helm uninstall "$RELEASE" --namespace "$NAMESPACE" --ignore-not-found --wait >/dev/null || true
  k wait pod --selector app.kubernetes.io/component=operator --for=delete --timeout=60s >/dev/null || true
  for namespace in "$NAMESPACE" "$ELSEWHERE"; do
    for name in $(kubectl --namespace "$namespace" get "$RUNS" --output name 2>/dev/null); do
      kubectl --namespace "$namespace" patch "$name" --type=merge --patch '{"metadata":{"finalizers":null}}' >/dev/null || true
    done
  done
  kubectl delete "$CRD" namespace/"$NAMESPACE" namespace/"$ELSEWHERE" --ignore-not-found --timeout=60s >/dev/null || true
}
trap finish EXIT
set -o errtrace
trap 'echo "ended in ${CASE:-the set-up} by: $BASH_COMMAND" >&2' ERR

for file in "$HERE"/cases/*.sh; do
  CASE=$(basename "$file" .sh)
  # The first two set up what the others use.
  [[ -z ${E2E_CASES:-} || $CASE == 0[01]-* || " $E2E_CASES " == *" $CASE "* ]] || continue
  echo "$CASE"
  # shellcheck disable=SC1090
  source "$file"
done
echo "$PROVEN things proven in $((SECONDS - STARTED)) s on $(kubectl version --output json | sed -n '/serverVersion/,$s/.*"gitVersion": "\(.*\)".*/Kubernetes \1/p')"
