package keep

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// batch is the points of one rule at the times from, from+step and so on to to.
type batch struct {
	from, to, step int64
	state          state // of all of them
	missing        string
	// prompt is the first time whose point is not made late.
	prompt int64
	// series are those of the rule's expression, with querytree.OpLabel if the
	// rule keeps several operators. Unfit points have none.
	series []promql.Series
}

// errClosed: the store is closed, or was never opened for a retention.
var errClosed = errors.New("the store is closed")

// maxAppended bounds the samples of one transaction.
const maxAppended = 50_000

// write stores points that are not there yet. Only when all of a time's series
// have been committed does a marker say so, in a transaction of its own: the WAL
// keeps the order, so a crash in between leaves no point that can be read, and
// the same points can be written again.
func (s *Store) write(ctx context.Context, r *rollup.Rule, b batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.tellNew(r, b)
	var errs []error
	for _, k := range r.Keep[s.cfg.Tier] {
		for _, sp := range s.wanted(keptKey{r.ID, k}, b) {
			if err := s.writeSpan(ctx, keptKey{r.ID, k}, sp, b); err != nil {
				errs = append(errs, fmt.Errorf("rollup %q: write %d..%d: %w", r.Name, sp.from, sp.to, err))
				break // the other distances are in other TSDBs
			}
		}
	}
	return errors.Join(errs...)
}

// wanted returns which times of a batch are to be written, as spans of one
// revision.
func (s *Store) wanted(key keptKey, b batch) (out []span) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.kept[key]
	if l == nil {
		return nil
	}
	oldest := s.oldestOf(key.keep)
	for t := b.from; t <= b.to; t += b.step {
		if t%l.step != 0 || t < oldest {
			continue
		}
		old := l.at(t)
		if old.state != absent {
			continue
		}
		sp := span{from: t, to: t, state: b.state, rev: old.rev, missing: b.missing, late: t < b.prompt}
		if n := len(out); n > 0 && out[n-1].like(sp) && out[n-1].to+l.step == t {
			out[n-1].to = t
			continue
		}
		out = append(out, sp)
	}
	return out
}

func (s *Store) writeSpan(ctx context.Context, key keptKey, sp span, b batch) error {
	s.mu.RLock()
	db, l := s.dbs[key.keep.For], s.kept[key]
	s.mu.RUnlock()
	if db == nil || l == nil {
		return errClosed
	}
	if err := s.writePoints(ctx, db, key.keep, l.id, sp, b); err != nil {
		// Some of them may be there: what is written next is of another revision.
		s.mu.Lock()
		l.set(span{from: sp.from, to: sp.to, rev: sp.rev + 1})
		s.mu.Unlock()
		return err
	}
	s.mu.Lock()
	l.set(sp)
	s.mu.Unlock()
	return nil
}

// writePoints stores the points of a span, and then says that they are there.
func (s *Store) writePoints(ctx context.Context, db *tsdb.DB, k rollup.Keep, id string, sp span, b batch) error {
	w, step := &writer{ctx: ctx, db: db, onStep: s.step}, k.Every.Milliseconds()
	for _, series := range b.series {
		if err := w.add(pointLabels(series.Metric, id, sp.rev), series, sp, step); err != nil {
			return errors.Join(err, w.rollback())
		}
	}
	if err := w.commit(); err != nil {
		return err
	}
	return s.mark(ctx, db, madeLabels(id, sp), []querytree.Interval{{Mint: sp.from, Maxt: sp.to}}, step)
}

// oldestOf is the oldest time that points of a distance are kept of.
func (s *Store) oldestOf(k rollup.Keep) int64 {
	return s.cfg.Now().Add(-k.For).UnixMilli() + k.Every.Milliseconds()
}

// pointLabels returns the labels that a point is stored with.
func pointLabels(lset labels.Labels, id string, rev uint32) labels.Labels {
	b := labels.NewBuilder(lset)
	b.Set(opLabel, lset.Get(querytree.OpLabel)).Del(querytree.OpLabel)
	return b.Set(ruleLabel, id).Set(revLabel, revText(rev)).Labels()
}

