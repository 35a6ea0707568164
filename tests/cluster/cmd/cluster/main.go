// Command cluster starts a real Kubernetes control plane with a fake node on loopback, keeps it, and leaves nothing
// behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const usage = `usage:
  cluster up --state DIR [options]   start a cluster; print one line of JSON when it is ready
  cluster down --state DIR           stop the cluster that keeps its state in DIR
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "cluster:", err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return flag.ErrHelp
	}
	switch args[0] {
	case "up":
		return up(args[1:])
	case "down":
		return down(args[1:])
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("unknown command %q", args[0])
	}
}

// options are the flags of `up`.
type options struct {
	state               string
	bin                 string
	detach              bool
	untilEOF            bool
	keep                bool
	restart             bool
	noKwok              bool
	noControllerManager bool
	timeout             time.Duration
	auditLog            string
	keepHistory         bool
	apiserverArgs       list
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func parse(args []string) (options, error) {
	self, err := os.Executable()
	if err != nil {
		return options{}, err
	}
	var o options
	flags := flag.NewFlagSet("cluster up", flag.ContinueOnError)
	flags.StringVar(&o.state, "state", "", "`folder` for data, keys and logs; made if missing, removed at the end")
	flags.StringVar(&o.bin, "bin", filepath.Dir(self), "`folder` of kube-apiserver and the others")
	flags.BoolVar(&o.detach, "detach", false, "return when the cluster is ready; `cluster down` ends it")
	flags.BoolVar(&o.untilEOF, "until-eof", false, "end when standard input does, so that the cluster dies with its parent")
	flags.BoolVar(&o.keep, "keep", false, "leave the state folder when the cluster ends")
	flags.BoolVar(&o.restart, "restart", false, "start a component that ends again, instead of giving up")
	flags.BoolVar(&o.noKwok, "no-kwok", false, "no scheduler and no fake node")
	flags.BoolVar(&o.noControllerManager, "no-controller-manager", false, "no Job controller and no garbage collector")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "how long the cluster may take to become ready")
	flags.StringVar(&o.auditLog, "audit-log", "", "`file` to which kube-apiserver writes who asked what; see audit.go")
	flags.BoolVar(&o.keepHistory, "keep-history", false, "keep every version of every object, as JSON, for etcd/history")
	flags.Var(&o.apiserverArgs, "apiserver-arg", "one more `argument` for kube-apiserver; repeatable")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.state == "":
		return o, errors.New("--state is required")
	case o.detach && o.untilEOF:
		return o, errors.New("--detach and --until-eof exclude each other")
	}
	if o.state, err = filepath.Abs(o.state); err != nil {
		return o, err
	}
	if o.auditLog != "" {
		if o.auditLog, err = filepath.Abs(o.auditLog); err != nil {
			return o, err
		}
	}
	o.bin, err = filepath.Abs(o.bin)
	return o, err
}

func up(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.detach {
		return detach(o, args)
	}
	lock, err := claim(o.state)
	if err != nil {
		return err
	}
	defer lock.Close()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if o.untilEOF {
		ctx = untilEOF(ctx, os.Stdin)
	}
	if err := serve(ctx, o); err != nil {
		return fmt.Errorf("%w (logs in %s)", err, o.state)
	}
	if o.keep {
		return nil
	}
	return os.RemoveAll(o.state)
}

// untilEOF ends the context when nobody holds the other end of the pipe any more.
func untilEOF(parent context.Context, pipe io.Reader) context.Context {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		_, _ = io.Copy(io.Discard, pipe)
		cancel()
	}()
	return ctx
}
