package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	systemNamespace = "marmot-system"
	namespace       = "marmot-demo"
	release         = "marmot-operator"
	replicas        = 2
)

// made is what the demo makes in a cluster that is not its own, the namespace of the Runs first.
var made = []string{"namespace/" + namespace, "namespace/" + systemNamespace, "clusterrole/" + release,
	"clusterrolebinding/" + release, "crd/runs.runs.marmotdata.io"}

// demo is everything that was started.
type demo struct {
	settings
	kubeconfig string
	started    time.Time
	work       chan func()
	children   []*exec.Cmd
	cluster    io.Closer
	installed  bool
}

// newDemo starts the thread that children come from: the kernel kills them when that thread ends (see cmd/cluster).
func newDemo(s settings) *demo {
	d := &demo{settings: s, started: time.Now(), kubeconfig: s.given, work: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for work := range d.work {
			work()
		}
	}()
	return d
}

func (d *demo) start(ctx context.Context) error {
	if d.given == "" {
		say("Starting a control plane on loopback, with a fake node")
		if err := d.startCluster(); err != nil {
			return err
		}
	}
	say("Installing the chart's CRD, ServiceAccounts and roles")
	if err := d.install(ctx); err != nil {
		return err
	}
	say("Starting " + strconv.Itoa(replicas) + " replicas of the operator under the chart's ServiceAccount")
	for replica := 1; replica <= replicas; replica++ {
		if err := d.startOperator(ctx, replica); err != nil {
			return err
		}
	}
	say("Applying examples/")
	_, err := d.kubectl(ctx, "", "apply", "-n", namespace, "-f", filepath.Join(d.root, "examples"))
	return err
}

// startCluster starts the supervisor, which ends when the pipe to it does.
func (d *demo) startCluster() error {
	cmd := exec.Command(filepath.Join(d.bin, "cluster"), "up", "--until-eof", "--state", filepath.Join(d.state, "cluster"))
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	d.cluster = pipe
	if err := d.spawn(cmd); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return errors.New("the control plane did not start")
	}
	var ready struct{ Kubeconfig string }
	if err := json.Unmarshal(line, &ready); err != nil {
		return err
	}
	d.kubeconfig = ready.Kubeconfig
	return nil
}

// install applies what the chart renders, except for the Deployment: the replicas are local processes here.
func (d *demo) install(ctx context.Context) error {
	args := []string{"template", release, filepath.Join(d.root, "charts/marmot-operator"), "--namespace", systemNamespace,
		"--set", "operator.enabled=true"}
	for _, part := range []string{"crd", "serviceaccounts", "rbac"} {
		args = append(args, "--show-only", "templates/"+part+".yaml")
	}
	rendered, err := d.output(ctx, "", "helm", args...)
	if err != nil {
		return err
	}
	if err := d.refuseIfInstalled(ctx); err != nil {
		return err
	}
	d.installed = true
	objects := make([]string, 0, 3)
	for _, name := range []string{systemNamespace, namespace} {
		objects = append(objects, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", name))
	}
	account := "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: marmot-ingest, namespace: %s}\n"
	objects = append(objects, fmt.Sprintf(account, namespace))
	all := strings.Join(objects, "---\n") + "---\n" + rendered
	if _, err := d.kubectl(ctx, all, "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return err
	}
	_, err = d.kubectl(ctx, "", "wait", "--for=condition=Established", "crd/runs.runs.marmotdata.io", "--timeout=30s")
	return err
}

// refuseIfInstalled keeps the demo from a cluster that has an operator, or anything of the demo's names: it would take over
// the roles of the one and delete the other in the end.
func (d *demo) refuseIfInstalled(ctx context.Context) error {
	if d.given == "" {
		return nil
	}
	found, err := d.kubectl(ctx, "", append([]string{"get", "--ignore-not-found", "-o", "name"}, made...)...)
	if err != nil {
		return err
	}
	if found = strings.TrimSpace(found); found != "" {
		return fmt.Errorf("this cluster has %s already: choose another, or take that away first", strings.ReplaceAll(found, "\n", ", "))
	}
	return nil
}

// startOperator starts a replica with a token of the chart's ServiceAccount: it may do what it may do in a cluster.
func (d *demo) startOperator(ctx context.Context, replica int) error {
	token, err := d.kubectl(ctx, "", "create", "token", release, "-n", systemNamespace, "--duration=24h")
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(d.state, fmt.Sprintf("operator-%d.kubeconfig", replica))
	admin, err := os.ReadFile(d.kubeconfig)
	if err != nil {
		return err
	}
	if err := os.WriteFile(kubeconfig, admin, 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"config", "set-credentials", "operator", "--token=" + strings.TrimSpace(token)},
		{"config", "set-context", "--current", "--user=operator"},
	} {
		if _, err := d.output(ctx, "", "kubectl", append([]string{"--kubeconfig", kubeconfig}, args...)...); err != nil {
			return err
		}
	}
	log, err := os.Create(d.log(replica))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.operator, "operator", "--kubeconfig", kubeconfig,
		"--leader-election-namespace", systemNamespace, "--marmot-url", "http://marmot."+systemNamespace+".svc:8080",
		"--image", "example.com/marmot:demo", "--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=127.0.0.1:0")
	cmd.Env = append(os.Environ(), fmt.Sprintf("POD_NAME=replica-%d", replica))
	cmd.Stdout, cmd.Stderr = log, log
	return d.spawn(cmd)
}

func (d *demo) log(replica int) string {
	return filepath.Join(d.state, fmt.Sprintf("operator-%d.log", replica))
}

// spawn starts a child that cannot outlive the demo and that Ctrl-C does not reach.
func (d *demo) spawn(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	d.work <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	d.children = append(d.children, cmd)
	return nil
}

// stop ends everything, the operators first, and removes from a given cluster what the demo made.
func (d *demo) stop() {
	fmt.Println("\nStopping")
	if d.given != "" && d.installed {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, _ = d.kubectl(ctx, "", "delete", "namespace", namespace, "--ignore-not-found")
		_, _ = d.kubectl(ctx, "", append([]string{"delete", "--ignore-not-found"}, made...)...)
	}
	for _, child := range d.children {
		_ = child.Process.Signal(syscall.SIGTERM)
	}
	if d.cluster != nil {
		_ = d.cluster.Close()
	}
	for _, child := range d.children {
		_ = child.Wait()
	}
}

func (d *demo) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return d.output(ctx, stdin, "kubectl", append([]string{"--kubeconfig", d.kubeconfig}, args...)...)
}

func (d *demo) output(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	// Discovery is remembered by address, and ports come again.
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(d.state, "kubectl-cache"))
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("%s %s: %s", name, strings.Join(args, " "), strings.TrimSpace(string(failed.Stderr)))
	}
	return string(out), err
}

func (d *demo) welcome() {
	fmt.Printf(`
Look at it from another terminal:

  export KUBECONFIG=%s PATH=%s:$PATH
  kubectl -n %s get runs
  kubectl -n %s get jobs --watch
  kubectl -n %s annotate run warehouse runs.marmotdata.io/trigger=true

Logs of the replicas: %s, %s. Ctrl-C stops everything.

`, d.kubeconfig, d.bin, namespace, namespace, namespace, d.log(1), d.log(2))
}

func say(what string) { fmt.Println("==>", what) }
