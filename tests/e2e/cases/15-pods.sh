# shellcheck shell=bash
# What pods meet elsewhere: quotas, users given by the cluster, identities, Secrets taken as a whole (R2, R8, R36).

pod=$(pod_of once-gen1)
is "pod/$pod" .spec.securityContext.runAsUser 10001
is "pod/$pod" .spec.containers[0].securityContext.readOnlyRootFilesystem true
prove "an image without a shell whose user is named, not numbered: the run was by user 10001, its root read-only"

run anyone <<'SPEC'
podSecurityContext: {runAsUser: 1000680000, runAsGroup: 0}
envFrom: [{prefix: SHELF_, secretRef: {name: shelf}}]
runs: [{shelf: {assets: 1, password: "${SHELF_password}", echo: "${TMPDIR} $${TMPDIR} $TMPDIR"}}]
SPEC
k create serviceaccount warehouse >/dev/null
k annotate serviceaccount warehouse eks.amazonaws.com/role-arn=arn:aws:iam::123456789012:role/on-the-account >/dev/null
run role <<'SPEC'
serviceAccountName: warehouse
podAnnotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::123456789012:role/warehouse"}
runs: [{shelf: {assets: 1, password: x, echo: "${AWS_ROLE_ARN} ${AWS_WEB_IDENTITY_TOKEN_FILE}"}}]
SPEC
ended anyone Succeeded Completed
is "pod/$(pod_of anyone-gen1)" .spec.securityContext.runAsUser 1000680000
calls anyone "POST /api/v1/runs/assets/batch" | holds "the batch" "\"description\":\"/tmp \${TMPDIR} \$TMPDIR\""
prove "user 1000680000, envFrom, \${NAME} and \$\${: Succeeded, and the source read what it should"
ended role Succeeded Completed
is "pod/$(pod_of role-gen1)" .spec.serviceAccountName warehouse
calls role "POST /api/v1/runs/assets/batch" \
  | holds "the batch" '"description":"arn:aws:iam::123456789012:role/warehouse /var/run/secrets/marmot-aws-token/token"'
prove "serviceAccountName and a role in podAnnotations: the source saw role and token file"

run twice <<'SPEC'
runs: [{shelf: {password: x}}, {shelf: {password: x}}]
SPEC
becomes "$RUNS/twice" '.status.conditions[?(@.type=="Ready")].reason' InvalidPipeline
[[ -z $(k get jobs --selector runs.marmotdata.io/run=twice --output name) ]] || fail "twice has a Job"
prove "two entries of one source: $(field "$RUNS/twice" '.status.conditions[?(@.type=="Ready")].message')"
for runs in '[]' '[shelf]'; do
  if said=$(run never 2>&1 <<<"runs: $runs"); then fail "runs: $runs is accepted"; fi
done
prove "runs: [] and an entry that is no map: refused by the API server"

# A namespace with quotas: every container of every pod must say what it takes, the init container too.
kubectl create namespace "$ELSEWHERE" >/dev/null
said=$(
  NAMESPACE=$ELSEWHERE
  k create quota all --hard=requests.cpu=2,requests.memory=2Gi,limits.cpu=4,limits.memory=4Gi,pods=5 >/dev/null
  k create serviceaccount marmot-ingest >/dev/null
  k create secret generic marmot-api-key --from-literal=api-key="$API_KEY" >/dev/null
  becomes quota/all .status.hard.pods 5
  run counted <<'SPEC'
runs: [{shelf: {assets: 1, password: x}}]
SPEC
  ended counted Succeeded Completed
  wide counted
  k delete "$RUNS/counted" --timeout="${PATIENCE}s" >/dev/null || fail "counted does not go"
)
kubectl delete namespace "$ELSEWHERE" --wait=false >/dev/null
prove "a namespace with a quota on requests and limits: $(tr -s ' ' <<<"$said")"
