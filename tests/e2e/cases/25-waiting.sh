# shellcheck shell=bash
# Pods that cannot start: the Run says why, in words, and goes on when it is mended (R41).

run keyless <<'SPEC'
env: [{name: MARMOT_API_KEY, valueFrom: {secretKeyRef: {name: key-of-keyless, key: api-key}}}]
runs: [{shelf: {assets: 1, password: x}}]
SPEC
run unpullable <<'SPEC'
image: localhost/nowhere:1
runs: [{shelf: {assets: 1, password: x}}]
SPEC
run homeless <<'SPEC'
serviceAccountName: nobody
runs: [{shelf: {assets: 1, password: x}}]
SPEC
# waits RUN TEXT: its Ready condition says that its pod does not start, and why.
waits() {
  becomes "$RUNS/$1" '.status.conditions[?(@.type=="Ready")].reason' PodPending
  said=$(field "$RUNS/$1" '.status.conditions[?(@.type=="Ready")].message')
  holds "Ready of $1" "$2" <<<"$said"
}
waits keyless 'CreateContainerConfigError: secret "key-of-keyless" not found'
prove "a Secret that is missing: $said"
waits unpullable "image localhost/nowhere:1 cannot be pulled"
prove "an image that is not there: $said"
waits homeless "a ServiceAccount that is missing"
prove "a ServiceAccount that is missing: $said"
watched "^Warning keyless .*key-of-keyless" '{.type} {.involvedObject.name} {.message}' events \
  --field-selector involvedObject.kind=Run,involvedObject.name=keyless
prove "its event: $WATCHED"

k create secret generic key-of-keyless --from-literal=api-key="$API_KEY" >/dev/null
ended keyless Succeeded Completed
is "$RUNS/keyless" '.status.conditions[?(@.type=="Ready")].status' True
prove "once the Secret is there: $(wide keyless | tr -s ' ')"
k patch "$RUNS/unpullable" "$RUNS/homeless" --type=merge --patch '{"spec":{"teardownOnDelete":false}}' >/dev/null
k delete "$RUNS/unpullable" "$RUNS/homeless" --timeout="${PATIENCE}s" >/dev/null || fail "a Run whose pod never started does not go"
prove "Runs whose pods never started can be deleted"
