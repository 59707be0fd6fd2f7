package kube

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pandometrics/pando/gitops"
)

// source gives bundles as an API server would.
type source struct {
	b   *gitops.Bundle
	err error
}

func (s *source) pull(context.Context) (*gitops.Bundle, error) { return s.b, s.err }

func revision(hash string) *gitops.Bundle {
	return &gitops.Bundle{Revision: "c" + hash, Hash: hash, Files: map[string][]byte{"leaf/prometheus.yml": []byte(hash), "leaf/rules/a.yml": []byte(hash)}}
}

func follow(t *testing.T, s *source, base string) *Follower {
	t.Helper()
	f, err := newFollower(s.pull, "leaf", base, time.Minute, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tells checks what is on the disk and in the metric.
func tells(t *testing.T, f *Follower, want string) {
	t.Helper()
	for _, name := range []string{"prometheus.yml", "rules/a.yml"} {
		data, err := os.ReadFile(filepath.Join(f.base, "current", "leaf", name))
		if err != nil || string(data) != want {
			t.Errorf("%s holds %q, error %v; want %q", name, data, err, want)
		}
	}
	reg := prometheus.NewRegistry()
	if err := f.Register(reg); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(reg, RevisionMetric); err != nil || n != 1 || testutil.ToFloat64(f.loaded.WithLabelValues(want)) != 1 {
		t.Errorf("the metric does not tell of %q alone: %d series, error %v", want, n, err)
	}
}

func TestFollower(t *testing.T) {
	s, base := &source{b: revision("a")}, t.TempDir()
	f := follow(t, s, base)
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	tells(t, f, "a")

	s.b = revision("b")
	loads := 0
	if err := f.Reload(func() error { loads++; return nil }); err != nil || loads != 1 {
		t.Fatalf("%d loads, error %v", loads, err)
	}
	tells(t, f, "b")

	s.b = revision("c")
	no := errors.New("no such thing")
	var sawAtLoad []string
	err := f.Reload(func() error {
		data, _ := os.ReadFile(filepath.Join(base, "current", "leaf", "prometheus.yml"))
		sawAtLoad = append(sawAtLoad, string(data))
		if string(data) == "c" {
			return no
		}
		return nil
	})
	var later *NotFetchedError
	if !errors.Is(err, no) || errors.As(err, &later) {
		t.Errorf("error %v, want the refusal", err)
	}
	if len(sawAtLoad) != 2 || sawAtLoad[1] != "b" {
		t.Errorf("loaded %v, want the refused and then the old", sawAtLoad)
	}
	tells(t, f, "b")

	s.err = errors.New("API server away")
	if err := f.Reload(func() error { t.Error("loaded nothing new"); return nil }); !errors.As(err, &later) {
		t.Errorf("error %v, want one that may pass", err)
	}
	tells(t, f, "b")
}

// A process that starts again has what it loaded last, if there is nothing else
// or nothing better.
func TestFollowerStart(t *testing.T) {
	s, base := &source{b: revision("a")}, t.TempDir()
	if err := follow(t, s, base).Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.err = errors.New("API server away")
	f := follow(t, s, base)
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	tells(t, f, "a")

	s.err, s.b = nil, revision("bad")
	f = follow(t, s, base)
	if err := f.Start(t.Context(), func() error { return errors.New("invalid") }); err != nil {
		t.Fatal(err)
	}
	tells(t, f, "a")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.err = ErrNothingDelivered
	if err := follow(t, s, t.TempDir()).Start(ctx, nil); !errors.Is(err, ErrNothingDelivered) {
		t.Errorf("error %v, want that there is nothing yet", err)
	}
}

// A process that is killed before it has loaded what it fetched does not take that
// for what it loaded last, however many came before that were refused.
func TestFollowerKilled(t *testing.T) {
	s, base := &source{b: revision("a")}, t.TempDir()
	f := follow(t, s, base)
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no such thing")
	for _, bad := range []string{"b", "c", "d"} {
		s.b = revision(bad)
		if err := f.Reload(func() error {
			if data, err := os.ReadFile(filepath.Join(base, "current", "leaf", "prometheus.yml")); err != nil || string(data) == bad {
				return no
			}
			return nil
		}); !errors.Is(err, no) {
			t.Fatalf("error %v", err)
		}
	}
	s.b = revision("e")
	func() {
		defer func() { _ = recover() }()
		t.Logf("not killed: %v", f.Reload(func() error { panic("killed") }))
	}()
	if data, err := os.ReadFile(filepath.Join(base, "current", "leaf", "prometheus.yml")); err != nil || string(data) != "e" {
		t.Fatalf("the disk holds %q, error %v: nothing to tell apart", data, err)
	}
	s.err = errors.New("API server away")
	f = follow(t, s, base)
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	tells(t, f, "a")

	s.err = nil
	f = follow(t, s, base)
	checks := 0
	if err := f.Start(t.Context(), func() error { checks++; return no }); err != nil || checks != 1 {
		t.Fatalf("%d checks, error %v", checks, err)
	}
	tells(t, f, "a")
}

// What a workload is installed with is what it begins with, files that are not in
// it being empty, and follows, until the first revision comes; never after that.
func TestFollowerInitial(t *testing.T) {
	s, base, dir := &source{err: ErrNothingDelivered}, t.TempDir(), t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	has := func(name, want string) {
		t.Helper()
		if data, err := os.ReadFile(filepath.Join(base, "current", "leaf", name)); err != nil || string(data) != want {
			t.Errorf("%s holds %q, error %v; want %q", name, data, err, want)
		}
	}
	start := func() *Follower {
		t.Helper()
		f := follow(t, s, base)
		f.initial = dir
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return f
	}
	write("one")
	// As a mounted ConfigMap: its versions are in folders whose names begin with a dot.
	if err := os.Mkdir(filepath.Join(dir, "..data"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := start()
	has("prometheus.yml", "one")
	has("aggregations.yml", "rules: []\n")
	write("two")
	if err := f.Reload(func() error { has("prometheus.yml", "two"); return nil }); err != nil {
		t.Error(err)
	}
	write("three")
	f = start()
	has("prometheus.yml", "three")

	// A revision that has nothing for this tier is none for it.
	s.err = &notSaidError{commit: "c", folder: "leaf"}
	if err := f.Reload(func() error { has("prometheus.yml", "three"); return nil }); err != nil {
		t.Error(err)
	}

	s.b, s.err = revision("a"), nil
	if err := f.Reload(func() error { return nil }); err != nil {
		t.Error(err)
	}
	tells(t, f, "a")
	s.b, s.err = nil, ErrNothingDelivered // somebody removed what was delivered
	var later *NotFetchedError
	if err := f.Reload(func() error { t.Error("loaded"); return nil }); !errors.As(err, &later) {
		t.Errorf("error %v, want one that may pass", err)
	}
	tells(t, start(), "a")
}
