package dirs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops"
)

func bundle(hash string) *gitops.Bundle {
	return &gitops.Bundle{Revision: "rev-" + hash, Hash: hash, Files: map[string][]byte{
		"leaf/prometheus.yml": []byte("# " + hash), "leaf/rules/a.yml": []byte("groups: [] # " + hash),
	}}
}

func open(t *testing.T, c Config) *Dirs {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// whole checks that current leads to one of these revisions, all of it, and
// returns which.
func whole(t *testing.T, base string, hashes ...string) string {
	t.Helper()
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(base, "current", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, h := range hashes {
		if read("leaf/prometheus.yml") == "# "+h && read("leaf/rules/a.yml") == "groups: [] # "+h && read("leaf/revision") == h+"\n" {
			return h
		}
	}
	t.Fatalf("current holds %q and %q, want one whole revision of %v", read("leaf/prometheus.yml"), read("leaf/rules/a.yml"), hashes)
	return ""
}

func TestDeliver(t *testing.T) {
	base := t.TempDir()
	d := open(t, Config{Base: base, Keep: 2})
	if blank, err := d.Blank(t.Context()); !blank || err != nil {
		t.Fatalf("a new folder: blank %t, %v", blank, err)
	}
	defer func() {
		if blank, err := open(t, Config{Base: base}).Blank(t.Context()); blank || err != nil {
			t.Errorf("a folder that was delivered to: blank %t, %v", blank, err)
		}
	}()
	for i := range 6 {
		h := fmt.Sprintf("hash%d", i)
		if err := d.Deliver(t.Context(), bundle(h)); err != nil {
			t.Fatal(err)
		}
		whole(t, base, h)
		if got, err := d.Loaded(t.Context()); err != nil || got != h {
			t.Fatalf("loaded %q, error %v; want %s", got, err, h)
		}
	}
	entries, err := os.ReadDir(filepath.Join(base, "revisions"))
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d revisions are kept, error %v; want 3", len(entries), err)
	}
}

// Each tier finds the hash beside its configuration, also one of several zones.
func TestRevisionOfEachTier(t *testing.T) {
	base := t.TempDir()
	b := bundle("h")
	for _, name := range []string{"zone/eu/prometheus.yml", "zone/us/prometheus.yml", "zone/us/rules/a.yml", "root/prometheus.yml"} {
		b.Files[name] = []byte("# h")
	}
	if err := open(t, Config{Base: base}).Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(base, "current", "*", "revision"))
	if err != nil {
		t.Fatal(err)
	}
	zones, err := filepath.Glob(filepath.Join(base, "current", "zone", "*", "revision"))
	if err != nil || len(files) != 2 || len(zones) != 2 {
		t.Fatalf("revisions in %v and %v, error %v; want those of leaf, root and two zones", files, zones, err)
	}
}

// resident is a tier in this process.
type resident struct {
	base    string
	open    bool
	refuses error
	loaded  string
	reloads int
}

func (r *resident) Reload() error {
	r.reloads++
	if r.refuses != nil {
		return r.refuses
	}
	data, err := os.ReadFile(filepath.Join(r.base, "current", "leaf", "revision"))
	r.loaded = strings.TrimSpace(string(data))
	return err
}

func (r *resident) Revision() (string, error) {
	if !r.open {
		return "", errors.New("not open")
	}
	return r.loaded, nil
}

// passing is an error of the moment.
type passing struct{}

func (passing) Error() string   { return "it starts" }
func (passing) Temporary() bool { return true }

// A tier in the same process is asked and told without HTTP: what it refuses is a
// refusal, and that it is not there yet is none.
func TestResident(t *testing.T) {
	base := t.TempDir()
	r := &resident{base: base, refuses: passing{}}
	d := open(t, Config{Base: base, Workloads: []Workload{{Name: "leaf", Resident: r}}})
	var refused *gitops.RefusedError
	if err := d.Deliver(t.Context(), bundle("a")); err == nil || errors.As(err, &refused) {
		t.Fatalf("a tier that starts: %v, want an error, and no refusal", err)
	}
	if _, err := d.Loaded(t.Context()); err == nil {
		t.Fatal("a tier that is not open has loaded something")
	}
	r.open, r.refuses, r.loaded = true, nil, "a" // it was opened with what lies there
	before := r.reloads
	if err := d.Deliver(t.Context(), bundle("a")); err != nil || r.reloads != before {
		t.Fatalf("what it has read already: %v, %d reloads", err, r.reloads-before)
	}
	if err := d.Deliver(t.Context(), bundle("b")); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Loaded(t.Context()); got != "b" || err != nil {
		t.Fatalf("loaded %q, error %v; want b", got, err)
	}
	r.refuses = errors.New("line 3: nonsense")
	if err := d.Deliver(t.Context(), bundle("c")); !errors.As(err, &refused) || !strings.Contains(refused.Message, "line 3") {
		t.Fatalf("a refusal: %v", err)
	}
}

