# shellcheck shell=bash
# The log of a Run's pod is what `marmot ingest` prints without the runner, and the runner's verdict (R36).

run plain <<'SPEC'
runs: [{shelf: {assets: 3, password: x}}]
SPEC
ended plain Succeeded Completed
k apply --filename - >/dev/null <<FILE
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: marmot
      image: $E2E_MARMOT_IMAGE
      imagePullPolicy: IfNotPresent
      command: [/bin/marmot, ingest, -c, /config/pipeline.yaml, --host, $MARMOT_URL]
      env: [{name: MARMOT_API_KEY, valueFrom: {secretKeyRef: {name: marmot-api-key, key: api-key}}}]
      volumeMounts: [{name: config, mountPath: /config}, {name: tmp, mountPath: /tmp}]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  volumes: [{name: config, configMap: {name: plain-config}}, {name: tmp, emptyDir: {}}]
FILE
becomes pod/bare .status.phase Succeeded
# Times, numbers of runs and the order of the two streams are never the same.
steady() { sed -E 's/[0-9.]+(µs|ms|s)\b/TIME/g; s/run-[0-9]+/RUN/g; s/"time":"?[^,}"]*"?/"time":"TIME"/g' | sort; }
bare=$(k logs pod/bare | steady)
through=$(k logs "pod/$(pod_of plain-gen1)")
verdict=$(grep "^marmot-operator runner: " <<<"$through")
[[ $verdict == "marmot-operator runner: ingest: Succeeded: "* ]] || fail "the runner says in the log: $verdict"
through=$(grep -v "^marmot-operator runner: " <<<"$through" | steady)
[[ $bare == "$through" ]] || fail "the logs differ: $(diff <(echo "$bare") <(echo "$through"))"
[[ $bare == *"All operations completed successfully"* ]] || fail "the log is not that of a success: $bare"
prove "$(k logs pod/bare | wc -c) bytes of log are the same with the runner and without"
