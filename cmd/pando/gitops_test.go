package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	gitplanet "github.com/pandometrics/pando/gitops/planet"
)

func starterFS(t *testing.T) fstest.MapFS {
	t.Helper()
	files, err := gitplanet.Starter()
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: data}
	}
	return out
}

// The starter planet is rendered as the loop would, waves and gates included.
func TestPlanetRenderer(t *testing.T) {
	b, err := planetRenderer{"eu-2", &checkedPlanets{}}.Render(t.Context(), "r1", starterFS(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(b.Files["leaf/prometheus.yml"]) == 0 || len(b.Waves) != 3 || len(b.Waves[0].Gates) != 2 || b.Waves[0].Gates[0].For == 0 || b.Waves[0].Bake == 0 {
		t.Fatalf("bundle of %d files with waves %+v", len(b.Files), b.Waves)
	}
	if _, err := (planetRenderer{"nowhere", &checkedPlanets{}}).Render(t.Context(), "r1", starterFS(t)); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Fatalf("a cluster that is not in the planet: error %v", err)
	}
	broken := starterFS(t)
	broken["scrape/broken.yml"] = &fstest.MapFile{Data: []byte("scrape_configs:\n" + strings.Repeat("  - job_nam: x\n", 50))}
	_, err = planetRenderer{"eu-2", &checkedPlanets{}}.Render(t.Context(), "r1", broken)
	if err == nil || !strings.Contains(err.Error(), "scrape/broken.yml:2:") || !strings.Contains(err.Error(), "more") || strings.Count(err.Error(), "\n") > maxTold {
		t.Fatalf("error %v, want the first with file and line, and how many more there are", err)
	}
}

func TestMayCommand(t *testing.T) {
	for _, c := range []struct {
		authenticated bool
		from, host    string
		may           bool
	}{
		{false, "127.0.0.1:5", "127.0.0.1:9095", true},
		{false, "127.0.0.1:5", "localhost:9095", true},
		{false, "[::1]:5", "[::1]:9095", true},
		{false, "10.0.0.1:5", "127.0.0.1:9095", false},
		{false, "127.0.0.1:5", "evil.example:9095", false},
		{false, "", "", false},
		{true, "10.0.0.1:5", "gitops:9095", true},
	} {
		q := httptest.NewRequest("POST", "/", nil)
		q.RemoteAddr, q.Host = c.from, c.host
		if err := mayCommand(c.authenticated)(q); (err == nil) != c.may {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Flags that make no sense are refused, with the flag or what to change.
func TestGitopsFlagsRefused(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "root.yml")
	if err := os.WriteFile(conf, []byte("nonsense: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := []string{"gitops", "--cluster=a", "--deliver.path=" + dir + "/out", "--state.path=" + dir + "/state", "--web.listen-address=127.0.0.1:0"}
	for says, args := range map[string][]string{
		"scheme \"file\"":         {"--git.url=file://h/p", "--root.url=http://r"},
		"exactly one of a branch": {"--git.url=https://h/p", "--root.url=http://r", "--git.branch=a", "--git.tag=b"},
		"--root.url":              {"--git.url=https://h/p", "--root.url=r:1"},
		"--root.http-config-file": {"--git.url=https://h/p", "--root.url=http://r", "--root.http-config-file=" + conf},
		"there is no --workload":  {"--git.url=https://h/p", "--root.url=http://r", "--workload.pid-file=x=/run/x"},
		"between a second":        {"--git.url=https://h/p", "--root.url=http://r", "--interval=1ms"},
		"must begin with http":    {"--git.url=https://h/p", "--root.url=http://r", "--workload=leaf=127.0.0.1:9090"},
	} {
		var out, errOut shared // a listener that was opened may still say so
		if code := runMain(t.Context(), append(base, args...), &out, &errOut); code != 1 || !strings.Contains(errOut.String(), says) {
			t.Errorf("%v: exit code %d, %q; want 1 and %q", args, code, errOut.String(), says)
		}
	}
}

// shared is a buffer that several goroutines may write to.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Editors get the schema of each kind of file.
func TestSchemasAreServed(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+schemaPath+"{kind}", serveSchema)
	for path, want := range map[string]int{"planet": 200, "rules.json": 200, "limits.json": 200, "nothing.json": 404} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", schemaPath+path, nil))
		if w.Code != want || want == 200 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %.100s", path, w.Code, w.Body)
		}
	}
}

// What is scraped at link-local addresses is named by address or network.
func TestScrapeFlags(t *testing.T) {
	f := &scrapeFlags{allow: []string{"169.254.20.10", "::ffff:169.254.1.1", "169.254.30.0/24"}}
	got, err := f.allowed()
	if err != nil || len(got) != 3 || got[0].String() != "169.254.20.10/32" || got[1].String() != "169.254.1.1/32" || got[2].String() != "169.254.30.0/24" {
		t.Errorf("%v, error %v", got, err)
	}
	f.allow = []string{"metadata.google.internal"}
	if _, err := f.allowed(); err == nil || !strings.Contains(err.Error(), "--scrape.allow-link-local") {
		t.Errorf("error %v, want that it is no address", err)
	}
}