// What was altered on the disk is replaced, without touching what may be read.
func TestDrift(t *testing.T) {
	base := t.TempDir()
	d := open(t, Config{Base: base, Keep: 2})
	if err := d.Deliver(t.Context(), bundle("h")); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(dir string) error{
		func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "leaf", "prometheus.yml"), []byte("evil"), 0o644)
		},
		func(dir string) error { return os.WriteFile(filepath.Join(dir, "leaf", "more"), nil, 0o644) },
		func(dir string) error { return os.Remove(filepath.Join(dir, "leaf", "rules", "a.yml")) },
	} {
		if err := change(filepath.Join(base, "current")); err != nil {
			t.Fatal(err)
		}
		if err := d.Deliver(t.Context(), bundle("h")); err != nil {
			t.Fatal(err)
		}
		whole(t, base, "h")
		if got, err := d.Loaded(t.Context()); err != nil || got != "h" {
			t.Fatalf("loaded %q, error %v; want h", got, err)
		}
	}
}

// However often the disk fails on the way, current leads to one whole revision,
// and the next delivery succeeds.
func TestInterrupted(t *testing.T) {
	base := t.TempDir()
	d := open(t, Config{Base: base, Keep: 1})
	if err := d.Deliver(t.Context(), bundle("old")); err != nil {
		t.Fatal(err)
	}
	for after := 0; ; after++ {
		d := open(t, Config{Base: base, Keep: 1})
		n := 0
		d.fsync = func(f *os.File) error {
			if n++; n > after {
				return errors.New("the power is cut")
			}
			return f.Sync()
		}
		hash := fmt.Sprintf("new%d", after)
		err := d.Deliver(t.Context(), bundle(hash))
		got := whole(t, base, "old", hash)
		var unwritten *gitops.UnwrittenError
		if err != nil && errors.As(err, &unwritten) != (got == "old") {
			t.Fatalf("current is %s after error %v (unwritten: %t)", got, err, got != "old")
		}
		if err == nil {
			if got != hash || after < 5 {
				t.Fatalf("delivered after %d calls of fsync, current is %s", after, got)
			}
			break
		}
		if err := open(t, Config{Base: base, Keep: 1}).Deliver(t.Context(), bundle("old")); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(base, "revisions"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) {
			t.Errorf("unfinished folder %s stays", e.Name())
		}
	}
}

func TestHostileNames(t *testing.T) {
	base := t.TempDir()
	d := open(t, Config{Base: filepath.Join(base, "in")})
	for _, name := range []string{"../out", "/out", "a/../../out", `a\b`, "", ".", "leaf/revision"} {
		b := bundle("h")
		b.Files[name] = []byte("x")
		if err := d.Deliver(t.Context(), b); err == nil {
			t.Errorf("file %q is delivered", name)
		}
	}
	for _, hash := range []string{"", "../x", "a/b", ".", strings.Repeat("x", 200)} {
		if err := d.Deliver(t.Context(), bundle(hash)); err == nil {
			t.Errorf("hash %q is accepted", hash)
		}
	}
	if entries, _ := os.ReadDir(base); len(entries) != 1 {
		t.Errorf("the base's folder holds %v", entries)
	}
}

// workload is a process that loads what current leads to when it is told.
func workload(t *testing.T, base string) (*httptest.Server, *string, *int) {
	t.Helper()
	loaded, status := "", http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case q.URL.Path == "/-/reload" && q.Method == http.MethodPost:
			if status != http.StatusOK {
				http.Error(w, "scrape interval of job \"x\" is nonsense", status)
				return
			}
			data, err := os.ReadFile(filepath.Join(base, "current", "leaf", "revision"))
			if err != nil {
				t.Error(err)
			}
			loaded = strings.TrimSpace(string(data))
		case q.URL.Path == "/metrics" && loaded != "":
			fmt.Fprintf(w, "# TYPE pando_config_in_effect_info gauge\npando_config_in_effect_info{revision=%q} 1\n", loaded)
		}
	}))
	t.Cleanup(srv.Close)
	return srv, &loaded, &status
}

func TestWorkload(t *testing.T) {
	base := t.TempDir()
	srv, _, status := workload(t, base)
	d := open(t, Config{Base: base, Keep: 2, Workloads: []Workload{{Name: "leaf-0", URL: srv.URL}}})
	loaded := func(want string) {
		t.Helper()
		if got, err := d.Loaded(t.Context()); err != nil || got != want {
			t.Fatalf("loaded %q, error %v; want %q", got, err, want)
		}
	}
	loaded("")
	if err := d.Deliver(t.Context(), bundle("a")); err != nil {
		t.Fatal(err)
	}
	loaded("a")
	*status = http.StatusInternalServerError
	err := d.Deliver(t.Context(), bundle("b"))
	var no *gitops.RefusedError
	if !errors.As(err, &no) || no.Workload != "leaf-0" || !strings.Contains(no.Message, "nonsense") {
		t.Fatalf("error %v, want leaf-0's own words", err)
	}
	loaded("a")
	for _, s := range []int{503, 404, 401} {
		*status = s
		if err := d.Deliver(t.Context(), bundle("b")); err == nil || errors.As(err, &no) {
			t.Fatalf("HTTP status %d: error %v, want one that is tried again", s, err)
		}
	}
	*status = http.StatusOK
	if err := d.Deliver(t.Context(), bundle("b")); err != nil {
		t.Fatal(err)
	}
	loaded("b")
	srv.Close()
	if _, err := d.Loaded(t.Context()); err == nil {
		t.Fatal("a workload that is down confirms")
	}
}

