package main

// auditPolicy is what --audit-log writes: who asked what, one line of JSON per request, the components' own traffic left
// out. A request that was served is one line, a watch is one when it begins. Lines of requests that the API server was
// killed in are missing.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
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
