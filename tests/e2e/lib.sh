# shellcheck shell=bash
# What the cases of `make e2e` say their wishes with. Every wait is a watch with a limit; nothing sleeps.

RUNS=runs.runs.marmotdata.io
RELEASE=marmot-operator
LEASE=leases.coordination.k8s.io/marmot-operator.marmotdata.io
# Longest wait for anything that is expected to happen, in seconds.
PATIENCE=${E2E_PATIENCE:-90}
PROVEN=0

k() { kubectl --namespace "$NAMESPACE" "$@"; }

# prove TEXT: one line for what was just seen.
prove() {
  PROVEN=$((PROVEN + 1))
  printf '  ok %3d s  %s\n' "$((SECONDS - STARTED))" "$*"
}

fail() {
  echo "FAILED after $((SECONDS - STARTED)) s in ${CASE:-the set-up}: $*" >&2
  exit 1
}

# state: what is there, for whoever has to find out why it failed.
state() {
  k get "$RUNS" --output wide || true
  k get jobs,pods --output wide || true
  k get "$RUNS" --output jsonpath='{range .items[*]}{.metadata.name}{": "}{.status}{"\n"}{end}' || true
  k get events --sort-by=.metadata.creationTimestamp | tail -n 40 || true
  k logs --selector app.kubernetes.io/component=operator --prefix --tail 60 || true
}

# run NAME: applies a Run whose spec is standard input.
run() {
  { printf 'apiVersion: runs.marmotdata.io/v1alpha1\nkind: Run\nmetadata: {name: %s}\nspec:\n' "$1"; sed 's/^/  /'; } \
    | k apply --filename - >/dev/null || fail "Run $1 is not accepted"
}

# field KIND/NAME JSONPATH: one value.
field() { k get "$1" --output "jsonpath={$2}"; }

# is KIND/NAME JSONPATH VALUE: it has that value now.
is() {
  local value
  value=$(field "$1" "$2") || fail "$1 cannot be read"
  [[ $value == "$3" ]] || fail "$1 has $2 = '$value' and not '$3'"
}

# holds WHAT TEXT: standard input holds that text.
holds() {
  local text
  text=$(cat)
  [[ $text == *"$2"* ]] || fail "$1 does not say '$2': $text"
}

# becomes KIND/NAME JSONPATH VALUE [SECONDS]: it has that value before the time is over.
becomes() {
  k wait "$1" --for="jsonpath={$2}=$3" --timeout="${4:-$PATIENCE}s" >/dev/null 2>&1 \
    || fail "$1 never had $2 = '$3'; it is '$(field "$1" "$2" 2>&1)'"
}

# comes KIND/NAME [SECONDS], goes KIND/NAME [SECONDS]
comes() { k wait "$1" --for=create --timeout="${2:-$PATIENCE}s" >/dev/null 2>&1 || fail "$1 never came"; }
goes() { k wait "$1" --for=delete --timeout="${2:-$PATIENCE}s" >/dev/null 2>&1 || fail "$1 is still there"; }

# first REGEX COMMAND…: the first line of its output that matches, into WATCHED. The command is ended then.
first() {
  local regex=$1 feed pid
  shift
  exec {feed}< <(exec timeout "$PATIENCE" "$@" 2>/dev/null)
  pid=$!
  while IFS= read -r WATCHED <&"$feed"; do
    if [[ $WATCHED =~ $regex ]]; then
      kill "$pid" 2>/dev/null || true
      exec {feed}<&-
      return
    fi
  done
  exec {feed}<&-
  fail "no line matches '$regex': $*"
}

# watched REGEX TEMPLATE KUBECTL_GET_ARGUMENTS…: the first line of the watch that matches, into WATCHED.
watched() {
  local regex=$1 template=$2
  shift 2
  first "$regex" kubectl --namespace "$NAMESPACE" get "$@" --watch --output "jsonpath=$template{\"\n\"}"
}

# ended RUN OUTCOME REASON [MESSAGE]: its first run has ended so; the message is part of the whole one.
ended() {
  becomes "$RUNS/$1" .status.lastResult.outcome "$2"
  is "$RUNS/$1" .status.lastResult.reason "$3"
  field "$RUNS/$1" .status.lastResult.message | holds "the result of $1" "${4:-}"
}

# follows RUN JOB CONDITION OUTCOME REASON: as `ended`, and the Run says so within five seconds of the Job, into LATE.
follows() {
  local since
  k wait "job/$2" --for="condition=$3" --timeout="${PATIENCE}s" >/dev/null 2>&1 || fail "Job $2 never was $3"
  since=$SECONDS
  ended "$1" "$4" "$5"
  LATE=$((SECONDS - since))
  ((LATE <= 5)) || fail "$1 said so $LATE s after its Job"
}

# wide RUN: its line of `kubectl get run -o wide`.
wide() { k get "$RUNS" "$1" --output wide --no-headers; }

# pod_of JOB: its newest pod.
pod_of() {
  k get pods --selector "batch.kubernetes.io/job-name=$1" --sort-by .metadata.creationTimestamp \
    --output jsonpath='{.items[-1:].metadata.name}'
}

# calls PIPELINE CALL: what the stand-in was asked about that pipeline, one line of JSON per call.
calls() { k logs pod/marmot | grep -F "\"call\":\"$2" | grep -F "$1" || true; }
