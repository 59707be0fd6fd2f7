package keep

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// Names returns the names of the rules that the tier keeps, sorted.
func (s *Store) Names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.names
}

// ByName returns the points as series under their rules' names, with the
// constant labels of the tier: whole points alone. A series has a stale marker
// where the next point of its rule is without it.
func (s *Store) ByName(constants labels.Labels) storage.SampleAndChunkQueryable {
	return byName{s, constants}
}

type byName struct {
	s         *Store
	constants labels.Labels
}

// Querier implements storage.Queryable.
func (b byName) Querier(mint, maxt int64) (storage.Querier, error) {
	return &nameQuerier{s: b.s, constants: b.constants, mint: mint, maxt: maxt}, nil
}

// ChunkQuerier implements storage.ChunkQueryable.
func (b byName) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return chunkQuerier{&nameQuerier{s: b.s, constants: b.constants, mint: mint, maxt: maxt}}, nil
}

type chunkQuerier struct{ *nameQuerier }

// Select implements storage.ChunkQuerier.
func (q chunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	return storage.NewSeriesSetToChunkSet(q.nameQuerier.Select(ctx, sorted, hints, ms...))
}

// seriesList is a storage.SeriesSet of series in memory.
type seriesList struct {
	at   storage.Series
	rest []storage.Series
	warn annotations.Annotations
}

func (l *seriesList) Next() bool {
	if len(l.rest) == 0 {
		return false
	}
	l.at, l.rest = l.rest[0], l.rest[1:]
	return true
}

func (l *seriesList) At() storage.Series                { return l.at }
func (l *seriesList) Err() error                        { return nil }
func (l *seriesList) Warnings() annotations.Annotations { return l.warn }

type nameQuerier struct {
	s          *Store
	constants  labels.Labels
	mint, maxt int64
}

func (q *nameQuerier) Close() error { return nil }

// Select implements storage.Querier.
func (q *nameQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = max(mint, hints.Start), min(maxt, hints.End)
	}
	r, stored, ok := q.rule(ms)
	if !ok {
		return storage.EmptySeriesSet()
	}
	n, ok := q.s.reading(r, mint, maxt)
	if !ok {
		return &seriesList{warn: n.lacking}
	}
	read := n.named
	if hints != nil && hints.Func == "series" {
		read = n.unread
	}
	series, err := read(ctx, stored)
	if err != nil {
		return storage.ErrSeriesSet(fmt.Errorf("rollup %q: %w", r.Name, err))
	}
	var out []storage.Series
	for _, p := range series {
		if p.lset = q.labels(r, p.lset); matchesAll(p.lset, ms) {
			out = append(out, p.series(n))
		}
	}
	slices.SortFunc(out, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &seriesList{rest: out, warn: n.lacking}
}

// rule returns the rule that a selector names, and those of its matchers that
// stored series can be found by.
func (q *nameQuerier) rule(ms []*labels.Matcher) (r *rollup.Rule, stored []*labels.Matcher, ok bool) {
	for _, m := range ms {
		switch {
		case m.Name == labels.MetricName && m.Type == labels.MatchEqual && r == nil:
			r = q.s.Rules().ByName(m.Value)
		case m.Name == labels.MetricName || q.constants.Has(m.Name):
		default:
			stored = append(stored, m)
		}
	}
	return r, stored, r != nil
}

func (q *nameQuerier) labels(r *rollup.Rule, stored labels.Labels) labels.Labels {
	b := labels.NewBuilder(stored)
	q.constants.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return b.Set(labels.MetricName, r.Name).Labels()
}

func matchesAll(l labels.Labels, ms []*labels.Matcher) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
}

// nameReading is what to read of a rule.
type nameReading struct {
	id         string // that the points are stored as
	db         *tsdb.DB
	step       int64
	spans      []span // that are whole
	mint, maxt int64
	// lacking warns of what is asked for and not there.
	lacking annotations.Annotations
}

// reading chooses the distance of points to read: the finest that reaches back to
// mint, or the one that reaches back the farthest. Without any it only warns.
func (s *Store) reading(r *rollup.Rule, mint, maxt int64) (out nameReading, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	oldest := int64(math.MaxInt64)
	for _, k := range r.Keep[s.cfg.Tier] {
		l := s.kept[keptKey{r.ID, k}]
		if l == nil || len(l.spans) == 0 || s.unchecked[keptKey{r.ID, k}] {
			continue
		}
		from := l.spans[0].from
		finer := !ok || l.step < out.step
		if reaches := from <= mint; ok && !(reaches && (finer || oldest > mint)) && !(from < oldest && oldest > mint) {
			continue
		}
		out, ok, oldest = nameReading{id: storedAs(r, k), db: s.dbs[k.For], step: l.step, mint: mint, maxt: maxt}, true, from
		out.lacking = s.lacking(r, k, l, mint, maxt)
		out.spans = slices.DeleteFunc(slices.Clone(l.spans), func(sp span) bool { return sp.state != whole || sp.to < mint || sp.from > maxt })
	}
	if !ok {
		for _, k := range r.Keep[s.cfg.Tier] {
			out.lacking.Merge(s.lacking(r, k, s.kept[keptKey{r.ID, k}], mint, maxt))
		}
	}
	return out, ok
}

