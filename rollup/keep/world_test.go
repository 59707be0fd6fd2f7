package keep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

const (
	worldStep     = 10_000
	worldHold     = 200 * time.Second
	worldLookback = 1000 // so that a change touches points of its own time only
	worldRule     = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 1h}, {every: 30s, for: 2h}]}}]"
)

// world is what a tier collects from: two children, job=a of the one and job=b of
// the other, whose values change only when that is restated.
type world struct {
	now, final int64
	// up is how long time has passed for, whatever now was set to.
	up time.Duration
	// changes are how often the values of a time have changed.
	changes map[int64]int
	// away: the child with job=b does not answer. Sick: it does not although it is
	// connected.
	away, sick bool
	// warns: times of which the evaluation warns.
	warns map[int64]bool
	// fails reports whether a request of that range fails; may be nil.
	fails func(from, to int64) bool
	// asked counts requests, strict those of them.
	asked, strict int
}

func (w *world) value(job string, t int64) float64 {
	v := float64(t/worldStep) + 1e6*float64(w.changes[t])
	if job == "b" {
		v += 0.5
	}
	return v
}

// Exec implements Source.
func (w *world) Exec(_ context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	w.asked++
	if w.fails != nil && w.fails(req.Start, req.End) {
		return nil, errors.New("too large")
	}
	gone := w.away || w.sick
	if req.Strict {
		if w.strict++; gone {
			return nil, fmt.Errorf("b: %w", querytree.ErrUnavailable)
		}
	}
	set := &worldSet{}
	for _, job := range []string{"a", "b"} {
		if job == "b" && gone {
			set.report.Add("b", querytree.ChildReport{Failed: "away"})
			set.warn.Add(errors.New("partial answer: \"b\" did not answer"))
			continue
		}
		s := promql.Series{Metric: labels.FromStrings("job", job)}
		for t := req.Start; t <= req.End; t += req.Step {
			if w.warns[t] {
				set.warn.Add(errors.New("strange"))
			}
			v := w.value(job, t)
			if gone {
				v /= 2 // the other child has a part in it
			}
			s.Floats = append(s.Floats, promql.FPoint{T: t, F: v})
		}
		set.series = append(set.series, s)
	}
	return set, nil
}

type worldSet struct {
	series []promql.Series
	next   int
	warn   annotations.Annotations
	report querytree.Report
}

func (s *worldSet) Next() bool                        { s.next++; return s.next <= len(s.series) }
func (s *worldSet) At() promql.Series                 { return s.series[s.next-1] }
func (s *worldSet) Err() error                        { return nil }
func (s *worldSet) Warnings() annotations.Annotations { return s.warn }
func (s *worldSet) Report() querytree.Report          { return s.report }
func (s *worldSet) Close()                            {}

// tierOf is a tier that keeps rollups of a world.
type tierOf struct {
	*world
	tb    testing.TB
	dir   string
	rules string
	store *Store
	past  *Past
	c     *Collector
}

