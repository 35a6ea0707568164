// A stand-in for Marmot's server: it answers `marmot ingest` as v0.10.0 does, keeps what pipelines brought in memory, and
// writes every call to standard output as one line of JSON.
//
// Pipelines whose name begins with `loses` lose one asset per batch, as that version does without a word.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
)

type asset struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Providers []string `json:"providers"`
}

func (a asset) mrn() string {
	provider := strings.Join(a.Providers, "+")
	return strings.ToLower(strings.ReplaceAll(fmt.Sprintf("mrn://%s/%s/%s", a.Type, provider, a.Name), " ", "-"))
}

// run is an ingestion that was started and not completed yet.
type run struct {
	pipeline string
	mrns     []string
}

type catalog struct {
	sync.Mutex
	key string
	// runs by their ID.
	runs map[string]*run
	// assets that exist, by MRN, each with the pipelines that bring it.
	assets map[string]map[string]bool
	// completed holds what the last completed run of each pipeline brought: a destroy knows nothing else.
	completed map[string][]string
}

func (c *catalog) start(request struct {
	Pipeline string `json:"pipeline_name"`
}) any {
	id := fmt.Sprintf("run-%d", len(c.runs)+1)
	c.runs[id] = &run{pipeline: request.Pipeline}
	return map[string]any{"id": id, "run_id": id, "status": "running", "started_at": "2026-01-01T00:00:00Z"}
}

func (c *catalog) batch(request struct {
	RunID    string  `json:"run_id"`
	Pipeline string  `json:"pipeline_name"`
	Assets   []asset `json:"assets"`
}) any {
	results := []any{}
	for index, asset := range request.Assets {
		status := "created"
		switch {
		case index == 0 && strings.HasPrefix(request.Pipeline, "loses"):
			status = "failed"
		case len(c.assets[asset.mrn()]) > 0:
			status = "unchanged"
		default:
			c.assets[asset.mrn()] = map[string]bool{}
		}
		if status != "failed" {
			c.assets[asset.mrn()][request.Pipeline] = true
			if run := c.runs[request.RunID]; run != nil {
				run.mrns = append(run.mrns, asset.mrn())
			}
		}
		results = append(results, map[string]string{
			"name": asset.Name, "type": asset.Type, "provider": strings.Join(asset.Providers, ","), "status": status,
		})
	}
	return map[string]any{"assets": results}
}

func (c *catalog) complete(request struct {
	RunID  string `json:"run_id"`
	Status string `json:"status"`
}) any {
	if run := c.runs[request.RunID]; run != nil && request.Status == "completed" {
		c.completed[run.pipeline] = run.mrns
	}
	return map[string]string{"status": request.Status}
}

func (c *catalog) destroy(pipeline string) any {
	gone := []string{}
	for _, mrn := range c.completed[pipeline] {
		if c.assets[mrn][pipeline] {
			delete(c.assets[mrn], pipeline)
			gone = append(gone, mrn)
		}
	}
	delete(c.completed, pipeline)
	return map[string]any{"assets_deleted": len(gone), "deleted_entity_mrns": gone}
}

func (c *catalog) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.URL.Path == "/livez" || request.URL.Path == "/readyz" {
		return
	}
	c.Lock()
	defer c.Unlock()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	status, answer := c.answer(request, body)
	written := json.RawMessage("null")
	if json.Valid(body) {
		written = body
	}
	line, _ := json.Marshal(map[string]any{
		"call": request.Method + " " + request.URL.Path, "status": status, "body": written,
	})
	fmt.Println(string(line))
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	_ = json.NewEncoder(writer).Encode(answer)
}

func (c *catalog) answer(request *http.Request, body []byte) (int, any) {
	if request.Header.Get("X-API-Key") != c.key {
		return http.StatusUnauthorized, map[string]string{"error": "Invalid API key"}
	}
	switch call := request.Method + " " + request.URL.Path; call {
	case "POST /api/v1/runs/start":
		return decoded(body, c.start)
	case "POST /api/v1/runs/assets/batch":
		return decoded(body, c.batch)
	case "POST /api/v1/runs/complete":
		return decoded(body, c.complete)
	default:
		if pipeline, found := strings.CutPrefix(call, "DELETE /api/v1/pipelines/"); found {
			return http.StatusOK, c.destroy(pipeline)
		}
		return http.StatusNotFound, map[string]string{"error": "not found"}
	}
}

func decoded[Request any](body []byte, handle func(Request) any) (int, any) {
	var request Request
	if err := json.Unmarshal(body, &request); err != nil {
		return http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	return http.StatusOK, handle(request)
}

func main() {
	key := os.Getenv("MARMOT_API_KEY")
	if key == "" {
		log.Fatal("MARMOT_API_KEY is not set: it is the key that callers must send")
	}
	log.Fatal(http.ListenAndServe(":8080", &catalog{
		key: key, runs: map[string]*run{}, assets: map[string]map[string]bool{}, completed: map[string][]string{},
	}))
}
