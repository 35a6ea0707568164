//go:build tools

// Package tools pins the `marmot` that the runner is tested against.
package tools

import _ "github.com/marmotdata/marmot/cmd"
