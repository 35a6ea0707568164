package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// detach runs the supervisor apart from this terminal and returns when it reports the cluster ready.
func detach(o options, args []string) error {
	if _, err := survey(o.state); err != nil {
		return err
	}
	// A file, not our standard error: whoever reads that through a pipe would otherwise wait as long as the cluster lives.
	log, err := os.Create(filepath.Join(o.state, logName))
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	supervisor := exec.Command(self, append(append([]string{"up"}, args...), "--detach=false")...)
	supervisor.Stderr = log
	supervisor.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdout, err := supervisor.StdoutPipe()
	if err != nil {
		return err
	}
	if err := supervisor.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = supervisor.Wait()
		text, _ := os.ReadFile(log.Name())
		os.Stderr.Write(text)
		return errors.New("the cluster did not start")
	}
	fmt.Print(line)
	return nil
}

// down stops the supervisor of a state folder and waits until it and all it started are gone.
func down(args []string) error {
	flags := flag.NewFlagSet("cluster down", flag.ContinueOnError)
	state := flags.String("state", "", "state `folder` of the cluster")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *state == "" {
		return errors.New("--state is required")
	}
	if _, err := os.Stat(filepath.Join(*state, lockName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for signalled := false; ; time.Sleep(20 * time.Millisecond) {
		lock, err := tryLock(*state)
		switch {
		case err == nil:
			// Ended, or crashed: then its leftovers are ours to remove. One started with --keep wanted them.
			defer lock.Close()
			if signalled {
				return nil
			}
			return os.RemoveAll(*state)
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, errRunning):
			return err
		case !signalled:
			pid, err := holder(*state)
			if err != nil {
				return err
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return fmt.Errorf("stop supervisor %d: %w", pid, err)
			}
			signalled = true
		}
	}
}
