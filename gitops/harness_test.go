package gitops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/gitops/wave"
)

// lineRenderer makes of a repository the file "config" for every cluster, and
// the waves of "waves.json". A config that says "invalid" is.
type lineRenderer struct{}

func (lineRenderer) Render(_ context.Context, _ string, files fs.FS) (*Bundle, error) {
	text, err := fs.ReadFile(files, "config")
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(text), "invalid") {
		return nil, errors.New("config:1: invalid: write something else")
	}
	b := &Bundle{Files: map[string][]byte{"leaf/prometheus.yml": text, "leaf/rules/a.yml": text}}
	sum := sha256.Sum256(text)
	b.Hash = hex.EncodeToString(sum[:8])
	data, err := fs.ReadFile(files, "waves.json")
	if err != nil {
		return nil, err
	}
	return b, json.Unmarshal(data, &b.Waves)
}

// history is a repository in memory: configs, the newest last.
type history struct{ configs []string }

func (h *history) revision(i int) *source.Revision {
	return &source.Revision{Hash: fmt.Sprintf("%040x", i+1), Ref: "refs/heads/main", Files: fstest.MapFS{
		"config": {Data: []byte(h.configs[i])}, "waves.json": {Data: []byte(`[{"name":"w0","clusters":["a"]}]`)},
	}}
}

func (h *history) Fetch(_ context.Context, want source.Want) (*source.Revision, error) {
	r := h.revision(len(h.configs) - 1)
	if r.Hash == want.Seen {
		return nil, source.ErrUnchanged
	}
	return r, nil
}

func (h *history) At(_ context.Context, hash, _ string) (*source.Revision, error) {
	for i := range h.configs {
		if r := h.revision(i); r.Hash == hash {
			return r, nil
		}
	}
	return nil, errors.New("there is no such revision")
}

// workload is what a loop delivers to.
type workload struct {
	mu        sync.Mutex
	delivered *Bundle
	loaded    *Bundle
	refuses   string // text of configs that it refuses
	ignores   string // text of configs that it never loads
	down      error
	blocked   error            // instead of being delivered to
	hinder    map[string]error // by config: instead of being delivered to
	unclear   error            // instead of saying whether what was delivered is loaded
	hurts     string           // text of configs that it cannot be asked with: only then unclear
	deliver   int
	history   []string
}

func (w *workload) Deliver(_ context.Context, b *Bundle) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return w.down
	}
	if w.blocked != nil {
		return w.blocked
	}
	text := string(b.Files["leaf/prometheus.yml"])
	if err := w.hinder[text]; err != nil {
		return err
	}
	w.deliver++
	w.delivered = b
	if w.refuses != "" && strings.Contains(text, w.refuses) {
		return &RefusedError{"leaf-0", "does not like " + text}
	}
	if w.ignores == "" || !strings.Contains(text, w.ignores) {
		w.loaded = b
		w.history = append(w.history, text)
	}
	return nil
}

func (w *workload) Loaded(context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return "", w.down
	}
	if w.unclear != nil && w.hurts == "" && w.delivered != w.loaded {
		return "", w.unclear
	}
	if w.hurts != "" && w.loaded != nil && strings.Contains(string(w.loaded.Files["leaf/prometheus.yml"]), w.hurts) {
		return "", w.unclear
	}
	if w.loaded == nil {
		return "", nil
	}
	return w.loaded.Hash, nil
}

// Blank implements Blank.
func (w *workload) Blank(context.Context) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.delivered == nil, nil
}

func (w *workload) runs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loaded == nil {
		return ""
	}
	return string(w.loaded.Files["leaf/prometheus.yml"])
}

// planet is some clusters with a loop each, one repository, and a tree that
// tells them what the others run.
type planet struct {
	t       testing.TB
	repo    *gittest.Repo
	now     time.Time
	loops   []*member
	down    bool
	partial bool // the root lacks a part
	// silent are clusters whose loop the tree hears nothing of.
	silent map[string]bool
	gate   func(expr string) wave.Verdict
	// failing are clusters that fail a gate in what there is of a partial answer.
	failing func(expr string) []string
	asked   int
}

type member struct {
	*planet
	name     string
	dir      string
	loop     *Loop
	workload *workload
	reg      *prometheus.Registry
	source   func(*source.Config)
	from     Source // instead of the planet's repository
}

