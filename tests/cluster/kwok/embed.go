// Package kwok holds the fake node and the rules by which its pods live and end.
package kwok

import (
	_ "embed"

	"sigs.k8s.io/kwok/kustomize/stage/node/fast"
	heartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
)

// Node is the one fake node, ready to be posted as YAML.
//
//go:embed node.yaml
var Node string

// NodeName is the name that node.yaml gives its node.
const NodeName = "fake"

//go:embed pods.yaml
var pods string

// Stages is a configuration file for kwok: its own rules for nodes, ours for pods.
func Stages() string {
	return fast.DefaultNodeInit + "\n---\n" + heartbeat.DefaultNodeHeartbeatWithLease + "\n---\n" + pods
}
