package treehttp

import (
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// Requests that come after a change are answered by it.
func TestRetune(t *testing.T) {
	var seen querytree.Options
	cfg := zoneLike(t)
	cfg.Flags = map[string]string{"query.max-length": "16384"}
	cfg.Queryable = reporting{SampleAndChunkQueryable: cfg.Queryable, seen: func(o querytree.Options) { seen = o }}
	f := build(t, cfg)
	to := *tuningOf(cfg)
	to.Lookback = time.Minute
	to.Limits.MaxQueryLength = 10
	to.Defaults.Strict = true
	to.Flags = map[string]string{"query.max-length": "10"}
	if err := f.Handler.Retune(to); err != nil {
		t.Fatal(err)
	}
	if w := f.do("GET", "/api/v1/query?query=up", ""); w.Code != 200 || !seen.Strict {
		t.Errorf("%d, strict %v: %s", w.Code, seen.Strict, w.Body)
	}
	for _, path := range []string{"/api/v1/query?query=", "/federate?match[]=", "/pando/api/v1/explain?query="} {
		if w := f.do("GET", path+"up_and_down", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "query.max-length") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := f.do("GET", "/api/v1/status/flags", ""); !strings.Contains(w.Body.String(), `"query.max-length":"10"`) || w.Header().Get("Vary") != "Origin" {
		t.Errorf("flags: %v %s", w.Header(), w.Body)
	}
	to.Limits.MaxQueryLength = 0
	if err := f.Handler.Retune(to); err == nil {
		t.Error("a limit of zero is accepted")
	}
}
