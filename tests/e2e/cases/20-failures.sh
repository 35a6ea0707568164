# shellcheck shell=bash
# Runs that fail, each in its own way, all at a time: the outcome is true and says why (R36, R37).

run locked <<'SPEC'
backoffLimit: 0
env: [{name: SHELF_PASSWORD, valueFrom: {secretKeyRef: {name: shelf, key: password}}}]
runs: [{shelf: {password: "${SHELF_PASSWORD}", error: "the shelf is locked, PASSWORD does not open it"}}]
SPEC
run stranger <<'SPEC'
backoffLimit: 0
env: [{name: MARMOT_API_KEY, value: wrong}]
runs: [{shelf: {assets: 1, password: x}}]
SPEC
run loses <<'SPEC'
backoffLimit: 3
runs: [{shelf: {assets: 3, password: x}}]
SPEC
run endless <<'SPEC'
activeDeadlineSeconds: 6
runs: [{shelf: {password: x, pause: 10m, pid_file: /tmp/pid}}]
SPEC
run greedy <<'SPEC'
backoffLimit: 0
resources: {requests: {memory: 32Mi}, limits: {memory: 96Mi}}
runs: [{shelf: {password: x, memory: 512}}]
SPEC
run unset <<'SPEC'
backoffLimit: 0
runs: [{shelf: {password: "${NOWHERE}"}}]
SPEC

ended locked Failed DiscoveryFailed "the shelf is locked, *** does not open it"
is "$RUNS/locked" .status.phase Failed
is "$RUNS/locked" '.status.conditions[?(@.type=="LastRunSucceeded")].status' False
wide locked | holds "kubectl get run -o wide" "last run Failed: DiscoveryFailed: "
prove "a failing pipeline: $(wide locked | tr -s ' ')"
watched "^Warning locked .*the shelf is locked" '{.type} {.involvedObject.name} {.message}' events \
  --field-selector involvedObject.kind=Run,involvedObject.name=locked
prove "its event: $WATCHED"

ended stranger Failed Unauthorized "Marmot answered 401, unauthorized: the API key (MARMOT_API_KEY) is missing or wrong"
k describe "$RUNS" stranger | holds "kubectl describe run" "Marmot answered 401, unauthorized"
prove "a wrong key: Failed, Unauthorized, and kubectl describe says so in words"

ended loses Partial AssetsLost "2 of 3 discovered assets arrived in Marmot"
is job/loses-gen1 .status.failed 1
wide loses | holds "kubectl get run -o wide" "last run Partial: AssetsLost: "
prove "assets lost without a word: Partial, AssetsLost, and no retry although three were allowed: $(wide loses | tr -s ' ')"

ended unset Failed UnsetVariable "runs[0].shelf.password: the environment variable NOWHERE is not set"
prove "a variable that is not set: Failed, UnsetVariable"

ended greedy Killed OOMKilled "the container ran out of memory: raise spec.resources.limits.memory"
prove "more memory than the limit: Killed, OOMKilled"

follows endless endless-gen1 Failed Killed DeadlineExceeded
is job/endless-gen1 '.status.conditions[?(@.type=="Failed")].reason' DeadlineExceeded
prove "over its deadline: Killed, DeadlineExceeded, $LATE s after the Job"
