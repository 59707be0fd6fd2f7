package querytree

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/util/annotations"
)

// listed is an answer that is a list, with what comes with it.
type listed[T any] struct {
	list   T
	warn   annotations.Annotations
	report Report
}

// list asks the replica that covers a span, or if none does all of them, and
// joins what they say.
func list[T any](ctx context.Context, s *replicaSet, span Interval, o Options, ask func(context.Context, Child) (listed[T], error), join func(a, b T) T) (listed[T], error) {
	for {
		v, err := s.current()
		if err != nil {
			return listed[T]{}, err
		}
		warn, report, err := v.absent(span, o.Strict)
		if err != nil {
			return listed[T]{}, err
		}
		var out listed[T]
		if v.covers(v.order[0], span) {
			out, err = listOne(ctx, s, v, span, o, ask)
		} else {
			out, err = listAll(ctx, s, v, o, ask, join)
		}
		switch {
		case errors.Is(err, errMoved) && ctx.Err() == nil:
			continue
		case err != nil:
			return listed[T]{}, err
		}
		out.warn.Merge(warn)
		out.report.Merge(report)
		out.report.Merge(s.failures())
		return out, nil
	}
}

func listOne[T any](ctx context.Context, s *replicaSet, v *view, span Interval, o Options, ask func(context.Context, Child) (listed[T], error)) (listed[T], error) {
	q := request[listed[T]]{
		set: s, span: span, budget: o.Budget, drop: func(listed[T]) {},
		ask: func(ctx context.Context, c Child, begun func()) (listed[T], error) {
			l, err := ask(ctx, c)
			if err == nil {
				begun()
			}
			return l, err
		},
	}
	a, err := q.run(ctx, v)
	if err != nil {
		return listed[T]{}, err
	}
	a.cancel()
	a.value.report.Merge(a.rows())
	return a.value, nil
}

// listAll asks all replicas for what each of them has.
func listAll[T any](ctx context.Context, s *replicaSet, v *view, o Options, ask func(context.Context, Child) (listed[T], error), join func(a, b T) T) (listed[T], error) {
	answers, errs := make([]listed[T], len(v.order)), make([]error, len(v.order))
	limit := v.share(remaining(ctx, o.Budget))
	var wg sync.WaitGroup
	for i, r := range v.order {
		wg.Go(func() {
			var err error
			answers[i], err = watched(ctx, limit, func(ctx context.Context) (listed[T], error) { return ask(ctx, r.Child) })
			errs[i] = s.blame(ctx, v, r, err)
		})
	}
	wg.Wait()
	if err := firstError(errs); err != nil {
		return listed[T]{}, err
	}
	out := answers[0]
	for _, a := range answers[1:] {
		out.list = join(out.list, a.list)
		out.warn.Merge(a.warn)
		out.report.Merge(a.report)
	}
	return out, nil
}

// Names implements Child.
func (s *replicaSet) Names(ctx context.Context, req NamesRequest) (Names, error) {
	l, err := list(ctx, s, clip(req.Mint, req.Maxt), req.Options, func(ctx context.Context, c Child) (listed[[]string], error) {
		n, err := c.Names(ctx, req)
		if err == nil {
			err = c.Describe().vouchesAll().checkNames(req.Label, n.Names)
		}
		return listed[[]string]{n.Names, n.Warnings, n.Report}, err
	}, func(a, b []string) []string {
		both := slices.Concat(a, b)
		slices.Sort(both)
		return slices.Compact(both)
	})
	if req.Limit > 0 && len(l.list) > req.Limit {
		l.list = l.list[:req.Limit]
	}
	return Names{l.list, l.warn, l.report}, err
}

// Metadata implements Child. It has no time, so any replica may answer.
func (s *replicaSet) Metadata(ctx context.Context, req MetadataRequest) (Metadata, error) {
	type families = map[string][]metadata.Metadata
	l, err := list(ctx, s, s.span, req.Options, func(ctx context.Context, c Child) (listed[families], error) {
		m, err := c.Metadata(ctx, req)
		return listed[families]{m.Families, m.Warnings, m.Report}, err
	}, func(a, b families) families {
		mergeMetadata(a, b, req)
		return a
	})
	return Metadata{l.list, l.warn, l.report}, err
}

// Exemplars implements Child.
func (s *replicaSet) Exemplars(ctx context.Context, req ExemplarsRequest) (Exemplars, error) {
	l, err := list(ctx, s, clip(req.Mint, req.Maxt), req.Options, func(ctx context.Context, c Child) (listed[[]exemplar.QueryResult], error) {
		e, err := c.Exemplars(ctx, req)
		if err == nil {
			err = c.Describe().vouchesAll().checkExemplars(e.Results)
		}
		return listed[[]exemplar.QueryResult]{e.Results, e.Warnings, e.Report}, err
	}, joinExemplars)
	return Exemplars{l.list, l.warn, l.report}, err
}

// joinExemplars joins the exemplars of two replicas, each once, in the order of
// their times.
func joinExemplars(a, b []exemplar.QueryResult) []exemplar.QueryResult {
	both := mergeExemplars(slices.Concat(a, b))
	for i := range both {
		es := slices.Clone(both[i].Exemplars)
		slices.SortStableFunc(es, func(x, y exemplar.Exemplar) int { return int(min(max(x.Ts-y.Ts, -1), 1)) })
		both[i].Exemplars = slices.CompactFunc(es, func(x, y exemplar.Exemplar) bool { return x.Equals(y) })
	}
	return both
}
