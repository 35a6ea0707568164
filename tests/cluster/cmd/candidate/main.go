// Command candidate stands for election with client-go, as most operators do: one more candidate for the Lease of ours.
//
// It says on standard output when it is leading and when it has stopped, each with the time. SIGTERM makes it give the
// lease back and end.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "candidate:", err)
		os.Exit(1)
	}
}

func run() error {
	kubeconfig := flag.String("kubeconfig", "", "`file` that says where the API server is")
	namespace := flag.String("namespace", "", "`namespace` of the Lease")
	name := flag.String("lease", "", "`name` of the Lease")
	identity := flag.String("identity", "", "`name` of this candidate")
	duration := flag.Duration("lease-duration", 15*time.Second, "a silent leader is dead after this time")
	deadline := flag.Duration("renew-deadline", 10*time.Second, "a leader that cannot renew for so long stops")
	retry := flag.Duration("retry-period", 2*time.Second, "pause between attempts")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: *namespace, Name: *name},
			Client:     clients.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: *identity},
		},
		LeaseDuration:   *duration,
		RenewDeadline:   *deadline,
		RetryPeriod:     *retry,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { say("leading") },
			OnStoppedLeading: func() { say("stopped") },
		},
	})
	if err != nil {
		return err
	}
	ctx, release := context.WithCancel(context.Background())
	defer release()
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		// client-go demands that the work is over before the lease is given back, and says so itself only afterwards.
		say("stopped")
		release()
	}()
	elector.Run(ctx)
	return nil
}

func say(what string) { fmt.Println(what, time.Now().UTC().Format(time.RFC3339Nano)) }