// writer appends samples in transactions of bounded size.
type writer struct {
	ctx context.Context
	db  *tsdb.DB
	app storage.AppenderV2
	n   int
	// onStep is told of what has been done; tests fail there.
	onStep func(string) error
}

// add appends the points of one series that are at times of the span.
func (w *writer) add(lset labels.Labels, s promql.Series, sp span, step int64) error {
	in := func(t int64) bool { return sp.from <= t && t <= sp.to && t%step == 0 }
	var ref storage.SeriesRef
	for _, p := range s.Floats {
		if in(p.T) {
			if err := w.append(&ref, lset, p.T, p.F, nil); err != nil {
				return err
			}
		}
	}
	for _, p := range s.Histograms {
		if in(p.T) {
			if err := w.append(&ref, lset, p.T, 0, p.H); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) append(ref *storage.SeriesRef, lset labels.Labels, t int64, v float64, h *histogram.FloatHistogram) error {
	if w.n >= maxAppended {
		if err := w.commit(); err != nil {
			return err
		}
	}
	if w.app == nil {
		w.app = w.db.AppenderV2(w.ctx)
	}
	w.n++
	got, err := w.app.Append(*ref, lset, 0, t, v, nil, h, storage.AOptions{})
	if err != nil && !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
		return fmt.Errorf("append %s at %d: %w", lset, t, err)
	}
	if err == nil {
		*ref = got
	}
	return nil
}

func (w *writer) commit() error {
	app := w.app
	w.app, w.n = nil, 0
	if app == nil {
		return nil
	}
	if err := app.Commit(); err != nil {
		return err
	}
	return w.onStep("points")
}

func (w *writer) rollback() error {
	if w.app == nil {
		return nil
	}
	return w.app.Rollback()
}

// Void makes the points of a rule from mint to maxt absent, in milliseconds, to
// be made again. Those that are being read by a query are read on.
func (s *Store) Void(ctx context.Context, r *rollup.Rule, mint, maxt int64) error {
	return s.void(ctx, r, r.Keep[s.cfg.Tier], mint, maxt)
}

// void makes the points at some distances absent.
func (s *Store) void(ctx context.Context, r *rollup.Rule, keeps []rollup.Keep, mint, maxt int64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for _, k := range keeps {
		key := keptKey{r.ID, k}
		s.mu.RLock()
		l, db := s.kept[key], s.dbs[k.For]
		// What is older is not read, and could not be marked.
		from := max(mint, s.oldestOf(k))
		var gone []span
		if l != nil {
			gone = l.voids(from, maxt)
		}
		s.mu.RUnlock()
		// First on disk: what is absent only in memory would come back with the next
		// start.
		for _, sp := range gone {
			if err := s.mark(ctx, db, markerLabels(storedAs(r, k), markVoid, sp.rev), []querytree.Interval{{Mint: sp.from, Maxt: sp.to}}, l.step); err != nil {
				return fmt.Errorf("rollup %q: void %d..%d: %w", r.Name, mint, maxt, err)
			}
		}
		s.mu.Lock()
		if l != nil {
			l.void(from, maxt)
		}
		s.mu.Unlock()
	}
	return nil
}

// lacks returns the runs of times from mint to maxt of which no point is there,
// at one of the distances that a rule is kept at.
func (s *Store) lacks(r *rollup.Rule, k rollup.Keep, mint, maxt int64) []querytree.Interval {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.kept[keptKey{r.ID, k}]
	if l == nil {
		return nil
	}
	return l.lacks(mint, maxt)
}

// step tells a test what has been done.
func (s *Store) step(what string) error {
	if s.onStep == nil {
		return nil
	}
	return s.onStep(what)
}

// partialRun is a run of points that somebody had no part in.
type partialRun struct {
	rule     *rollup.Rule
	key      keptKey
	from, to int64
	missing  string
}

// partials returns all partial points.
func (s *Store) partials() (out []partialRun) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.rules.All() {
		for _, k := range r.Keep[s.cfg.Tier] {
			l := s.kept[keptKey{r.ID, k}]
			if l == nil {
				continue
			}
			for _, sp := range l.spans {
				if sp.state == partial {
					out = append(out, partialRun{r, keptKey{r.ID, k}, sp.from, sp.to, sp.missing})
				}
			}
		}
	}
	return out
}