// newPlanet has one wave for each cluster, with a gate and a minute to bake.
func newPlanet(t testing.TB, clusters ...string) *planet {
	p := &planet{t: t, repo: gittest.New(t), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), gate: func(string) wave.Verdict { return wave.Holds }}
	var waves []wave.Wave
	for i, c := range clusters {
		waves = append(waves, wave.Wave{Name: fmt.Sprintf("w%d", i), Clusters: []string{c}, Bake: time.Minute, Gates: []wave.Gate{{Name: "up", Expr: "up-" + c}}})
	}
	data, err := json.Marshal(waves)
	if err != nil {
		t.Fatal(err)
	}
	p.repo.Write("waves.json", string(data))
	for _, c := range clusters {
		m := &member{planet: p, name: c, dir: t.TempDir(), workload: &workload{}}
		p.loops = append(p.loops, m)
		m.open()
		t.Cleanup(func() {
			if m.loop != nil {
				_ = m.loop.Close()
			}
		})
	}
	return p
}

// open starts the loop, or starts it again.
func (m *member) open() {
	m.t.Helper()
	src := m.from
	if src == nil {
		src = m.repository()
	}
	cfg := DefaultConfig()
	cfg.Cluster, cfg.StateDir = m.name, m.dir
	m.reg = prometheus.NewPedanticRegistry()
	var err error
	m.loop, err = New(cfg, Deps{
		Source: src, Renderer: lineRenderer{}, Deliverer: m.workload, Confirmer: m.workload, Fleet: m.planet,
		Registerer: m.reg, Now: func() time.Time { return m.now }, Jitter: func() float64 { return 0.5 },
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.loop.sleep = func(_ context.Context, d time.Duration) error { m.now = m.now.Add(d); return nil }
	m.loop.spawn = func(f func()) { f() } // a turn of a test has all its answers
}

// repository is the planet's, as this cluster is configured to read it.
func (m *member) repository() Source {
	m.t.Helper()
	c := source.Config{URL: m.repo.URL, Branch: "main", AllowHTTP: true, Limits: source.Limits{Timeout: 10 * time.Second, Total: 4 << 20}}
	if m.source != nil {
		m.source(&c)
	}
	src, err := source.New(c)
	if err != nil {
		m.t.Fatal(err)
	}
	return src
}

// Fleet implements Fleet: what the loops say in their metrics.
func (p *planet) Fleet(context.Context) (*wave.Fleet, error) {
	p.asked++
	if p.down {
		return nil, errors.New("the root is down")
	}
	if p.partial {
		return nil, errors.New("the answer is partial")
	}
	return p.told(), nil
}

// Heard implements Hearsay.
func (p *planet) Heard(context.Context) (*wave.Fleet, error) {
	if p.down {
		return nil, errors.New("the root is down")
	}
	return p.told(), nil
}

func (p *planet) told() *wave.Fleet {
	f := &wave.Fleet{Clusters: map[string]string{}, Moving: map[string]string{}, Rejected: map[string]string{}}
	for _, m := range p.loops {
		if p.silent[m.name] {
			continue
		}
		families, err := m.reg.Gather()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, fam := range families {
			for _, metric := range fam.Metric {
				labels := map[string]string{}
				for _, l := range metric.Label {
					labels[l.GetName()] = l.GetValue()
				}
				switch fam.GetName() {
				case MetricLoaded:
					f.Clusters[m.name] = labels["revision"]
				case MetricRevision:
					if labels["state"] == statePending {
						f.Moving[m.name] = labels["revision"]
					}
				case MetricRejected:
					f.Rejected[labels["revision"]] = "by cluster " + m.name + ": " + labels["why"]
				case MetricPaused:
					if metric.GetGauge().GetValue() == 1 {
						f.Paused = m.name
					}
				}
			}
		}
	}
	return f
}

// Gate implements Fleet.
func (p *planet) Gate(_ context.Context, g wave.Gate) (GateAnswer, error) {
	p.asked++
	if p.down {
		return GateAnswer{}, errors.New("the root is down")
	}
	if p.partial {
		a := GateAnswer{}
		if p.failing != nil {
			a.Failing = p.failing(g.Expr)
		}
		return a, errors.New("the answer is partial")
	}
	a := GateAnswer{Verdict: p.gate(g.Expr), Samples: 1, Value: 1}
	if a.Verdict == wave.Fails {
		a.Value = 0
	}
	return a, nil
}

// pass lets time pass, with a turn of every loop each 15 seconds.
func (p *planet) pass(d time.Duration) {
	p.t.Helper()
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(15 * time.Second) {
		for _, m := range p.loops {
			m.loop.turn(p.t.Context())
		}
	}
}

// runs checks what the workloads run.
func (p *planet) runs(want ...string) {
	p.t.Helper()
	var got []string
	for _, m := range p.loops {
		got = append(got, m.workload.runs())
	}
	if !slices.Equal(got, want) {
		for _, m := range p.loops {
			s := m.loop.Status()
			p.t.Logf("%s: %s: %s; problems %v", m.name, s.State, s.Doing, slices.Collect(maps.Values(s.Problems)))
		}
		p.t.Fatalf("clusters run %q, want %q", got, want)
	}
}
