package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Limits of a file take effect in tiers that run, when they are told to reload:
// queries after that go by them, and the loaded revision is theirs. What is wrong is
// refused and named, and the limits that were in effect stay.
func TestProcessLimitsReload(t *testing.T) {
	processes(t)
	file := func(tier string) string { return filepath.Join(t.TempDir(), tier+".yml") }
	limits := map[string]string{"root": file("root"), "zone": file("zone"), "leaf": file("leaf")}
	for _, name := range limits {
		put(t, name, "query.max-length: 5000\n")
	}
	zoneConfig, leafConfig := t.TempDir(), t.TempDir()
	config := func(dir, revision, text string) string {
		put(t, filepath.Join(dir, "revision"), revision)
		put(t, filepath.Join(dir, "prometheus.yml"), text)
		return filepath.Join(dir, "prometheus.yml")
	}
	root := startRoot(t, "--limits.file="+limits["root"])
	zone := startZone(t, root.grpc, "--zone=eu", "--limits.file="+limits["zone"], "--config.file="+config(zoneConfig, "one", "global: {}\n"))
	leaf := startLeaf(t, zone.grpc, "eu", "eu-1", "--limits.file="+limits["leaf"], "--config.file="+config(leafConfig, "one", "global: {}\n"))
	tiers := map[string]*process{"root": root, "zone": zone, "leaf": leaf}
	awaitLeaves(t, root, 1)
	write(t, leaf, pt(1, "__name__", "a", "i", "1"), pt(1, "__name__", "a", "i", "2"))
	becomes(t, 60*time.Second, root.http, "count(a)", 2)

	reload := func(p *process) (int, string) {
		t.Helper()
		res, err := caller.Post(p.http+"/-/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	revision := func(p *process, want string) {
		t.Helper()
		if text, err := page(p.http + "/metrics"); err != nil || !strings.Contains(text, fmt.Sprintf("pando_config_in_effect_info{revision=%q} 1", want)) {
			t.Errorf("%s: revision %s is not in effect (%v)", p.name, want, err)
		}
	}
	long := "a" + strings.Repeat(" ", 1200)
	for kind, p := range tiers {
		put(t, limits[kind], "query.max-series: 20000\nquery.max-length: 1100\n")
		config(zoneConfig, "two", "global: {}\n")
		config(leafConfig, "two", "global: {}\n")
		if code, text := reload(p); code != http.StatusOK {
			t.Fatalf("%s: reload: %d %s", kind, code, text)
		}
		if _, err := vector(p.http, long); err == nil || !strings.Contains(err.Error(), "query.max-length") {
			t.Errorf("%s: a query of %d bytes, where 1100 are allowed now: %v", kind, len(long), err)
		}
		put(t, limits[kind], "query.max-serie: 3\n")
		config(zoneConfig, "three", "global: {}\n")
		config(leafConfig, "three", "global: {}\n")
		if code, text := reload(p); code != http.StatusInternalServerError || !strings.Contains(text, limits[kind]+":1:1:") {
			t.Errorf("%s: reload of a bad file: %d %s", kind, code, text)
		}
		if text, err := page(p.http + "/api/v1/status/flags"); err != nil || !strings.Contains(text, `"query.max-series":"20000"`) || !strings.Contains(text, `"query.max-length":"1100"`) {
			t.Errorf("%s: flags %s, %v", kind, text, err)
		}
		if kind != "root" { // which has no configuration file
			revision(p, "two")
		}
		put(t, limits[kind], "{}\n")
		if code, text := reload(p); code != http.StatusOK {
			t.Fatalf("%s: reload: %d %s", kind, code, text)
		}
		if v, err := vector(p.http, long); err != nil || len(v) != 2 {
			t.Errorf("%s: without limits of a file: %v, %v", kind, v, err)
		}
		if kind != "root" {
			revision(p, "three")
		}
	}
}

// put writes a file.
func put(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
