# shellcheck shell=bash
# `helm test`: from a pod like those of ingestion, in an image without a shell, Marmot and the operator's metrics answer.

# metrics_at ADDRESS: where the test finds the name of the metrics' Service. By address: it needs neither DNS nor Services.
metrics_at() {
  local alias='operator.test.hostAliases[0]'
  helm upgrade "$RELEASE" "$HERE/../../charts/marmot-operator" --namespace "$NAMESPACE" --reuse-values \
    --set "$alias.ip=$1,$alias.hostnames[0]=$RELEASE-metrics.$NAMESPACE.svc" >/dev/null || fail "helm cannot upgrade the chart"
}
tested() { helm test "$RELEASE" --namespace "$NAMESPACE" --timeout "${PATIENCE}s" 2>&1; }

metrics_at 127.0.0.1
if said=$(tested); then fail "helm test succeeds without the operator: $said"; fi
said=$(k logs "pod/$RELEASE-test")
holds "its log" "$MARMOT_URL/livez answers 200 OK" <<<"$said"
holds "its log" "$RELEASE-metrics.$NAMESPACE.svc:8090/metrics cannot be reached: " <<<"$said"
prove "helm test fails where the operator is not: $(tail -n 1 <<<"$said")"

metrics_at "$(field "pod/$(leader)" .status.podIP)"
said=$(tested) || fail "helm test: $said $(k logs "pod/$RELEASE-test")"
prove "helm test: $(sed -n 's/^Phase: *//p' <<<"$said")"