func newTierOf(tb testing.TB, w *world, dir, rules string) *tierOf {
	tb.Helper()
	k := &tierOf{world: w, tb: tb, dir: dir, rules: rules}
	k.open()
	tb.Cleanup(func() {
		if err := k.store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return k
}

func newWorld() *world {
	return &world{now: 10_000_000, final: 10_000_000, changes: map[int64]int{}, warns: map[int64]bool{}}
}

func mustRules(tb testing.TB, text string) *rollup.Rules {
	tb.Helper()
	rules, err := rollup.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return rules
}

func (k *tierOf) open() {
	k.tb.Helper()
	now := func() time.Time { return time.UnixMilli(k.now) }
	var err error
	if k.past, err = OpenPast(filepath.Join(k.dir, "past.json")); err != nil {
		k.tb.Fatal(err)
	}
	if k.store, err = Open(StoreConfig{Dir: k.dir, Tier: rollup.Root, Rules: mustRules(k.tb, k.rules), Now: now}); err != nil {
		k.tb.Fatal(err)
	}
	cfg := DefaultCollectorConfig()
	cfg.Store, cfg.Source, cfg.Past, cfg.Lookback, cfg.Hold, cfg.Batch, cfg.Parallel, cfg.Now = k.store, k.world, k.past, worldLookback, worldHold, 20, 1, now
	cfg.Final = func() int64 { return k.final }
	cfg.Missing = func() []string {
		if k.away {
			return []string{"b"}
		}
		return nil
	}
	cfg.Uptime = func() time.Duration { return k.up }
	if k.c, err = NewCollector(cfg); err != nil {
		k.tb.Fatal(err)
	}
}

// again opens the tier anew from a directory.
func (k *tierOf) again(dir string) {
	k.tb.Helper()
	if err := k.store.Close(); err != nil {
		k.tb.Fatal(err)
	}
	k.dir = dir
	k.open()
}

// pass has time pass; what is final follows unless a child is away.
func (k *tierOf) pass(d time.Duration) {
	k.now += d.Milliseconds()
	k.up += d
	if !k.away {
		k.final = k.now - 5000
	}
}

// restate changes the values of times, as a leaf does.
func (k *tierOf) restate(from, to int64) error {
	seen, err := k.past.Restate(from, to)
	if err != nil {
		return err
	}
	for t := up(from, worldStep); t <= to; t += worldStep {
		k.changes[t]++
	}
	seen()
	return nil
}

// collect makes what is due; rounds that fail are tried again later.
func (k *tierOf) collect() error {
	for range 200 {
		if err := k.c.Fresh(context.Background()); err != nil {
			return err
		}
		if !k.c.MakeGood(context.Background()) {
			return nil
		}
	}
	return nil
}

// read returns the points that a query is answered from, and fails the test for
// what is there twice or past its state.
func (k *tierOf) read(step int64, partial bool) (points map[int64]map[string]float64, missing []string) {
	k.tb.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr("sum by (job) (x)")
	if err != nil {
		k.tb.Fatal(err)
	}
	at := querytree.RewriteAt{Start: down(k.now-7200_000, step), End: down(k.now, step), Step: step, Lookback: worldLookback, Partial: partial}
	points = map[int64]map[string]float64{}
	r, _ := k.store.Rewriter(labels.EmptyLabels(), worldLookback).Rewrite(e.(*parser.AggregateExpr), at)
	if r == nil {
		return points, nil
	}
	for _, c := range r.Covered {
		for t := c.Mint; t <= c.Maxt; t += step {
			points[t] = map[string]float64{}
		}
	}
	_, err = r.Read(context.Background(), "sum", func(s promql.Series) error {
		job := s.Metric.Get("job")
		for _, p := range s.Floats {
			if points[p.T] == nil {
				k.tb.Errorf("%s at %d is there and not covered", job, p.T)
				continue
			}
			if _, ok := points[p.T][job]; ok {
				k.tb.Errorf("%s at %d is there twice", job, p.T)
			}
			points[p.T][job] = p.F
		}
		return nil
	})
	if err != nil {
		k.tb.Fatal(err)
	}
	return points, slices.Sorted(maps.Keys(r.Missing))
}

// check fails the test unless all that is whole is right; it returns how much that is.
func (k *tierOf) check(what string) (n int) {
	k.tb.Helper()
	stale := map[int64]bool{} // it is known that they are to be made again
	for _, r := range k.past.unapplied() {
		for t := up(r.Mint, worldStep); t <= r.Maxt && t <= k.now; t += worldStep {
			stale[t] = true
		}
	}
	for _, step := range []int64{worldStep, 30_000} {
		points, missing := k.read(step, false)
		if len(missing) > 0 {
			k.tb.Errorf("%s: whole points lack %q", what, missing)
		}
		for t, p := range points {
			if stale[t] {
				continue
			}
			n++
			if a, b := k.value("a", t), k.value("b", t); len(p) != 2 || p["a"] != a || p["b"] != b {
				k.tb.Errorf("%s: at %d got %v, want a: %v, b: %v", what, t, p, a, b)
			}
		}
	}
	return n
}

// copyDir copies a directory as a crash would leave it.
func copyDir(tb testing.TB, from string) string {
	tb.Helper()
	to := tb.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
	return to
}
