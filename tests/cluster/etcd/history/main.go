// Command history prints everything that an etcd has ever stored under some prefixes: one line of JSON for each change, in
// order. It reads a snapshot: a watch from the first revision gets a thousand of them at a time, and reads all for each.
// It fails if anything was compacted, and so is lost.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// change is one line. The revision is the object's resourceVersion; a key that was deleted has no value.
type change struct {
	Revision uint64          `json:"revision"`
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
		os.Exit(1)
	}
}

func run() error {
	endpoint := flag.String("endpoint", "", "`URL` of the etcd")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: history --endpoint URL PREFIX...")
		flag.PrintDefaults()
	}
	flag.Parse()
	folder, err := os.MkdirTemp("", "history-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "db")
	if err := save(*endpoint, file); err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	if err := print(file, flag.Args(), json.NewEncoder(out)); err != nil {
		return err
	}
	return out.Flush()
}

// save writes a snapshot to a file.
func save(endpoint, path string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	snapshot, err := client.Snapshot(context.Background())
	if err != nil {
		return err
	}
	defer snapshot.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, snapshot); err != nil {
		return err
	}
	return file.Close()
}

// keyLen is how long the keys of etcd's changes are: a revision of eight bytes, an underscore, and eight bytes that count
// within the revision. A final t says that the change is a deletion.
const keyLen = 17

// print reads the bucket in which etcd keeps its changes.
func print(path string, prefixes []string, out *json.Encoder) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("meta")).Get([]byte("scheduledCompactRev")) != nil {
			return errors.New("the etcd was compacted")
		}
		return tx.Bucket([]byte("key")).ForEach(func(revision, stored []byte) error {
			var kv mvccpb.KeyValue
			if err := kv.Unmarshal(stored); err != nil {
				return err
			}
			key := string(kv.Key)
			if !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
				return nil
			}
			if len(revision) > keyLen {
				kv.Value = nil
			}
			return out.Encode(change{binary.BigEndian.Uint64(revision), key, kv.Value})
		})
	})
}
