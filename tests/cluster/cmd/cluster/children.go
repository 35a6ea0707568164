package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// component is a program of the cluster and how to call it.
type component struct {
	name string
	args []string
}

// ended reports that a child is gone.
type ended struct {
	component component
	state     *os.ProcessState
}

// nursery starts children that cannot outlive this process.
type nursery struct {
	bin   string
	state string
	work  chan func()
	ended chan ended
	pids  map[string]int
}

// newNursery starts the thread that all children come from. The kernel kills a child when the *thread* that made it ends,
// so that thread is kept for as long as the process lives.
func newNursery(bin, state string) *nursery {
	n := &nursery{bin: bin, state: state, work: make(chan func()), ended: make(chan ended, 16), pids: map[string]int{}}
	go func() {
		runtime.LockOSThread()
		for work := range n.work {
			work()
		}
	}()
	return n
}

// start runs a component with its output in NAME.log, notes its process in NAME.pid, and watches for its end.
func (n *nursery) start(c component) error {
	log, err := os.OpenFile(n.log(c.name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(n.bin, c.name), c.args...)
	cmd.Dir = n.state
	cmd.Env = []string{"HOME=" + n.state, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + n.state}
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: Ctrl-C reaches the supervisor only, which then ends the cluster in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}

	started := make(chan error)
	n.work <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	n.pids[c.name] = cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		n.ended <- ended{c, cmd.ProcessState}
	}()
	return os.WriteFile(filepath.Join(n.state, c.name+".pid"), fmt.Appendln(nil, cmd.Process.Pid), 0o600)
}

// stop kills all children and waits for them. There is nothing to save: the data goes with the state folder, and what
// etcd wrote is in the page cache.
func (n *nursery) stop() {
	for _, pid := range n.pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for range n.pids {
		<-n.ended
	}
}

// failure describes a child that ended although it should not have, with the last lines it wrote.
func (n *nursery) failure(e ended) error {
	return fmt.Errorf("%s ended (%s); its last words:\n%s", e.component.name, e.state, n.tail(e.component.name))
}

func (n *nursery) log(name string) string { return filepath.Join(n.state, name+".log") }

// tail is the end of a component's log.
func (n *nursery) tail(name string) string {
	const lines = 20
	text, err := os.ReadFile(n.log(name))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
