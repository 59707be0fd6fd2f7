package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"

	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/rollup"
)

// parseLeaf parses flags of a leaf.
func parseLeaf(t *testing.T, args ...string) *leafFlags {
	t.Helper()
	app := kingpin.New("pando", "")
	f := &leafFlags{}
	f.register(app.Command("leaf", ""))
	if _, err := app.Parse(append([]string{"leaf"}, args...)); err != nil {
		t.Fatal(err)
	}
	return f
}

// runPando runs pando and returns what it writes.
func runPando(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = runMain(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

// newPlanet writes a starter planet.
func newPlanet(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "planet")
	if code, _, stderr := runPando(t, "config", "init", dir); code != 0 {
		t.Fatal(stderr)
	}
	return dir
}

// change replaces a text in a file of a planet.
func change(t *testing.T, dir, name, old, now string) {
	t.Helper()
	file := filepath.Join(dir, name)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(data), old, now)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What init writes is valid, and leaves accept what every cluster of it gets.
func TestStarterIsAccepted(t *testing.T) {
	dir := newPlanet(t)
	code, stdout, stderr := runPando(t, "check", "planet", dir)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "3 clusters, 3 waves") {
		t.Fatalf("check planet: exit code %d, %s%s", code, stdout, stderr)
	}
	for _, cluster := range []string{"eu-1", "eu-2", "us-1"} {
		to := filepath.Join(t.TempDir(), cluster)
		if code, _, stderr := runPando(t, "config", "render", "--cluster", cluster, "-o", to, dir); code != 0 {
			t.Fatal(stderr)
		}
		summary, err := leaf.CheckConfig(filepath.Join(to, "leaf/prometheus.yml"))
		if err != nil || strings.Contains(summary, "warning") || !strings.Contains(summary, "requests.yml: 2 groups, 3 rules") {
			t.Errorf("%s: %v\n%s", cluster, err, summary)
		}
		if _, err := leaf.CheckAggregations(filepath.Join(to, "leaf/aggregations.yml")); err != nil {
			t.Errorf("%s: %v", cluster, err)
		}
		data, err := os.ReadFile(filepath.Join(to, "leaf/rollups.yml"))
		if err != nil {
			t.Fatal(err)
		}
		if rules, err := rollup.Parse(data); err != nil || len(rules.All()) != 1 {
			t.Errorf("%s: %v", cluster, err)
		}
	}
}

