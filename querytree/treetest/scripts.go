package treetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// builtInCases are those of Prometheus' own scripts in the version at which they
// were first counted: a newer one may have more.
const builtInCases = 2243

// RunScripts runs Prometheus' own scripts, each over trees that make returns, and
// fails the test if any of their cases is not asked. Of every so many queries, the
// tree answers one, and the oracle's engine the others: 1 has the tree answer all.
func RunScripts(t *testing.T, every int, make func(tb testing.TB) Config) {
	t.Helper()
	e := &scripted{QueryEngine: querytree.Engine{}, every: every, asked: map[string]int{}}
	promqltest.RunBuiltinTestsWithStorage(t, e, func(tb testing.TB) storage.Storage {
		cfg := make(tb)
		cfg.DelayedNameRemoval = true // as the scripts want it
		return New(tb, cfg)
	})
	cases, err := promqltest.GetBuiltInExprs()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < builtInCases {
		t.Errorf("the scripts have %d cases, want at least %d", len(cases), builtInCases)
	}
	skipped := 0
	for _, expr := range cases {
		if e.asked[expr]--; e.asked[expr] < 0 {
			skipped++
			t.Errorf("not asked: %s", expr)
		}
	}
	t.Logf("%d cases, %d skipped", len(cases), skipped)
}

// scripted counts what an engine is asked, and asks the oracle's instead of all
// but one of every so many queries.
type scripted struct {
	promql.QueryEngine
	every int
	mu    sync.Mutex
	n     int // queries so far
	asked map[string]int
}

// NewInstantQuery implements promql.QueryEngine.
func (s *scripted) NewInstantQuery(ctx context.Context, q storage.Queryable, o promql.QueryOpts, qs string, at time.Time) (promql.Query, error) {
	return s.engine(q, qs).NewInstantQuery(ctx, q, o, qs, at)
}

// NewRangeQuery implements promql.QueryEngine.
func (s *scripted) NewRangeQuery(ctx context.Context, q storage.Queryable, o promql.QueryOpts, qs string, start, end time.Time, step time.Duration) (promql.Query, error) {
	return s.engine(q, qs).NewRangeQuery(ctx, q, o, qs, start, end, step)
}

// engine counts a query and returns who answers it.
func (s *scripted) engine(q storage.Queryable, query string) promql.QueryEngine {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[query]++
	if s.n++; s.n%s.every != 0 {
		return q.(*Planet).oracle
	}
	return s.QueryEngine
}
