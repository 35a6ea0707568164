package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockName is the file whose lock says that a supervisor lives, and whose presence that the folder is ours to empty.
const lockName = "supervisor.lock"

// logName is where a detached supervisor writes; it is open before the folder is claimed.
const logName = "supervisor.log"

var errRunning = errors.New("a cluster already runs there")

// claim makes the state folder this process's own: empty, but for its lock and log.
func claim(state string) (*os.File, error) {
	entries, err := survey(state)
	if err != nil {
		return nil, err
	}
	lock, err := tryLock(state)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", state, err)
	}
	for _, entry := range entries {
		if entry.Name() == lockName || entry.Name() == logName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(state, entry.Name())); err != nil {
			return nil, err
		}
	}
	if err := lock.Truncate(0); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(lock, os.Getpid())
	return lock, err
}

// survey makes the folder if it is missing, lists it, and refuses one that holds anybody else's files.
func survey(state string) ([]fs.DirEntry, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(state)
	if err != nil {
		return nil, err
	}
	ours := len(entries) == 0
	for _, entry := range entries {
		ours = ours || entry.Name() == lockName || entry.Name() == logName
	}
	if !ours {
		return nil, fmt.Errorf("%s is not empty and holds no cluster", state)
	}
	return entries, nil
}

// tryLock takes the supervisor's lock or answers errRunning. The kernel frees it however its holder ends.
func tryLock(state string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(state, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errRunning
		}
		return nil, err
	}
	return lock, nil
}

// holder is the process that holds the lock.
func holder(state string) (int, error) {
	text, err := os.ReadFile(filepath.Join(state, lockName))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
