# shellcheck shell=bash
# A tick is one Job, made on the minute, that really runs (R9, R12). The Run is there since the case before.

becomes "$RUNS/minutely" .status.lastResult.kind Scheduled
ended minutely Succeeded Completed
job=$(field "$RUNS/minutely" .status.lastResult.job)
tick=$(date -d "$(field "job/$job" '.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp')" +%s)
made=$(date -d "$(field "job/$job" .metadata.creationTimestamp)" +%s)
[[ $job == "minutely-$((tick / 60))" ]] || fail "the Job of the tick $tick is called $job"
((made - tick <= 1)) || fail "the Job was made $((made - tick)) s after its tick"
is "$RUNS/minutely" .status.skippedTicks ""
next=$(date -d "$(field "$RUNS/minutely" .status.nextScheduleTime)" +%s)
((next > tick && next % 60 == 0)) || fail "the next tick is $next"
prove "a schedule: Job $job was made within a second of its tick, and Succeeded"
