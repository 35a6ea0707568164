# shellcheck shell=bash
# The stand-in for Marmot's server, as a pod that meets Pod Security `restricted`, as all that follow must.

k label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted >/dev/null
API_KEY=key-$RANDOM$RANDOM$RANDOM
k create secret generic marmot-api-key --from-literal=api-key="$API_KEY" >/dev/null
k apply --filename - >/dev/null <<FILE
apiVersion: v1
kind: Pod
metadata: {name: marmot}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: marmot
      image: $E2E_MARMOT_IMAGE
      imagePullPolicy: IfNotPresent
      command: [/bin/marmot-standin]
      env: [{name: MARMOT_API_KEY, valueFrom: {secretKeyRef: {name: marmot-api-key, key: api-key}}}]
      readinessProbe: {httpGet: {path: /livez, port: 8080}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
FILE
k wait pod/marmot --for=condition=Ready --timeout="${PATIENCE}s" >/dev/null || fail "the stand-in does not start"
# By address: it needs neither DNS nor Services.
MARMOT_URL=http://$(field pod/marmot .status.podIP):8080
prove "the stand-in for Marmot's server answers at $MARMOT_URL"
