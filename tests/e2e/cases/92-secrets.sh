# shellcheck shell=bash
# Nothing but the Secrets holds a secret (R37).

objects=$(k get "$RUNS,configmaps,jobs,pods,events" --output yaml)
logs=$(k logs --selector app.kubernetes.io/component=operator --tail=-1)
for secret in "$PASSWORD" "$API_KEY"; do
  [[ $objects != *"$secret"* ]] || fail "an object holds a secret: $(grep -F "$secret" <<<"$objects")"
  [[ $logs != *"$secret"* ]] || fail "the operator's log holds a secret"
done
prove "password and API key are in no Run, ConfigMap, Job, pod, event, nor in the operator's log ($(wc -l <<<"$objects") lines looked at)"
