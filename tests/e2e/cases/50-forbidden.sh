# shellcheck shell=bash
# An operator that may not list pods still knows what the Job says (R36, R42).

role=clusterrole/$RELEASE
may_list() { kubectl auth can-i list pods --namespace "$NAMESPACE" --as "system:serviceaccount:$NAMESPACE:$RELEASE" >/dev/null 2>&1; }
may_list || fail "the operator may not list pods from the beginning"
index=$(kubectl get "$role" --output jsonpath='{range .rules[*]}{.resources}{"\n"}{end}' | grep -nFx '["pods"]' | cut -d: -f1)
index=$((index - 1))
rule=$(kubectl get "$role" --output "jsonpath={.rules[$index]}")
kubectl patch "$role" --type=json --patch "[{\"op\":\"remove\",\"path\":\"/rules/$index\"}]" >/dev/null
until=$((SECONDS + PATIENCE))
while may_list; do ((SECONDS < until)) || fail "the right to list pods does not go"; done
run unasked <<'SPEC'
backoffLimit: 0
runs: [{shelf: {password: x, error: "nobody reads this"}}]
SPEC
ended unasked Failed BackoffLimitExceeded "backoff limit"
# Both replicas are asked: which one led does not matter.
k logs --selector app.kubernetes.io/component=operator --tail=-1 | holds "the operator's log" "its pods cannot be asked how it ended"
kubectl patch "$role" --type=json --patch "[{\"op\":\"add\",\"path\":\"/rules/-\",\"value\":$rule}]" >/dev/null
until=$((SECONDS + PATIENCE))
until may_list; do ((SECONDS < until)) || fail "the right to list pods does not come back"; done
prove "without the right to list pods (403): the Job's own outcome, Failed, BackoffLimitExceeded, and a line in the log"
