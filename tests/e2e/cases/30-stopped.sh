# shellcheck shell=bash
# A pod that is deleted while it ingests: marmot hears SIGTERM, and the runner tells how it ended (R36).

run stopped <<'SPEC'
backoffLimit: 0
runs: [{shelf: {password: x, pause: 10m, pid_file: /tmp/pid}}]
SPEC
comes job/stopped-gen1
watched . '{.metadata.name}' pods --selector batch.kubernetes.io/job-name=stopped-gen1
pod=$WATCHED
becomes "pod/$pod" .status.phase Running
# Its first words: by then the runner and marmot are there.
first "Run started" kubectl --namespace "$NAMESPACE" logs --follow "pod/$pod"
since=$SECONDS
k delete "pod/$pod" --wait=false >/dev/null
watched '"outcome":"Killed"' '{.status.containerStatuses[0].state.terminated.exitCode} {.status.containerStatuses[0].state.terminated.message}' "pod/$pod"
holds "the termination message" '"reason":"Terminated"' <<<"$WATCHED"
((SECONDS - since < 25)) || fail "it took $((SECONDS - since)) s, which is all of the grace period"
prove "SIGTERM: the runner says Killed, Terminated, and exits with ${WATCHED%% *} after $((SECONDS - since)) s"
# The pod may be gone before the Job has failed; then the Job's condition is all there is.
k wait job/stopped-gen1 --for=condition=Failed --timeout="${PATIENCE}s" >/dev/null || fail "its Job does not fail"
becomes "$RUNS/stopped" .status.phase Failed 5
said="$(field "$RUNS/stopped" .status.lastResult.outcome), $(field "$RUNS/stopped" .status.lastResult.reason)"
[[ $said =~ ^(Killed, Terminated|Failed, BackoffLimitExceeded)$ ]] || fail "the Run reads $said"
prove "the Run reads $said, $((SECONDS - since)) s after the SIGTERM"
