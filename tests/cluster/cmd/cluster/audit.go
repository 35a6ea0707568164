package main

// auditPolicy is what --audit-log writes: who asked what, one line of JSON per request, written before the client's next
// word, so that nothing is missed while watches are down. What was stored of Runs, Jobs and the operator's Lease is written
// out in full; the components' own traffic is left out but for what they do to Jobs. A request that was served is one line,
// a watch is one when it begins. Lines of requests that the API server was killed in are missing.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: RequestResponse
  omitStages: [ResponseStarted]
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: batch
    resources: [jobs, jobs/status]
  - group: runs.marmotdata.io
    resources: [runs, runs/status]
- level: RequestResponse
  omitStages: [ResponseStarted]
  verbs: [create, update, patch]
  resources:
  - group: coordination.k8s.io
    resources: [leases]
    resourceNames: [marmot-operator.marmotdata.io]
- level: None
  users: [kube-controller-manager, kube-scheduler, kwok, "system:apiserver"]
- level: Metadata
  omitStages: [ResponseComplete]
  verbs: [watch]
- level: Metadata
  omitStages: [ResponseStarted]
`

// auditArgs are the API server's arguments for it; none without --audit-log.
func (l *layout) auditArgs() []string {
	if l.auditLog == "" {
		return nil
	}
	return []string{
		"--audit-policy-file=" + l.file("audit-policy.yaml"),
		"--audit-log-path=" + l.auditLog,
		"--audit-log-maxsize=1000000", // MB: one file
	}
}
