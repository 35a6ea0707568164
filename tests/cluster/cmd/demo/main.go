// Command demo shows the operator at work: a control plane, two replicas under the chart's own rights, the examples,
// and a table that follows the Runs. What it starts ends with it, in whatever way it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// settings say where things are and how long to go on.
type settings struct {
	bin      string
	operator string
	root     string
	state    string
	given    string
	limit    time.Duration
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func parse() (settings, error) {
	self, err := os.Executable()
	if err != nil {
		return settings{}, err
	}
	var s settings
	var seconds int
	flag.StringVar(&s.bin, "bin", filepath.Dir(self), "`folder` of kubectl, helm and cluster")
	flag.StringVar(&s.operator, "operator", "target/debug/marmot-operator", "the operator's `program`")
	flag.StringVar(&s.root, "root", ".", "`folder` with charts/ and examples/")
	flag.StringVar(&s.given, "kubeconfig", "", "use this cluster instead of starting one")
	flag.IntVar(&seconds, "seconds", 0, "end after so many seconds; 0: at Ctrl-C")
	flag.Parse()
	if flag.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	s.limit = time.Duration(seconds) * time.Second
	if s.operator, err = filepath.Abs(s.operator); err != nil {
		return s, err
	}
	if s.root, err = filepath.Abs(s.root); err != nil {
		return s, err
	}
	s.state, err = os.MkdirTemp("", "marmot-demo-")
	return s, err
}

func run() error {
	s, err := parse()
	if err != nil {
		return err
	}
	defer os.RemoveAll(s.state)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	d := newDemo(s)
	defer d.stop()
	if err := d.start(ctx); err != nil {
		return ended(ctx, err)
	}
	if s.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.limit)
		defer cancel()
	}
	d.welcome()
	return ended(ctx, d.follow(ctx))
}

// ended is nil when the demo ended because it was told to.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