// A planet is not written over what is there.
func TestInitOverwritesNothing(t *testing.T) {
	dir := newPlanet(t)
	if code, _, stderr := runPando(t, "config", "init", dir); code != 1 || !strings.Contains(stderr, "not empty") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// Errors have a file and a line, and end with exit code 1; as JSON too.
func TestCheckPlanetTellsErrors(t *testing.T) {
	dir := newPlanet(t)
	change(t, dir, "rules/leaf/requests.yml", "sum by (job) (rate(http_requests_total[5m]))", "sum by (job) (rate(http_requests_total))")
	change(t, dir, "limits/root.yml", "query.timeout: 2m", "query.timeout: soon")
	code, stdout, stderr := runPando(t, "check", "planet", dir)
	for _, want := range []string{"rules/leaf/requests.yml:9:15: the expression is wrong", "limits/root.yml:2:16: query.timeout"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%s", want, stderr)
		}
	}
	if code != 1 || stdout != "" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	code, stdout, _ = runPando(t, "check", "planet", "-o", "json", dir)
	if code != 1 || !strings.Contains(stdout, `"valid": false`) || !strings.Contains(stdout, `"line": 9`) {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

// A rule test that fails is told where it stands; without --tests it is not run.
func TestCheckPlanetRunsTests(t *testing.T) {
	dir := newPlanet(t)
	change(t, dir, "tests/requests.yml", "value: 3", "value: 4")
	code, _, stderr := runPando(t, "check", "planet", dir)
	if code != 1 || !strings.Contains(stderr, "tests/requests.yml:43:9: test requests add up over the planet: sum(job:http_requests:rate5m) at 20m0s: expected {} 4, got {} 3") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := runPando(t, "check", "planet", "--no-tests", dir); code != 0 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// A second render to the same directory leaves nothing of the first; others'
// directories are not touched.
func TestRenderToDirectory(t *testing.T) {
	dir, to := newPlanet(t), filepath.Join(t.TempDir(), "out")
	for _, cluster := range []string{"eu-1", "eu-2"} {
		if code, _, stderr := runPando(t, "config", "render", "--cluster", cluster, "--output", to, dir); code != 0 {
			t.Fatal(stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "zone/eu/limits.yml")); !os.IsNotExist(err) {
		t.Errorf("the zone's files of the first cluster are still there: %v", err)
	}
	if code, _, stderr := runPando(t, "config", "render", "--cluster", "eu-1", "--output", dir, dir); code != 1 || !strings.Contains(stderr, "not written by this command") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := runPando(t, "config", "render", "--cluster", "eu-9", dir); code != 1 || !strings.Contains(stderr, `"eu-9"`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// Diff tells what a change means, not which lines it has.
func TestConfigDiff(t *testing.T) {
	from, to := newPlanet(t), newPlanet(t)
	if _, stdout, _ := runPando(t, "config", "diff", from, to); stdout != "no difference\n" {
		t.Errorf("of the same planet: %s", stdout)
	}
	change(t, to, "limits/leaf.yml", "50000000", "60000000")
	change(t, to, "scrape/pando.yml", "localhost:9090", "localhost:9190")
	change(t, to, "rules/leaf/requests.yml", "for: 5m", "for: 6m # a comment")
	_, stdout, stderr := runPando(t, "config", "diff", from, to)
	want := `~ job pando (leaf: eu-2, us-1)
    - target localhost:9090
    + target localhost:9190
~ alert TargetDown of group targets (leaf: eu-1, eu-2, us-1)
    for: 5m → 6m
~ query.max-samples (leaf: eu-1, eu-2)
    50000000 → 60000000
`
	if d := cmp.Diff(want, stdout); d != "" || stderr != "" {
		t.Errorf("(-want +got)\n%s%s", d, stderr)
	}
}

// The limits that files may set are the flags of the tiers.
func TestLimitsAreFlags(t *testing.T) {
	app, _ := newApp(&bytes.Buffer{}, &bytes.Buffer{})
	notLimits := []string{"query.log-file"}
	for _, tier := range []gitplanet.Tier{gitplanet.Leaf, gitplanet.Zone, gitplanet.Root} {
		var flags []string
		for _, f := range app.GetCommand(string(tier)).Model().Flags {
			if strings.HasPrefix(f.Name, "query.") && !slices.Contains(notLimits, f.Name) {
				flags = append(flags, f.Name)
			}
		}
		var limits []string
		for _, l := range gitplanet.LimitsOf(tier) {
			limits = append(limits, l.Name)
		}
		slices.Sort(flags)
		slices.Sort(limits)
		if d := cmp.Diff(flags, limits); d != "" {
			t.Errorf("%s (-flags +limits)\n%s", tier, d)
		}
	}
}

// A limits file sets what the command line does not.
func TestLimitsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.yml")
	text := "query.timeout: 1d\nquery.max-samples: 700000\nquery.max-bytes: 10MiB\nquery.lookback-delta: 2m\nquery.rollups: false\nquery.max-fragments: 0\nquery.max-series: 50000\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f := parseLeaf(t, "--limits.file", file, "--query.max-samples", "9")
	got := []any{f.limits.Timeout.String(), f.limits.MaxSamples, f.limits.MaxBytes, f.lookback.String(), f.use, f.limits.MaxSeries}
	if d := cmp.Diff([]any{"24h0m0s", 9, int64(10 << 20), "2m", false, 50_000}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// A limits file that is wrong keeps the process from starting.
func TestLimitsFileIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.yml")
	if err := os.WriteFile(file, []byte("query.timeout: 1m\nquery.max-sample: 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runPando(t, "leaf", "--limits.file", file, "--cluster", "a")
	if code == 0 || !strings.Contains(stderr, ":2:1: ") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// The live tree says how many series a change concerns, and if that is not all.
func TestConfigDiffAsksTheTree(t *testing.T) {
	from, to := newPlanet(t), newPlanet(t)
	change(t, to, "rules/root/requests.yml", "- alert: RequestsFail", "- {record: \"planet:up:sum\", expr: sum(up)}\n      - alert: RequestsFail")
	var asked []string
	partial := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		asked = append(asked, r.Form.Get("query"))
		if partial != "" {
			w.Header().Set("Pando-Partial", partial)
		}
		fmt.Fprint(w, `{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "42"]}]}}`)
	}))
	defer srv.Close()
	code, stdout, stderr := runPando(t, "config", "diff", "--url", srv.URL, from, to)
	if want := "+ rule planet:up:sum of group requests (root): 42 series\n    expr: sum(up)\n"; code != 0 || stdout != want {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if d := cmp.Diff([]string{"count(sum(up))"}, asked); d != "" {
		t.Errorf("asked (-want +got)\n%s", d)
	}
	partial = "true"
	if code, stdout, _ := runPando(t, "config", "diff", "--url", srv.URL, from, to); code != 3 || !strings.Contains(stdout, "42 series or more") {
		t.Errorf("partial: exit code %d, %s", code, stdout)
	}
	srv.Close()
	if code, stdout, _ := runPando(t, "config", "diff", "--url", srv.URL, from, to); code != 1 || !strings.Contains(stdout, "series unknown") {
		t.Errorf("nobody there: exit code %d, %s", code, stdout)
	}
}

// A planet that is wrong has no differences, but errors.
func TestConfigDiffOfWrongPlanet(t *testing.T) {
	from, to := newPlanet(t), newPlanet(t)
	change(t, to, "planet.yaml", "zone: us", "zone: mars")
	if code, stdout, stderr := runPando(t, "config", "diff", from, to); code != 1 || stdout != "" || !strings.Contains(stderr, "planet.yaml:") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

// Schemas are JSON.
func TestConfigSchema(t *testing.T) {
	for _, k := range gitplanet.Kinds() {
		code, stdout, stderr := runPando(t, "config", "schema", string(k))
		if code != 0 || !json.Valid([]byte(stdout)) {
			t.Errorf("%s: exit code %d, %s", k, code, stderr)
		}
	}
}

// What a repository links to is not read.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := newPlanet(t)
	secret := filepath.Join(t.TempDir(), "secret.yml")
	if err := os.WriteFile(secret, []byte("query.timeout: secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"limits/zone.yml", "zones/eu"} {
		if err := os.Symlink(secret, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := runPando(t, "check", "planet", dir)
		if code != 1 || !strings.HasPrefix(stderr, name+": ") || strings.Contains(stderr, "secret") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// Revisions of a git repository are compared as directories are, packed or not.
func TestConfigDiffOfRevisions(t *testing.T) {
	dir := newPlanet(t)
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	git("add", "-A")
	git("commit", "-q", "-m", "one")
	git("tag", "v1.0.0")
	change(t, dir, "limits/leaf.yml", "50000000", "60000000")
	git("commit", "-q", "-a", "-m", "two")
	want := "~ query.max-samples (leaf: eu-1, eu-2)\n    50000000 → 60000000\n"
	for _, packed := range []bool{false, true} {
		if packed {
			git("gc", "-q")
		}
		for _, from := range []string{"HEAD~1", "v1.0.0"} {
			_, stdout, stderr := runPando(t, "config", "diff", "--repository", filepath.Join(dir, "limits"), from, "main")
			if d := cmp.Diff(want, stdout); d != "" || stderr != "" {
				t.Errorf("%s, packed %t (-want +got)\n%s%s", from, packed, d, stderr)
			}
		}
	}
	change(t, dir, "limits/leaf.yml", "60000000", "70000000")
	if _, stdout, stderr := runPando(t, "config", "diff", "--repository", dir, "main", dir); !strings.Contains(stdout, "60000000 → 70000000") {
		t.Errorf("against the work tree: %s%s", stdout, stderr)
	}
	if code, _, stderr := runPando(t, "config", "diff", "--repository", dir, "nowhere", "main"); code != 1 || !strings.Contains(stderr, `"nowhere"`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := runPando(t, "config", "diff", "--repository", t.TempDir(), "HEAD", "main"); code != 1 || !strings.Contains(stderr, "not in a git repository") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// What a limits file says is read again by a tier that runs: what it no longer
// names is as without it, what the command line says stays, and what is wrong is
// named.
func TestLimitsFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("query.timeout: 1d\nquery.max-samples: 700000\nquery.max-bytes: 10MiB\nquery.rollups: false\nquery.leaf-parallelism: 3\n")
	f := parseLeaf(t, "--limits.file", file, "--query.max-samples", "9", "--query.max-series=11")
	running := *f
	write("query.max-samples: 800000\nquery.max-series: 50000\nquery.lookback-delta: 1m\nquery.max-length: 1099\n")
	got, err := f.retune.read()
	if err != nil {
		t.Fatal(err)
	}
	l := got.tree.Limits
	values := []any{l.Timeout, l.MaxSamples, l.MaxSeries, l.MaxBytes == l.MaxTotalBytes/2, got.tree.Lookback, l.MaxQueryLength, got.rollups, got.cores}
	if d := cmp.Diff([]any{2 * time.Minute, 9, 11, true, time.Minute, 1099, true, 0}, values); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if s := got.http.Flags; s["query.max-length"] != "1099" || s["query.timeout"] != "2m0s" || s["query.max-samples"] != "9" || s["log.level"] != "info" {
		t.Errorf("the flags shown are %v", s)
	}
	if running.limits.Timeout != 24*time.Hour || running.shown["query.timeout"] != "1d" {
		t.Error("reading changes the flags of the tier that runs")
	}
	for text, want := range map[string]string{
		"query.max-sample: 8":           ":1:1: ",
		"query.timeout: 0s":             ":1:16: ",
		"query.max-length: 99":          ":1:19: ",
		"query.max-series: 9999":        "write at least 10000",
		"query.max-fragments: 15":       "write at least 16",
		"query.timeout: 4s":             "write at least 5s",
		"query.max-response-bytes: 1B":  "write at least 1MiB",
		"query.timeout: [":              "limits.yml",
		"query.max-series: 1e400":       ":1:19: ",
		"query.partial-response: false": "not a limit of tier leaf",
	} {
		write(text)
		if _, err := f.retune.read(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := f.retune.read(); err == nil {
		t.Error("a file that is gone is no limits")
	}
}
