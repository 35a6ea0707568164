# shellcheck shell=bash
# The leader's pod is deleted: the other one takes over, and no tick is lost or run twice (R34).

run often <<'SPEC'
schedule: "@every 10s"
concurrencyPolicy: Allow
successfulJobsHistoryLimit: 100
runs: [{shelf: {assets: 1, password: x}}]
SPEC
watched Scheduled '{.status.lastResult.kind}' "$RUNS/often"
old=$(leader)
k delete "pod/$old" --wait=false >/dev/null
since=$(date +%s%N)
watched "^$RELEASE-" '{.spec.holderIdentity}' "$LEASE"
while [[ $WATCHED == "$old"_* ]]; do watched "^$RELEASE-" '{.spec.holderIdentity}' "$LEASE"; done
took=$((($(date +%s%N) - since) / 1000000))
((took < 5000)) || fail "it took $took ms until another replica led"
prove "the leader's pod was deleted: $(leader) leads after $took ms"
k annotate "$RUNS/plain" runs.marmotdata.io/trigger=true >/dev/null
comes job/plain-trigger-1
becomes "$RUNS/plain" .status.lastResult.kind Trigger
ended plain Succeeded Completed
prove "and serves triggers"

# Two ticks after the change.
mark=$(($(date -d "$(field "$RUNS/often" .status.lastScheduleTime)" +%s) + 20))
watched . '{.status.lastScheduleTime}' "$RUNS/often"
until (($(date -d "$WATCHED" +%s) >= mark)); do watched . '{.status.lastScheduleTime}' "$RUNS/often"; done
ticks=$(k get jobs --selector runs.marmotdata.io/run=often \
  --output jsonpath='{range .items[*]}{.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp}{"\n"}{end}' \
  | while read -r stamp; do date -d "$stamp" +%s; done | sort -n)
previous=
for tick in $ticks; do
  [[ -z $previous ]] || ((tick - previous == 10)) || fail "between the Jobs of two ticks are $((tick - previous)) s: $ticks"
  previous=$tick
done
is "$RUNS/often" .status.skippedTicks ""
prove "$(wc -w <<<"$ticks") ticks, 10 s apart, one Job each, none skipped"
k rollout status "deployment/$RELEASE" --timeout="${PATIENCE}s" >/dev/null || fail "the deleted replica is not replaced"
k delete "$RUNS/often" --wait=false >/dev/null
