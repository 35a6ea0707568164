# shellcheck shell=bash
# A trigger starts a run at once; its Job goes 60 seconds after it ended (R27, R28). Meanwhile a schedule ticks (R12).

run minutely <<'SPEC'
schedule: "* * * * *"
runs: [{shelf: {assets: 2, password: x}}]
SPEC
k annotate "$RUNS/once" runs.marmotdata.io/trigger=true >/dev/null
comes job/once-trigger-1
becomes "$RUNS/once" .status.lastResult.kind Trigger
ended once Succeeded Completed "0 created, 0 updated, 4 unchanged"
[[ -z $(field "$RUNS/once" '.metadata.annotations.runs\.marmotdata\.io/trigger') ]] || fail "the annotation is still there"
prove "kubectl annotate … trigger=true: once-trigger-1 ran, Succeeded, and the annotation is gone"

completed=$(date -d "$(field job/once-trigger-1 '.status.conditions[?(@.type=="Complete")].lastTransitionTime')" +%s)
goes job/once-trigger-1 75
after=$(($(date +%s) - completed))
((after >= 60 && after <= 63)) || fail "the trigger's Job went after $after s and not after 60"
prove "its Job went $after s after it had ended"
