# shellcheck shell=bash
# Deleting a Run removes its assets from Marmot, and everything it had made (R30).

run slow <<'SPEC'
runs: [{shelf: {assets: 2, password: x, pause: 12s, pid_file: /tmp/pid}}]
SPEC
watched . '{.metadata.name}' pods --selector batch.kubernetes.io/job-name=slow-gen1
becomes "pod/$WATCHED" .status.phase Running
k delete "$RUNS/slow" --wait=false >/dev/null

k delete "$RUNS/once" --timeout="${PATIENCE}s" >/dev/null || fail "once does not go"
calls once "DELETE /api/v1/pipelines/once" | holds "the stand-in" '"status":200'
prove "kubectl delete run: Marmot was told to destroy the pipeline, then the Run went"

goes "$RUNS/slow"
order=$(calls slow "" | sed -E 's/.*"call":"([A-Z]+ [^"]*)".*/\1/' | tr '\n' ';')
# The completion does not name the pipeline, but its assets come last before it.
[[ $order == *"assets/batch;DELETE /api/v1/pipelines/slow;"* ]] || fail "the order of calls was $order"
prove "deleted while it ran: the run ended by itself first, then the pipeline was destroyed"

k delete "$RUNS/stranger" --wait=false >/dev/null
becomes "$RUNS/stranger" '.status.conditions[?(@.type=="Ready")].reason' TeardownFailed
prove "a teardown that fails: $(field "$RUNS/stranger" '.status.conditions[?(@.type=="Ready")].message')"
k patch "$RUNS/stranger" --type=merge --patch '{"spec":{"teardownOnDelete":false}}' >/dev/null
goes "$RUNS/stranger" 30
prove "teardownOnDelete: false lets it go"

k wait jobs,configmaps,pods --selector runs.marmotdata.io/run=once --for=delete --timeout=100s >/dev/null 2>&1 || fail "something of once is left"
prove "its Jobs, pods and ConfigMap are gone, the teardown's too"
