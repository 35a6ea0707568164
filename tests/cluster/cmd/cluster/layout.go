package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// admin is the user of the kubeconfig that is handed out. The components have names of their own, so that an audit log
// tells them apart; all are in system:masters.
const admin = "admin"

var users = []string{admin, "kube-controller-manager", "kube-scheduler", "kwok"}

// layout is where everything is: files, ports, and hence the arguments of the components.
type layout struct {
	options
	etcdPort int
	apiPort  int
	keys     keys
}

// newLayout chooses ports, makes keys, and writes the files that the components read.
func newLayout(o options) (*layout, error) {
	l := &layout{options: o}
	var err error
	if l.etcdPort, err = freePort(); err != nil {
		return nil, err
	}
	if l.apiPort, err = freePort(); err != nil {
		return nil, err
	}
	if l.keys, err = newKeys(users); err != nil {
		return nil, err
	}
	files := map[string][]byte{
		l.file("ca.crt"):      l.keys.authority,
		l.file("serving.crt"): l.keys.certificate,
		l.file("serving.key"): l.keys.serving,
		l.file("tokens.key"):  l.keys.tokens,
		l.file("users.csv"):   l.keys.userFile(),
		l.file("env"):         l.env(),
		l.file("etcd.url"):    []byte(l.etcdURL()),
	}
	if l.auditLog != "" {
		files[l.file("audit-policy.yaml")] = []byte(auditPolicy)
	}
	for _, user := range users {
		files[l.kubeconfig(user)] = kubeconfig(l.server(), l.keys.authority, user, l.keys.users[user])
	}
	for path, text := range files {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// freePort picks a port below the range that the kernel takes for outgoing connections, so that no client can sit on
// the API server's port while that restarts.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(10000)
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

func (l *layout) file(name string) string { return filepath.Join(l.state, name) }

func (l *layout) kubeconfig(user string) string {
	if user == admin {
		return l.file("kubeconfig")
	}
	return l.file(user + ".kubeconfig")
}

func (l *layout) server() string { return fmt.Sprintf("https://127.0.0.1:%d", l.apiPort) }

func (l *layout) etcdURL() string { return fmt.Sprintf("http://127.0.0.1:%d", l.etcdPort) }

// env is a file to source in a shell. kubectl remembers a server's kinds by its address, and an address may come again
// with another cluster behind it: hence a cache of its own.
func (l *layout) env() []byte {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	var text []byte
	for _, variable := range [][2]string{
		{"KUBECONFIG", l.kubeconfig(admin)},
		{"MARMOT_TEST_KUBECONFIG", l.kubeconfig(admin)},
		{"KUBECACHEDIR", l.file("kubectl-cache")},
	} {
		text = fmt.Appendf(text, "export %s=%s\n", variable[0], quote(variable[1]))
	}
	return fmt.Appendf(text, "export PATH=%s:\"$PATH\"\n", quote(l.bin))
}

func (l *layout) etcd() component {
	args := []string{
		"--data-dir=" + l.file("etcd"),
		"--listen-client-urls=" + l.etcdURL(),
		"--advertise-client-urls=" + l.etcdURL(),
		"--listen-peer-urls=http://127.0.0.1:0",
		"--unsafe-no-fsync", // nothing here is worth a disk's latency
	}
	if l.keepHistory {
		args = append(args, "--quota-backend-bytes=8589934592") // the default would be full after an hour
	}
	return component{"etcd", args}
}

func (l *layout) apiserver() component {
	args := []string{
		"--etcd-servers=" + l.etcdURL(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(l.apiPort),
		"--endpoint-reconciler-type=none", // loopback is no valid endpoint
		"--cert-dir=" + l.state,
		"--tls-cert-file=" + l.file("serving.crt"),
		"--tls-private-key-file=" + l.file("serving.key"),
		"--token-auth-file=" + l.file("users.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.file("tokens.key"),
		"--service-account-signing-key-file=" + l.file("tokens.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		// Pods may come before the ServiceAccount controller, and a node untainted without a controller manager.
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
		"--max-requests-inflight=3000",
		"--max-mutating-requests-inflight=1500",
		"--profiling=false",
	}
	if l.keepHistory {
		args = append(args, "--etcd-compaction-interval=0", "--storage-media-type=application/json")
	}
	return component{"kube-apiserver", slices.Concat(args, l.auditArgs(), l.apiserverArgs)}
}

func (l *layout) controllerManager() component {
	return component{"kube-controller-manager", []string{
		"--kubeconfig=" + l.kubeconfig("kube-controller-manager"),
		"--leader-elect=false",
		"--secure-port=0",
		"--service-account-private-key-file=" + l.file("tokens.key"),
		"--root-ca-file=" + l.file("ca.crt"),
		"--flex-volume-plugin-dir=" + l.file("flex"), // the default is made under /usr
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}}
}

func (l *layout) scheduler() component {
	return component{"kube-scheduler", []string{
		"--kubeconfig=" + l.kubeconfig("kube-scheduler"),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}}
}

func (l *layout) kwok() component {
	return component{"kwok", []string{
		"--kubeconfig=" + l.kubeconfig("kwok"),
		"--config=" + l.file("stages.yaml"),
		"--manage-all-nodes",
		"--cidr=10.244.0.0/16",
		"--node-ip=127.0.0.1",
		"--node-lease-duration-seconds=40",
	}}
}
