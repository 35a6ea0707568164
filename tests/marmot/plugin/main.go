// Marmot plugin `shelf`: as many assets as its config asks for, for tests of the runner.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	pluginsdk "github.com/marmotdata/plugin-sdk"
)

// config of one entry.
type config struct {
	pluginsdk.BaseConfig `json:",inline"`

	// Assets is how many there are.
	Assets int `json:"assets" description:"Number of assets"`
	// Error is what discovery fails with.
	Error string `json:"error" description:"Text of an error"`
	// Pause is how long discovery takes; PIDFile then names the file that tells who takes it.
	Pause   string `json:"pause" description:"Duration of the discovery"`
	PIDFile string `json:"pid_file" description:"File for the plugin's process ID"`
	// Memory is how many MiB discovery takes, as one that reads a large source does.
	Memory int `json:"memory" description:"MiB of memory"`
	// Password is never used; whoever sees it has found a leak.
	Password string `json:"password" sensitive:"true" description:"Some secret" validate:"required"`
	// Echo is named in the description of every asset.
	Echo string `json:"echo" description:"Some text"`
}

type source struct{}

func (source) Validate(raw pluginsdk.RawConfig) (pluginsdk.RawConfig, error) {
	parsed, err := pluginsdk.UnmarshalConfig[config](raw)
	if err != nil {
		return nil, err
	}
	return raw, pluginsdk.ValidateStruct(parsed)
}

func (source) Discover(ctx context.Context, raw pluginsdk.RawConfig) (*pluginsdk.DiscoveryResult, error) {
	parsed, err := pluginsdk.UnmarshalConfig[config](raw)
	if err != nil {
		return nil, err
	}
	if parsed.Pause != "" {
		pause, err := time.ParseDuration(parsed.Pause)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(parsed.PIDFile, []byte(fmt.Sprint(os.Getpid())), 0o600); err != nil {
			return nil, err
		}
		time.Sleep(pause)
	}
	taken := make([]byte, parsed.Memory<<20)
	for index := 0; index < len(taken); index += os.Getpagesize() {
		taken[index] = 1
	}
	if parsed.Error != "" {
		return nil, errors.New(strings.ReplaceAll(parsed.Error, "PASSWORD", parsed.Password))
	}
	result := &pluginsdk.DiscoveryResult{}
	for index := range parsed.Assets {
		name := fmt.Sprintf("book %d", index)
		mrn := fmt.Sprintf("mrn://book/shelf/book-%d", index)
		result.Assets = append(result.Assets, pluginsdk.Asset{
			Name: &name, MRN: &mrn, Type: "Book", Providers: []string{"Shelf"}, Description: &parsed.Echo,
		})
	}
	return result, nil
}

func main() {
	pluginsdk.Serve(&pluginsdk.ServeConfig{
		Meta: pluginsdk.Meta{
			ID: "shelf", Name: "Shelf", Description: "Books", Icon: "shelf", Category: "storage",
			ConfigSpec: pluginsdk.GenerateConfigSpec(config{}),
		},
		Source: source{},
	})
}
