package leaf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// deliver makes the folder current one with a configuration of a revision.
func deliver(t *testing.T, base, revision, text string) {
	t.Helper()
	dir := filepath.Join(base, revision)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"prometheus.yml": text, "revision": revision + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(base, "next")
	if err := os.Symlink(revision, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(base, "current")); err != nil {
		t.Fatal(err)
	}
}

func loadedRevision(t *testing.T, l *Leaf, want string) {
	t.Helper()
	text := "# HELP pando_config_in_effect_info Revision of the configuration in effect, as the file revision beside the configuration file named it when it was loaded.\n" +
		"# TYPE pando_config_in_effect_info gauge\npando_config_in_effect_info{revision=\"" + want + "\"} 1\n"
	if want == "" {
		text = ""
	}
	if err := testutil.CollectAndCompare(l.revision, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// The metric names the revision that is in effect: the old one as long as a new
// one is refused.
func TestRevisionOfConfig(t *testing.T) {
	base := t.TempDir()
	deliver(t, base, "r1", "global: {scrape_interval: 20s}\n")
	cfg := testConfig(t.TempDir())
	cfg.ConfigFile = filepath.Join(base, "current", "prometheus.yml")
	l := openLeaf(t, cfg, Deps{})
	runLeaf(t, l)
	loadedRevision(t, l, "r1")
	if d := l.Describe(); d.Revision != "r1" || d.ReloadFailed {
		t.Errorf("parents are told %q, failed %v", d.Revision, d.ReloadFailed)
	}
	deliver(t, base, "r2", "global: {scrape_interval: nonsense}\n")
	if err := l.Reload(); err == nil {
		t.Fatal("a broken configuration was accepted")
	}
	loadedRevision(t, l, "r1")
	if d := l.Describe(); d.Revision != "r1" || !d.ReloadFailed {
		t.Errorf("parents are told %q, failed %v", d.Revision, d.ReloadFailed)
	}
	deliver(t, base, "r3", "global: {scrape_interval: 30s}\n")
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	loadedRevision(t, l, "r3")
	if err := os.Remove(filepath.Join(base, "r3", "revision")); err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	loadedRevision(t, l, "")
}

// What is read while the folder is replaced is not used.
func TestRevisionIsNotMixed(t *testing.T) {
	base := t.TempDir()
	deliver(t, base, "r1", "")
	file := filepath.Join(base, "current", "prometheus.yml")
	_, err := unmixed(file, func() error { deliver(t, base, "r2", ""); return nil })
	if err == nil || !strings.Contains(err.Error(), `"r1" by "r2"`) {
		t.Fatalf("error %v, want one that names both revisions", err)
	}
	if r, err := unmixed(file, func() error { return nil }); err != nil || r != "r2" {
		t.Fatalf("revision %q, error %v; want r2", r, err)
	}
	for _, bad := range []string{"two words", strings.Repeat("x", 200), "a\x00b"} {
		if err := os.WriteFile(filepath.Join(base, "r2", "revision"), []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readRevision(file); err == nil {
			t.Errorf("revision %q is accepted", bad)
		}
	}
}
