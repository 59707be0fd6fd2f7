package querytree

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// ticketParser hands rewritten expressions to the stock engine, which accepts
// text alone: a ticket is text that parses to an expression deposited before.
// That way the nodes keep their positions in the user's query, and nothing of
// an expression is lost in printing.
type ticketParser struct {
	parser.Parser
	next    atomic.Uint64
	tickets sync.Map // string → parser.Expr
}

const ticketPrefix = "pando residual "

// deposit returns a ticket for e, good for one ParseExpr.
func (p *ticketParser) deposit(e parser.Expr) string {
	t := ticketPrefix + strconv.FormatUint(p.next.Add(1), 10)
	p.tickets.Store(t, e)
	return t
}

// ParseExpr implements parser.Parser.
func (p *ticketParser) ParseExpr(input string) (parser.Expr, error) {
	if e, ok := p.tickets.LoadAndDelete(input); ok {
		return e.(parser.Expr), nil
	}
	return p.Parser.ParseExpr(input)
}

// residualQueryable is the storage that a residual expression is evaluated
// over: fragments by their stand-ins, all else as raw series of the children.
type residualQueryable struct {
	fragments map[*labels.Matcher]*fragmentRun
	raw       func(ctx context.Context, mint, maxt int64, hints *storage.SelectHints, ms []*labels.Matcher) storage.SeriesSet
	tree      *treeQuerier
	// candidates are the members that may hold info series.
	candidates func(ms []*labels.Matcher) bitset
	// unread are selectors that the engine prepares but does not read.
	unread []*parser.VectorSelector
	// infos are those that were asked for.
	infos map[infoKey]*fragmentRun
}

func (q *residualQueryable) Querier(mint, maxt int64) (storage.Querier, error) {
	return &residualQuerier{treeQuerier: q.tree, q: q, mint: mint, maxt: maxt}, nil
}

type residualQuerier struct {
	*treeQuerier
	q          *residualQueryable
	mint, maxt int64
}

// Select implements storage.Querier. Selects of raw series begin at once, so
// that those of several selectors run side by side.
func (q *residualQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if slices.ContainsFunc(q.q.unread, func(s *parser.VectorSelector) bool { return slices.Equal(s.LabelMatchers, ms) }) {
		return storage.EmptySeriesSet()
	}
	for _, m := range ms {
		run, ok := q.q.fragments[m]
		if ok && run.f.info != nil {
			return q.infoSet(ctx, run, ms)
		}
		if ok {
			return &fragmentSet{ctx: ctx, run: run, grid: run.f.grid}
		}
	}
	return q.q.raw(ctx, q.mint, q.maxt, hints, ms)
}

func (q *residualQuerier) Close() error { return nil }

// standIns counts where in a residual expression each matcher is.
func standIns(e parser.Expr) map[*labels.Matcher]int {
	n := map[*labels.Matcher]int{}
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if vs, ok := node.(*parser.VectorSelector); ok {
			for _, m := range vs.LabelMatchers {
				n[m]++
			}
		}
		return nil
	})
	return n
}

// fragmentSet is the answer to a fragment as a storage.SeriesSet; it waits for
// the children upon the first Next.
type fragmentSet struct {
	ctx  context.Context
	run  *fragmentRun
	grid grid
	m    promql.Matrix
	warn annotations.Annotations
	at   int
	err  error
}

func (s *fragmentSet) Next() bool {
	if s.at == 0 {
		if s.m, s.err = s.run.wait(s.ctx); s.err == nil {
			s.warn = s.run.warn
		}
	}
	s.at++
	return s.err == nil && s.at <= len(s.m)
}

func (s *fragmentSet) At() storage.Series {
	if i := s.run.f.info; i != nil && i.name != "" {
		return newTimedSeries(s.m[s.at-1], i, s.grid)
	}
	return &resultSeries{s: &s.m[s.at-1], grid: s.grid, once: s.run.readOnce}
}

func (s *fragmentSet) Err() error { return s.err }

// Warnings returns the children's annotations where the engine asks for them in
// the course of its evaluation: of several of the same text, it keeps the last.
func (s *fragmentSet) Warnings() annotations.Annotations { return s.warn }
