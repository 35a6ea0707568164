# shellcheck shell=bash
# The chart as users install it, highly available.

case $E2E_OPERATOR_IMAGE in
  *@*) image=(--set "operator.image.repository=${E2E_OPERATOR_IMAGE%@*}" --set "operator.image.digest=${E2E_OPERATOR_IMAGE#*@}") ;;
  *) image=(--set "operator.image.repository=${E2E_OPERATOR_IMAGE%:*}" --set "operator.image.tag=${E2E_OPERATOR_IMAGE##*:}") ;;
esac
install() {
  helm install "$RELEASE" "$HERE/../../charts/marmot-operator" --namespace "$NAMESPACE" \
    --set operator.enabled=true --set operator.replicas=2 --set operator.leaderElect=true "${image[@]}" \
    --set operator.ingest.image="$E2E_MARMOT_IMAGE" --set operator.ingest.imagePullPolicy=IfNotPresent \
    --set operator.marmot.url="$MARMOT_URL" --set operator.apiKey.existingSecret=marmot-api-key \
    --set operator.jobDefaults.resources.requests.cpu=20m --set operator.jobDefaults.resources.requests.memory=64Mi \
    --set operator.resources.requests.cpu=20m >/dev/null || fail "helm cannot install the chart"
  k rollout status "deployment/$RELEASE" --timeout="${PATIENCE}s" >/dev/null || fail "the operator is not ready"
}
# leader: the pod that leads. The holder is named POD_RANDOM.
leader() { field "$LEASE" .spec.holderIdentity | sed 's/_.*//'; }

install
is "deployment/$RELEASE" .status.readyReplicas 2
watched "^$RELEASE-" '{.spec.holderIdentity}' "$LEASE"
prove "helm install: two replicas are ready, $(leader) leads"