// Workloads that run different revisions confirm none.
func TestWorkloadsDiffer(t *testing.T) {
	base := t.TempDir()
	one, _, _ := workload(t, base)
	two, loaded, _ := workload(t, base)
	d := open(t, Config{Base: base, Workloads: []Workload{{Name: "a", URL: one.URL}, {Name: "b", URL: two.URL}}})
	if err := d.Deliver(t.Context(), bundle("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Loaded(t.Context()); err != nil || got != "x" {
		t.Fatalf("loaded %q, error %v; want x", got, err)
	}
	*loaded = "y"
	if got, err := d.Loaded(t.Context()); err == nil {
		t.Fatalf("loaded %q, want an error", got)
	}
}

// One of several tiers that refuses a revision leaves none on another than the others:
// those that took it go back at once, and who starts meanwhile reads that too.
func TestRefusalLeavesNoMix(t *testing.T) {
	for refusing := range 3 {
		t.Run(fmt.Sprint(refusing), func(t *testing.T) {
			base := t.TempDir()
			var all []Workload
			var loaded [3]*string
			var answers [3]*int
			for i, name := range []string{"leaf", "zone", "root"} {
				srv, l, code := workload(t, base)
				all, loaded[i], answers[i] = append(all, Workload{Name: name, URL: srv.URL}), l, code
			}
			d := open(t, Config{Base: base, Keep: 2, Workloads: all})
			if err := d.Deliver(t.Context(), bundle("a")); err != nil {
				t.Fatal(err)
			}
			*answers[refusing] = http.StatusInternalServerError
			err := d.Deliver(t.Context(), bundle("b"))
			var no *gitops.RefusedError
			if !errors.As(err, &no) || no.Workload != all[refusing].Name {
				t.Fatalf("error %v, want the refusal of %s", err, all[refusing].Name)
			}
			whole(t, base, "a")
			for i := range all {
				if *loaded[i] != "a" {
					t.Errorf("%s runs %q, want a as all do", all[i].Name, *loaded[i])
				}
			}
		})
	}
}

// Who cannot be told does not keep the others on what they have: a return reaches
// those that it can. What has loaded what is told of a mix.
func TestUnreachableKeepsNobody(t *testing.T) {
	base := t.TempDir()
	one, _, status := workload(t, base)
	two, loaded, _ := workload(t, base)
	d := open(t, Config{Base: base, Workloads: []Workload{{Name: "leaf", URL: one.URL}, {Name: "zone", URL: two.URL}}})
	for _, h := range []string{"a", "b"} {
		if err := d.Deliver(t.Context(), bundle(h)); err != nil {
			t.Fatal(err)
		}
	}
	*status = http.StatusServiceUnavailable
	err := d.Deliver(t.Context(), bundle("a"))
	var unwritten *gitops.UnwrittenError
	if err == nil || errors.As(err, &unwritten) || *loaded != "a" {
		t.Fatalf("zone runs %q, error %v; want a, and that leaf was not told", *loaded, err)
	}
	_, err = d.Loaded(t.Context())
	var mix *gitops.MixedError
	if !errors.As(err, &mix) || !slices.Equal(mix.Hashes, []string{"b", "a"}) {
		t.Fatalf("loaded: %v, want both named", err)
	}
	one.Close()
	_, err = d.Loaded(t.Context())
	if !errors.As(err, &mix) || !slices.Equal(mix.Hashes, []string{"a"}) {
		t.Fatalf("loaded: %v, want who can be asked named", err)
	}
}

func TestHangUp(t *testing.T) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	base := t.TempDir()
	pid := filepath.Join(base, "pid")
	d := open(t, Config{Base: base, Workloads: []Workload{{Name: "a", URL: "http://127.0.0.1:1", PIDFile: pid}}})
	for _, text := range []string{"", "1", "-5", "x"} {
		if err := os.WriteFile(pid, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := d.Deliver(t.Context(), bundle("h")); err == nil {
			t.Errorf("process id %q is signalled", text)
		}
	}
	if err := os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.Deliver(t.Context(), bundle("h")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-hup:
	case <-ctx.Done():
		t.Fatal("no SIGHUP came")
	}
}
