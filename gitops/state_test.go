package gitops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

func TestStateRefused(t *testing.T) {
	for says, text := range map[string]string{
		"damaged":        `{"version":`,
		"version 2":      `{"version":2,"cluster":"a"}`,
		`of cluster "b"`: `{"version":1,"cluster":"b"}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := openStore(dir, "a"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("state %s: error %v, want one that says %q", text, err, says)
		}
	}
	dir := t.TempDir()
	s, _, err := openStore(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openStore(dir, "a"); err == nil || !strings.Contains(err.Error(), "used by another loop") {
		t.Errorf("a second loop on the same folder: error %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// A stored bundle that was damaged is as if it were not there.
func TestBundlesAreChecked(t *testing.T) {
	s, _, err := openStore(t.TempDir(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	b := &Bundle{Revision: "r1", Hash: "h", Files: map[string][]byte{"leaf/a": []byte("text")}, Waves: []wave.Wave{{Name: "w"}}}
	if err := s.keep(b); err != nil {
		t.Fatal(err)
	}
	if got := s.bundle("r1"); got == nil || string(got.Files["leaf/a"]) != "text" {
		t.Fatalf("bundle %+v, want what was kept", got)
	}
	name := filepath.Join(s.dir, "bundles", "r1")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 1
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.bundle("r1"); got != nil && (string(got.Files["leaf/a"]) != "text" || got.Hash != "h") {
			t.Fatalf("with byte %d changed it is %+v", i, got)
		}
	}
	for _, r := range []string{"", "..", "../state.json", "a/b"} {
		if s.bundle(r) != nil || s.keep(&Bundle{Revision: r}) == nil {
			t.Errorf("%q is the name of a bundle", r)
		}
	}
	if err := s.prune(func(string) bool { return false }); err != nil || s.bundle("r1") != nil {
		t.Fatalf("after pruning: %v %v", err, s.bundle("r1"))
	}
}

// What is remembered stays bounded.
func TestStateIsBounded(t *testing.T) {
	s := &State{}
	for i := range 1000 {
		r := strings.Repeat("x", i+1)
		s.good(r, time.Time{})
		s.reject(r+"-bad", strings.Repeat("why ", 1000), time.Time{})
	}
	if len(s.Good) != maxGood || len(s.Rejected) != maxRejected || len(s.History) != maxHistory || len(s.Rejected[0].Why) > maxWhy+3 {
		t.Fatalf("%d good, %d rejected, %d events", len(s.Good), len(s.Rejected), len(s.History))
	}
}
