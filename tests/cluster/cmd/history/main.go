// Command history prints everything that an etcd has ever stored under some prefixes: one line of JSON for each change, in
// order, up to the revision that is current when it starts. What was compacted is lost, so nothing may have been.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// change is one line. The revision is the object's resourceVersion; a key that was deleted has no value.
type change struct {
	Revision int64           `json:"revision"`
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
	ctx := context.Background()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}})
	if err != nil {
		return err
	}
	defer client.Close()
	now, err := client.Get(ctx, "now")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	changes := client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(1))
	if err := print(changes, now.Header.Revision, flag.Args(), json.NewEncoder(out)); err != nil {
		return err
	}
	return out.Flush()
}

// print ends with the last revision: each one changed some key, so it comes.
func print(changes clientv3.WatchChan, last int64, prefixes []string, out *json.Encoder) error {
	for response := range changes {
		if err := response.Err(); err != nil {
			return err
		}
		for _, event := range response.Events {
			key := string(event.Kv.Key)
			isWanted := slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
			if isWanted {
				if err := out.Encode(change{event.Kv.ModRevision, key, event.Kv.Value}); err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
			}
			if event.Kv.ModRevision >= last {
				return nil
			}
		}
	}
	return errors.New("the watch has ended")
}
