package client

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const rollupFile = `rollups:
- name: job:requests:rate5m
  expr: sum(rate(http_requests_total[5m])) by (job)
  interval: 1m
  keep: {leaf: {for: 15d}, root: [{every: 1h, for: 5y}, {for: 30d}]}
- name: lag
  expr: avg(lag_seconds)
  interval: 30s
  keep: {zone: {for: 1d}}
`

func rollups(t *testing.T, file, server string) (code int, stdout, stderr string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rollups.yml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = Rollups(context.Background(), RollupsOptions{File: name, Server: server}, &out, &errs)
	return code, out.String(), strings.ReplaceAll(errs.String(), name, "FILE")
}

func TestRollups(t *testing.T) {
	code, stdout, stderr := rollups(t, rollupFile, "")
	ids := regexp.MustCompile(`\([0-9a-f]{16}\)`)
	want := `rollup 1: job:requests:rate5m (ID)
  sum by (job) (rate(http_requests_total[5m]))
  leaf: every 1m for 15d
  root: every 1m for 30d
  root: every 1h for 5y
rollup 2: lag (ID)
  avg(lag_seconds)
  zone: every 30s for 1d
OK: 2 rollups
`
	if d := cmp.Diff(want, ids.ReplaceAllString(stdout, "(ID)")); code != OK || stderr != "" || d != "" {
		t.Errorf("exit code %d, %s%s", code, stderr, d)
	}
}

// What is wrong is told with the file's name, all of it.
func TestRollupsRefused(t *testing.T) {
	code, stdout, stderr := rollups(t, strings.ReplaceAll(rollupFile, "interval: ", "interval: 1."), "")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if code != Failed || stdout != "" || len(lines) != 2 {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	for i, want := range []string{"FILE: rollup 1 (job:requests:rate5m): interval", "FILE: rollup 2 (lag): interval"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("got %s, want %s...", lines[i], want)
		}
	}
	var errs bytes.Buffer
	if code := Rollups(context.Background(), RollupsOptions{File: "/nonexistent"}, &errs, &errs); code != Failed || !strings.Contains(errs.String(), "/nonexistent") {
		t.Errorf("a missing file: exit code %d, %s", code, &errs)
	}
}

// With a server, it is told how large a rule is, and if that is not all.
func TestRollupsEstimate(t *testing.T) {
	answer := func(v string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + v + `]}}`
	}
	code, stdout, stderr := rollups(t, rollupFile, serve(t, 200, false, answer(`{"metric":{},"value":[0,"10"]}`)).URL)
	for _, want := range []string{"now: 10 series; leaf: 14400 points a day; root: 14640 points a day\n", "now: 20 series; zone: 57600 points a day\n"} {
		if code != OK || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, no %q in %s%s", code, want, stdout, stderr)
		}
	}
	if code, stdout, stderr = rollups(t, rollupFile, serve(t, 200, false, answer("")).URL); code != OK || !strings.Contains(stdout, "now: 0 series; leaf: 0 points") {
		t.Errorf("nothing there: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr = rollups(t, rollupFile, serve(t, 200, true, answer("")).URL); code != Partial || !strings.Contains(stdout, "0 series or more") {
		t.Errorf("a child is missing: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr = rollups(t, rollupFile, serve(t, 500, false, `{"status":"error","errorType":"execution","error":"no"}`).URL); code != Failed || !strings.Contains(stderr, "series of job:requests:rate5m: execution: no") || strings.Contains(stdout, "OK") {
		t.Errorf("no answer: exit code %d, %s%s", code, stdout, stderr)
	}
}