// lacking warns if points are not whole, or not read, that are due at some of the
// times from mint to maxt; and if somebody who is away holds up newer ones. The
// caller holds mu.
func (s *Store) lacking(r *rollup.Rule, k rollup.Keep, l *ledger, mint, maxt int64) annotations.Annotations {
	var warn annotations.Annotations
	since, owed := s.since[r.ID]
	if l == nil || !owed {
		return nil
	}
	mint = max(mint, since, s.oldestOf(k))
	due := down(max(s.due, 0), l.step)
	at := func(t int64) string { return time.UnixMilli(t).UTC().Format(time.RFC3339) }
	switch from, lacks := l.firstNotWhole(mint, min(maxt, due)); {
	case s.unchecked[keptKey{r.ID, k}] && mint <= maxt:
		warn.Add(fmt.Errorf("rollup %q has no points that can be read yet", r.Name))
	case lacks:
		warn.Add(fmt.Errorf("rollup %q has no whole points of some of the times asked for, the first of %s", r.Name, at(from)))
	}
	if len(s.awaited) > 0 && max(mint, due+l.step) <= maxt {
		warn.Add(fmt.Errorf("rollup %q has no points after %s: it waits for %q", r.Name, at(due), s.awaited))
	}
	return warn
}

// setDue notes up to when points are due, and who is away and waited for.
func (s *Store) setDue(horizon int64, awaited []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due, s.awaited = horizon, awaited[:min(len(awaited), maxNamed)]
}

// named is a series of points.
type named struct {
	lset labels.Labels
	f    map[string]promql.Series // by operator
}

// named reads the series, those of several operators together.
func (n nameReading) named(ctx context.Context, ms []*labels.Matcher) (map[string]*named, error) {
	q, err := n.db.ChunkQuerier(n.mint, n.maxt)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	out := map[string]*named{}
	set := q.Select(ctx, false, &storage.SelectHints{Start: n.mint, End: n.maxt, DisableTrimming: true}, n.stored(ms)...)
	r := pointReader{reading: &reading{match: &rollup.Match{}, covered: []querytree.Interval{{Mint: n.mint, Maxt: n.maxt}}, spans: n.spans}}
	var it chunks.Iterator
	var buf []byte
	points := 0
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		stored := set.At().Labels()
		lset := visible(stored)
		buf = lset.Bytes(buf)
		p := out[string(buf)]
		if p == nil {
			p = &named{lset: cloneLabels(lset), f: map[string]promql.Series{}}
			out[string(buf)] = p
		}
		op := strings.Clone(stored.Get(opLabel))
		s := p.f[op]
		it = set.At().Iterator(it)
		if err := r.all(it, revOf(stored), &s); err != nil {
			return nil, err
		}
		if points += len(s.Floats) + len(s.Histograms); points > maxNamedPoints {
			return nil, fmt.Errorf("more than %d points are asked for: ask for a shorter time, or fewer series", maxNamedPoints)
		}
		p.f[op] = s
	}
	return out, set.Err()
}

// maxNamedPoints bounds the points that one selector of a rule's name reads.
const maxNamedPoints = 50_000_000

// cloneLabels copies labels out of memory that is unmapped with the querier.
func cloneLabels(l labels.Labels) labels.Labels {
	b := labels.NewScratchBuilder(l.Len())
	l.Range(func(l labels.Label) { b.Add(strings.Clone(l.Name), strings.Clone(l.Value)) })
	return b.Labels()
}

// series returns the points, and a stale marker wherever the series is not in the
// point after one that it is in.
func (p *named) series(n nameReading) storage.Series {
	points := p.points()
	var samples []chunks.Sample
	for i, s := range points {
		samples = append(samples, s)
		next := s.t + n.step
		if i+1 < len(points) && points[i+1].t == next {
			continue
		}
		if next <= n.maxt && slices.ContainsFunc(n.spans, func(sp span) bool { return sp.from <= next && next <= sp.to }) {
			samples = append(samples, point{t: next, f: math.Float64frombits(value.StaleNaN)})
		}
	}
	return storage.NewListSeries(p.lset, samples)
}

// points returns the points in the order of time; those of an average are the
// sum divided by the count.
func (p *named) points() (out []point) {
	count := map[int64]float64{}
	for _, c := range p.f["count"].Floats {
		count[c.T] = c.F
	}
	for op, s := range p.f {
		if op == "count" {
			continue
		}
		for _, f := range s.Floats {
			if op != "" {
				f.F /= count[f.T]
			}
			out = append(out, point{t: f.T, f: f.F})
		}
		for _, h := range s.Histograms {
			if op != "" {
				h.H.Div(count[h.T])
			}
			out = append(out, point{t: h.T, fh: h.H})
		}
	}
	slices.SortFunc(out, func(a, b point) int { return int(min(max(a.t-b.t, -1), 1)) })
	return out
}

// point is a chunks.Sample.
type point struct {
	t  int64
	f  float64
	fh *histogram.FloatHistogram
}

func (p point) T() int64                      { return p.t }
func (p point) ST() int64                     { return 0 }
func (p point) F() float64                    { return p.f }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return p.fh }
func (p point) Copy() chunks.Sample {
	if p.fh != nil {
		p.fh = p.fh.Copy()
	}
	return p
}

// Type implements chunks.Sample.
func (p point) Type() chunkenc.ValueType {
	if p.fh != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}
