package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"test/cluster/kwok"
)

// ready is the line printed when the cluster can be used. A component that was not asked for has no process.
type ready struct {
	Kubeconfig           string `json:"kubeconfig"`
	Server               string `json:"server"`
	Bin                  string `json:"bin"`
	EtcdPid              int    `json:"etcdPid"`
	APIServerPid         int    `json:"apiserverPid"`
	ControllerManagerPid int    `json:"controllerManagerPid,omitempty"`
	SchedulerPid         int    `json:"schedulerPid,omitempty"`
	KwokPid              int    `json:"kwokPid,omitempty"`
}

// serve starts the cluster, reports it, and keeps it until the context or a component ends.
func serve(ctx context.Context, o options) error {
	l, err := newLayout(o)
	if err != nil {
		return err
	}
	n := newNursery(o.bin, o.state)
	defer n.stop()

	starting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	err = start(starting, l, n)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	line, err := json.Marshal(ready{
		Kubeconfig:           l.kubeconfig(admin),
		Server:               l.server(),
		Bin:                  o.bin,
		EtcdPid:              n.pids["etcd"],
		APIServerPid:         n.pids["kube-apiserver"],
		ControllerManagerPid: n.pids["kube-controller-manager"],
		SchedulerPid:         n.pids["kube-scheduler"],
		KwokPid:              n.pids["kwok"],
	})
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return keep(ctx, n, o.restart)
}

// start brings the components up in the order in which they need each other.
func start(ctx context.Context, l *layout, n *nursery) error {
	api := newAPI(l)
	for _, c := range []component{l.etcd(), l.apiserver()} {
		if err := n.start(c); err != nil {
			return err
		}
	}
	if err := await(ctx, n, "kube-apiserver", api.ready); err != nil {
		return err
	}
	if !l.noControllerManager {
		if err := n.start(l.controllerManager()); err != nil {
			return err
		}
	}
	if l.noKwok {
		return nil
	}
	if err := os.WriteFile(filepath.Join(l.state, "stages.yaml"), []byte(kwok.Stages()), 0o600); err != nil {
		return err
	}
	if err := api.post(ctx, "/api/v1/nodes", kwok.Node); err != nil {
		return err
	}
	for _, c := range []component{l.scheduler(), l.kwok()} {
		if err := n.start(c); err != nil {
			return err
		}
	}
	return await(ctx, n, "kwok", func(ctx context.Context) error { return api.nodeReady(ctx, kwok.NodeName) })
}

// await asks until the answer is yes, a component ends, or time is up.
func await(ctx context.Context, n *nursery, name string, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case e := <-n.ended:
			delete(n.pids, e.component.name)
			return n.failure(e)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its last words:\n%s", name, err, n.tail(name))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// keep watches the components until the context ends.
func keep(ctx context.Context, n *nursery, restart bool) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-n.ended:
			delete(n.pids, e.component.name)
			if !restart {
				return n.failure(e)
			}
			// A component that cannot start must not turn this into a busy loop.
			time.Sleep(100 * time.Millisecond)
			if err := n.start(e.component); err != nil {
				return err
			}
		}
	}
}
