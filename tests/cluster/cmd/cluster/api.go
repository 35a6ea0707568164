package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// api is the little that the supervisor asks of the API server; a client library would cost a minute of building.
type api struct {
	server string
	token  string
	http   http.Client
}

func newAPI(l *layout) *api {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.keys.authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &api{l.server(), l.keys.users[admin], http.Client{Transport: transport, Timeout: 5 * time.Second}}
}

func (a *api) ready(ctx context.Context) error {
	_, err := a.do(ctx, http.MethodGet, "/readyz", "")
	return err
}

// post creates an object given as YAML.
func (a *api) post(ctx context.Context, path, yaml string) error {
	_, err := a.do(ctx, http.MethodPost, path, yaml)
	return err
}

// nodeReady answers nil when pods can be scheduled: the node is Ready, and no taint is left of the time when it was not.
func (a *api) nodeReady(ctx context.Context, name string) error {
	text, err := a.do(ctx, http.MethodGet, "/api/v1/nodes/"+name, "")
	if err != nil {
		return err
	}
	var node struct {
		Spec   struct{ Taints []struct{ Key string } }
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	if err := json.Unmarshal(text, &node); err != nil {
		return err
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("node %s is tainted %s", name, node.Spec.Taints[0].Key)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("node %s is not ready", name)
}

func (a *api) do(ctx context.Context, method, path, yaml string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.server+path, strings.NewReader(yaml))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	request.Header.Set("Accept", "application/json")
	if yaml != "" {
		request.Header.Set("Content-Type", "application/yaml")
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return text, nil
}
