//go:build tools

// Package helmunittest pins helm-unittest, which runs the unit tests of the chart. It is a module of its own because it
// needs a fork of a library, and Go heeds only the main module's replace.
package helmunittest

import _ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
