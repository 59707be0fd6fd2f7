package querytree

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// Answer is the whole answer to a range query, which its receiver owns.
type Answer struct {
	// Matrix is sorted by labels; its points lie on the grid of the request.
	Matrix   promql.Matrix
	Warnings annotations.Annotations
	Report   Report
}

// Cache answers range queries from earlier answers, and asks the tree for what
// it lacks; resultcache.Cache is one. An answer must be the one that the tree
// would give, but for changes that the tree has not told of yet. It is safe for
// concurrent use.
type Cache interface {
	// Range answers req, whose Step is not zero and whose Lookback is set.
	Range(ctx context.Context, req ExecRequest, tree Evaluator) (Answer, error)
}

// Evaluator is a tier as its Cache sees it.
type Evaluator struct {
	// Expr is the request's query. Nobody else holds it.
	Expr parser.Expr
	// Describe returns the tier's description. It does not block.
	Describe func() Description
	// Share returns the context for an evaluation that several requests may wait
	// for, and end to be called after it: what it holds is not on the account of
	// the request that came first, which may leave. Nil returns ctx itself.
	Share func(ctx context.Context) (shared context.Context, end func())
	// Eval evaluates a request without the cache, when it is its turn.
	Eval func(ctx context.Context, req ExecRequest) (Answer, error)
}

// CacheUse is what a tier's cache had to do with an answer.
type CacheUse struct {
	// State is CacheHit, CacheMiss or CachePartial, or else says why the cache
	// was not used.
	State string `json:"state"`
	// Steps are those of the answer, Cached those that came from the cache.
	Steps  int64 `json:"steps,omitempty"`
	Cached int64 `json:"cached,omitempty"`
	// Pieces is the number of times that the tree was asked, for parts of the
	// range.
	Pieces int `json:"pieces,omitempty"`
	// Shared is set if another request asked the same at the same time, and
	// both got the one answer.
	Shared bool `json:"shared,omitempty"`
}

// States of CacheUse.
const (
	CacheHit     = "hit"
	CacheMiss    = "miss"
	CachePartial = "partial"
)

// cacheRolled says that there is nothing to spare by the cache, which does not keep
// what rollups have a part in, nor by asking for a long range in pieces.
const cacheRolled = "not used: rollups have it, or most of it"

// pastCache answers a range query that rollups have most of.
func (m *Mixer) pastCache(ctx context.Context, req ExecRequest, t *trail) (parser.Value, annotations.Annotations, Report, error) {
	value, warn, report, err := m.evaluate(ctx, req, t)
	report.Cache = &CacheUse{State: cacheRolled}
	if report.Explanation != nil {
		report.Explanation.Cache = cacheRolled
	}
	return value, warn, report, err
}

// cached answers a range query through the cache.
func (m *Mixer) cached(ctx context.Context, req ExecRequest, expr parser.Expr, t *trail) (parser.Value, annotations.Annotations, Report, error) {
	req.Options = m.options(req.Options)
	var first sync.Mutex // guards t: of several pieces, the first to end is noted
	defer func() {
		first.Lock()
		defer first.Unlock()
		t.total = time.Since(t.begin)
	}()
	a, err := m.cfg.Cache.Range(ctx, req, Evaluator{
		Expr: expr, Describe: m.cfg.Describe,
		Share: func(ctx context.Context) (context.Context, func()) {
			ctx, budget := m.budget(ctx, req.Options)
			return ctx, budget.Close
		},
		Eval: func(ctx context.Context, req ExecRequest) (Answer, error) {
			piece := &trail{begin: time.Now(), live: t.live}
			value, warn, report, err := m.evaluate(ctx, req, piece)
			first.Lock()
			if begin := t.begin; t.e == nil {
				*t = *piece
				t.begin = begin
			}
			first.Unlock()
			if err != nil || req.Explain == ExplainPlan { // A plan has no value.
				return Answer{Report: report}, err
			}
			mat, err := matrixOf(value)
			if err != nil {
				return Answer{Report: report}, fmt.Errorf("range query on %q: %w", m.name(), err)
			}
			return Answer{Matrix: mat, Warnings: warn, Report: report}, nil
		},
	})
	if err == nil {
		budgetFrom(ctx).settle(sizeOfValue(a.Matrix))
	}
	return a.Matrix, a.Warnings, a.Report, err
}
