//go:build tools

// Package tools pins etcd in a module of its own: Kubernetes 1.37 asks for the libraries of etcd 3.7, and one module
// cannot hold both.
package tools

import _ "go.etcd.io/etcd/server/v3"
