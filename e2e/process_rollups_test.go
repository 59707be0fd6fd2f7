package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodRollups = "rollups: [{name: jobs, expr: 'sum(up) by (job)', interval: 1m, keep: {root: {for: 90d}}}]\n"

// pando check rollups says what is wrong with a file, what is right, and what
// the format is.
func TestProcessCheckRollups(t *testing.T) {
	processes(t)
	file := writeFile(t, "good.yml", goodRollups)
	r := run(t, pando(t), "check", "rollups", file)
	if err := mentions([]string{r.out}, "jobs", "sum by (job) (up)", "root: every 1m for 90d", "OK: 1 rollup"); r.code != 0 || err != nil {
		t.Errorf("a good file: exit code %d, %v, %s", r.code, err, r.errOut)
	}
	for name, text := range map[string]string{
		"no yaml": "\t{", "unknown field": strings.Replace(goodRollups, "name", "title", 1), "expr": strings.Replace(goodRollups, "sum(up)", "quantile(0.9, up)", 1),
	} {
		bad := writeFile(t, "bad.yml", text)
		if r := run(t, pando(t), "check", "rollups", bad); r.code != 1 || !strings.Contains(r.errOut, bad) {
			t.Errorf("%s: exit code %d, %s%s", name, r.code, r.out, r.errOut)
		}
	}
	if r := run(t, pando(t), "check", "rollups", "--schema"); r.code != 0 || !json.Valid([]byte(r.out)) {
		t.Errorf("schema: exit code %d, %s%s", r.code, r.out, r.errOut)
	}
	for _, args := range [][]string{{}, {"/nonexistent.yml"}, {"--url=nowhere:1", file}} {
		if r := run(t, pando(t), append([]string{"check", "rollups"}, args...)...); r.code != 1 || r.errOut == "" {
			t.Errorf("%q: exit code %d, %s%s", args, r.code, r.out, r.errOut)
		}
	}
	leaf := startLeaf(t, freeAddress(t), "eu", "eu-1")
	if r := run(t, pando(t), "check", "rollups", "--url="+leaf.http, file); r.code != 0 || !strings.Contains(r.out, " series; root: ") {
		t.Errorf("with a leaf: exit code %d, %s%s", r.code, r.out, r.errOut)
	}
}

// What a leaf's query log says is asked becomes rules that pando check rollups
// takes, from the log and from the leaf.
func TestProcessSuggestRollups(t *testing.T) {
	processes(t)
	log := filepath.Join(t.TempDir(), "queries.log")
	leaf := startLeaf(t, freeAddress(t), "eu", "eu-1", "--query.log-file="+log)
	end := time.Now().Add(-time.Hour).Truncate(time.Hour)
	for range 2 {
		a, err := call(leaf.http, "/api/v1/query_range", url.Values{
			"query": {"sum(up) by (job) > 0"}, "start": {seconds(end.Add(-time.Hour))}, "end": {seconds(end)}, "step": {"60"},
		})
		if err != nil || a.Code != http.StatusOK {
			t.Fatalf("answered %d, %v", a.Code, err)
		}
	}
	for _, args := range [][]string{{log}, {"--url=" + leaf.http}} {
		r := run(t, pando(t), append([]string{"rollup", "suggest", "--tier=zone", "--tier=root"}, args...)...)
		if err := mentions([]string{r.out}, "asked 2 times", "sum by (job) (up)", "interval: 1m", "zone:", "root:"); r.code != 0 || err != nil {
			t.Errorf("%q: exit code %d, %v, %s%s", args, r.code, err, r.out, r.errOut)
		}
		if c := run(t, pando(t), "check", "rollups", writeFile(t, "suggested.yml", r.out)); c.code != 0 {
			t.Errorf("check rollups: exit code %d, %s%s", c.code, c.out, c.errOut)
		}
	}
	if r := run(t, pando(t), "rollup", "suggest", "/nonexistent"); r.code != 1 || r.errOut == "" {
		t.Errorf("no such log: exit code %d, %s%s", r.code, r.out, r.errOut)
	}
}
