# shellcheck shell=bash
# A one-shot Run through the runner: outcome, counts, and a password that no object holds (R26, R36, R37).

PASSWORD=shelf-$RANDOM$RANDOM$RANDOM
k create secret generic shelf --from-literal=password="$PASSWORD" >/dev/null
run once <<'SPEC'
env: [{name: SHELF_PASSWORD, valueFrom: {secretKeyRef: {name: shelf, key: password}}}]
runs: [{shelf: {assets: 4, password: "${SHELF_PASSWORD}"}}]
SPEC
k wait "$RUNS/once" --for=condition=LastRunSucceeded --timeout="${PATIENCE}s" >/dev/null || fail "once did not succeed"
ended once Succeeded Completed "4 assets: 4 created, 0 updated, 0 unchanged"
is "$RUNS/once" .status.phase Succeeded
is "$RUNS/once" .status.lastResult.job once-gen1
prove "one-shot Run: Succeeded, \"$(field "$RUNS/once" .status.lastResult.message)\""

pod=$(pod_of once-gen1)
field "pod/$pod" '.status.containerStatuses[0].state.terminated.message' | holds "the termination message" '"created":4'
prove "the termination message of pod $pod has the counts"

calls once "POST /api/v1/runs/assets/batch" | holds "the batch" '"name":"book 3"'
calls once "POST /api/v1/runs/assets/batch" | holds "the batch" '"password":"********"'
prove "the assets arrived at the server, with the key of the Secret"
