package querytree_test

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// fate is what becomes of the requests to a replica.
type fate int

const (
	fine    fate = iota
	refuses      // fails at once
	breaks       // fails in the middle of its answer
	hangs        // answers when its context ends
	stalls       // hangs in the middle of its answer
	deaf         // hangs, whatever its context says
	fates
)

var errKilled = fmt.Errorf("%w: killed", querytree.ErrUnavailable)

// killer chooses which replica of every set is sick, and how: never two of one
// set.
type killer struct {
	mu      sync.Mutex
	rnd     *rand.Rand
	replica string
	fate    fate
	release chan struct{}
	met     map[fate]int
}

// next chooses anew.
func (k *killer) next() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.release != nil {
		close(k.release)
	}
	k.release = make(chan struct{})
	k.replica, k.fate = []string{"a", "b"}[k.rnd.Intn(2)], fate(k.rnd.Intn(int(fates)))
}

// of returns what happens to a request to a replica, and after how many series.
func (k *killer) of(replica string) (fate, int, chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if replica != k.replica {
		return fine, 0, nil
	}
	k.met[k.fate]++
	return k.fate, k.rnd.Intn(4), k.release
}

// mortal is a replica that a killer is after.
type mortal struct {
	querytree.Child
	k *killer
}

func (m *mortal) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	f, n, release := m.k.of(m.Describe().Replica)
	if err := wait(ctx, f, release); err != nil {
		return nil, err
	}
	set, err := m.Child.Exec(ctx, req)
	if err != nil || f == fine {
		return set, err
	}
	return &dyingResults{ResultSet: set, dying: dying{ctx: ctx, fate: f, left: n}}, nil
}

func (m *mortal) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	f, n, release := m.k.of(m.Describe().Replica)
	set := m.Child.Select(ctx, req)
	if f == fine {
		return set
	}
	return &dyingSeries{SeriesSet: set, dying: dying{ctx: ctx, fate: f, left: n, release: release}}
}

// wait is what a request waits for before there is any answer.
func wait(ctx context.Context, f fate, release chan struct{}) error {
	switch f {
	case refuses:
		return errKilled
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	case deaf:
		<-release
		return errKilled
	}
	return nil
}

// dying counts the series that are left before an answer breaks off.
type dying struct {
	ctx     context.Context
	fate    fate
	left    int
	release chan struct{}
	err     error
}

func (d *dying) alive() bool {
	if d.err != nil {
		return false
	}
	if d.left--; d.left >= 0 && (d.fate == breaks || d.fate == stalls) {
		return true
	}
	if d.err = wait(d.ctx, d.fate, d.release); d.err == nil {
		if d.err = errKilled; d.fate == stalls {
			<-d.ctx.Done()
			d.err = d.ctx.Err()
		}
	}
	return false
}

type dyingResults struct {
	querytree.ResultSet
	dying
}

func (d *dyingResults) Next() bool        { return d.alive() && d.ResultSet.Next() }
func (d *dyingResults) At() promql.Series { return d.ResultSet.At() }

func (d *dyingResults) Err() error {
	if d.err != nil {
		return d.err
	}
	return d.ResultSet.Err()
}

type dyingSeries struct {
	querytree.SeriesSet
	dying
}

func (d *dyingSeries) Next() bool              { return d.alive() && d.SeriesSet.Next() }
func (d *dyingSeries) At() storage.ChunkSeries { return d.SeriesSet.At() }

func (d *dyingSeries) Err() error {
	if d.err != nil {
		return d.err
	}
	return d.SeriesSet.Err()
}

// killLoop asks generated queries of a tree of replicas one of which is sick, and
// passes what differs from the oracle's answers to judge.
func killLoop(t *testing.T, few int, outages treetest.Outages, judge func(k *killer, got *promql.Result, diff string)) {
	rnd := rand.New(rand.NewSource(3))
	k := &killer{rnd: rand.New(rand.NewSource(4)), met: map[fate]int{}}
	leaves, zones := treetest.Clusters("eu", 2, "us", 1)
	data := treetest.Data{Minutes: 30, Interval: 15_000}
	p := treetest.New(t, treetest.Config{
		Leaves: leaves, Zones: zones, Outages: outages,
		Connect: func(_ testing.TB, c querytree.Child) querytree.Child {
			if c.Describe().Replica == "" {
				return c
			}
			return &mortal{c, k}
		},
	})
	g := treetest.NewGenerator(rnd, data, data.Fill(t, p, rnd))
	total := queries(t, few)
	for range total {
		k.next()
		q := g.Next()
		got := p.Ask(t.Context(), q)
		judge(k, got, p.DiffAnswers(q, p.Oracle(q), got))
	}
	k.next()
	t.Logf("%d queries; fates met %v", total, k.met)
	for f := fine; f < fates; f++ {
		if k.met[f] < total/50 {
			t.Errorf("fate %d was met %d times", f, k.met[f])
		}
	}
}

// Whatever becomes of one of two replicas in the middle of a query, no answer
// changes and none has a warning.
func TestKillReplicas(t *testing.T) {
	never := func(int) []querytree.Interval { return nil }
	synctest.Test(t, func(t *testing.T) {
		killLoop(t, 600, treetest.Outages{Down: []func(int) []querytree.Interval{never, never}}, func(k *killer, _ *promql.Result, diff string) {
			if diff != "" {
				t.Errorf("replica %s has fate %d: %s", k.replica, k.fate, diff)
			}
		})
	})
}

// A replica that dies may be the only one that took samples at a time when the
// other was down. Then the answer misses them, and says so.
func TestKillReplicasWithOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		partial := 0
		// Few: where many timers end in one bubble the race detector itself may crash
		// (golang/go#78156), and each outage is asked for apart.
		killLoop(t, 80, treetest.Alternating(10*60_000, 30*60_000, 20_000), func(k *killer, got *promql.Result, diff string) {
			if diff == "" {
				return
			}
			partial++
			told := false
			for w := range got.Warnings {
				told = told || strings.Contains(w, "partial answer: leaf") && strings.Contains(w, "/replica="+k.replica)
			}
			if !told {
				t.Errorf("replica %s has fate %d, and the answer does not tell but %v: %s", k.replica, k.fate, got.Warnings, diff)
			}
		})
		if partial == 0 {
			t.Error("no answer missed anything")
		}
		t.Logf("%d answers were partial", partial)
	})
}
