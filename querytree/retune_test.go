package querytree

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// tunableLocal is a Local of which two series have samples until second 600.
func tunableLocal(t *testing.T, limits Limits) *Local {
	t.Helper()
	q := &memory{series: []memorySeries{{labels.FromStrings("__name__", "a", "i", "1"), 1}, {labels.FromStrings("__name__", "a", "i", "2"), 2}}}
	opts := EngineOpts(MixerConfig{Limits: limits, Lookback: 5 * time.Minute, SubqueryStep: time.Minute}, NewParser())
	l, err := NewLocal(LocalConfig{
		Engine: promql.NewEngine(opts), EngineOpts: &opts, Samples: q, Chunks: q, Limits: limits, Registerer: prometheus.NewRegistry(),
		Describe: func() Description { return Description{Identity: Identity{Tier: TierLeaf, Shard: "l"}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// asked evaluates an instant query, and returns how many series it has.
func asked(c Child, query string, at int64) (int, error) {
	set, err := c.Exec(context.Background(), ExecRequest{Query: query, Start: at, End: at})
	if err != nil {
		return 0, err
	}
	defer set.Close()
	n := 0
	for set.Next() {
		n++
	}
	return n, set.Err()
}

// Whatever a tier does, it does by other limits once it is tuned.
func TestRetune(t *testing.T) {
	local := tunableLocal(t, DefaultLimits())
	for name, c := range map[string]interface {
		Child
		Retune(Tuning) error
	}{"local": local, "mixer": rootOver(t, tunableLocal(t, DefaultLimits()))} {
		t.Run(name, func(t *testing.T) {
			tune := func(change func(*Tuning)) {
				t.Helper()
				to := Tuning{Limits: DefaultLimits(), Lookback: 5 * time.Minute}
				change(&to)
				if err := c.Retune(to); err != nil {
					t.Fatal(err)
				}
			}
			refused := func(flag string) {
				t.Helper()
				_, err := asked(c, "sum(a) + on() group(a)", 600_000)
				if err == nil {
					_, err = asked(c, "a", 600_000)
				}
				if err == nil || !strings.Contains(err.Error(), flag) {
					t.Errorf("want a query that --%s refuses, got %v", flag, err)
				}
			}
			tune(func(to *Tuning) { to.Limits.MaxSeries = 1 })
			refused("query.max-series")
			tune(func(to *Tuning) { to.Limits.MaxQueryLength = 10 })
			refused("query.max-length")
			tune(func(to *Tuning) { to.Limits.MaxQueryDepth = 1 })
			if _, err := asked(c, "sum((((a))))", 600_000); !IsLimit(err) {
				t.Errorf("nesting: %v", err)
			}
			tune(func(to *Tuning) { to.Limits.MaxResponse = 1 })
			refused("query.max-response-bytes")
			tune(func(*Tuning) {})
			if name == "local" { // a mixer leaves it to the children
				if n, err := asked(c, "a", 800_000); n != 2 || err != nil {
					t.Errorf("with a lookback of 5m: %d series, %v", n, err)
				}
				tune(func(to *Tuning) { to.Lookback = time.Minute })
				if n, err := asked(c, "a", 800_000); n != 0 || err != nil {
					t.Errorf("with a lookback of 1m: %d series, %v", n, err)
				}
			}
			tune(func(*Tuning) {})
			if n, err := asked(c, "a", 600_000); n != 2 || err != nil {
				t.Errorf("%d series, %v", n, err)
			}
			if err := c.Retune(Tuning{Lookback: time.Minute}); err == nil {
				t.Error("limits of zero are accepted")
			}
			if n, err := asked(c, "a", 600_000); n != 2 || err != nil {
				t.Errorf("after a tuning that was refused: %d series, %v", n, err)
			}
		})
	}
}

// The engine of a leaf's own users, which they hold, goes by the limits of the moment.
func TestRetuneEngine(t *testing.T) {
	l := tunableLocal(t, DefaultLimits())
	e, s := l.Engine(), l.Reads()
	to := Tuning{Limits: DefaultLimits(), Lookback: time.Minute}
	to.Limits.MaxResponse = 1
	if err := l.Retune(to); err != nil {
		t.Fatal(err)
	}
	q, err := e.NewInstantQuery(t.Context(), s, nil, "a", time.Unix(700, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if v, err := q.Exec(t.Context()).Vector(); err != nil || len(v) != 0 {
		t.Errorf("with a lookback of 1m: %v, %v", v, err)
	}
	if q, err = e.NewInstantQuery(t.Context(), s, nil, "a", time.Unix(600, 0)); err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Exec(t.Context()).Err; !IsLimit(err) {
		t.Errorf("an answer of two series where a byte is allowed: %v", err)
	}
}

// A Mixer that is told not to prune asks everybody.
func TestRetuneHints(t *testing.T) {
	pruned := 0
	m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Pruner = countingPruner{&pruned} }, tunableLocal(t, DefaultLimits()))
	for _, step := range []struct {
		none bool
		want bool
	}{{false, true}, {true, false}, {false, true}} {
		if err := m.Retune(Tuning{Limits: DefaultLimits(), Lookback: time.Minute, NoHints: step.none}); err != nil {
			t.Fatal(err)
		}
		pruned = 0
		if _, err := asked(m, "a", 600_000); err != nil {
			t.Fatal(err)
		}
		if (pruned > 0) != step.want {
			t.Errorf("without hints %v: the pruner was asked %d times", step.none, pruned)
		}
	}
}

// countingPruner rules nobody out.
type countingPruner struct{ n *int }

func (p countingPruner) RulesOutAll(children []string, _ []*labels.Matcher, _, _ int64) []bool {
	*p.n++
	return make([]bool, len(children))
}

// A gate that grows lets in who waits; one that shrinks lets in nobody until there
// are as few as it says.
func TestGateResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1, 0, 0)
		leave, err := g.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		in := make(chan func(), 4)
		enter := func() {
			wg.Go(func() {
				leave, err := g.Enter(t.Context(), "b")
				if err != nil {
					t.Error(err)
				}
				in <- leave
			})
			synctest.Wait()
		}
		enter()
		if len(in) != 0 {
			t.Fatal("two have the only slot")
		}
		g.resize(Limits{MaxConcurrent: 4})
		synctest.Wait()
		if len(in) != 1 {
			t.Fatal("there are slots, and nobody is let in")
		}
		g.resize(Limits{MaxConcurrent: 1, MaxQueue: 1})
		enter()
		leave()
		synctest.Wait()
		if len(in) != 1 {
			t.Fatal("there is one slot, which is taken, and somebody is let in")
		}
		var limit *LimitError
		if _, err := g.Enter(t.Context(), "c"); !errors.As(err, &limit) || limit.Limit != 1 {
			t.Errorf("one waits, and no more may: %v", err)
		}
		(<-in)()
		wg.Wait()
		(<-in)()
	})
}

// Queries go on while the tier is tuned.
func TestRetuneWhileAsked(t *testing.T) {
	l := tunableLocal(t, DefaultLimits())
	m := rootOver(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if n, err := asked(m, "a", 600_000); n != 2 || err != nil {
					t.Errorf("%d series, %v", n, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		to := Tuning{Limits: DefaultLimits(), Lookback: time.Duration(i+1) * time.Second}
		to.Limits.MaxConcurrent = 1 + i%3
		if err := errors.Join(l.Retune(to), m.Retune(to)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
}
