package main

import (
	"context"

	pluginsdk "github.com/marmotdata/plugin-sdk"
)

type source struct{}

func (source) Validate(raw pluginsdk.RawConfig) (pluginsdk.RawConfig, error) { return raw, nil }
func (source) Discover(ctx context.Context, raw pluginsdk.RawConfig) (*pluginsdk.DiscoveryResult, error) {
	return &pluginsdk.DiscoveryResult{}, nil
}

func main() {
	pluginsdk.Serve(&pluginsdk.ServeConfig{Meta: pluginsdk.Meta{ID: "example", Name: "Example"}, Source: source{}})
}
