package querytree

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
)

// fanOut asks some members the same thing, side by side, each within its soft
// deadline. A member that fails costs a warning or, if strict, the request.
func fanOut[T any](ctx context.Context, ask *asking, members []Member, who bitset, f func(context.Context, Member, Options) (T, error)) ([]T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		answers = make([]T, who.count())
		errs    = make([]error, who.count())
		wg      sync.WaitGroup
		n       int
	)
	who.each(func(i int) {
		at := n
		n++
		m := members[i]
		wg.Go(func() {
			v, err := watched(ctx, ask.soft, func(ctx context.Context) (T, error) { return f(ctx, m, ask.below()) })
			if err != nil {
				err = ask.missing(ctx, m, err)
				if err != nil {
					cancel()
				}
			}
			answers[at], errs[at] = v, err
		})
	})
	wg.Wait()
	return answers, firstError(errs)
}

// whole returns the report of all that was asked and pruned.
func (a *asking) whole(prune *pruning) Report {
	r := a.snapshot()
	r.Merge(prune.report(a.opts.Detail))
	return r
}

// everyone returns the set of all members.
func everyone(members []Member) bitset {
	var all bitset
	for i := range members {
		all = all.with(i)
	}
	return all
}

// Metadata implements Child.
func (m *Mixer) Metadata(ctx context.Context, req MetadataRequest) (Metadata, error) {
	m = m.now()
	leave, err := m.reads.Enter(ctx, req.Client)
	if err != nil {
		return Metadata{}, err
	}
	defer leave()
	ctx, budget := m.budget(ctx, req.Options)
	defer budget.Close()
	ask := m.asking(req.Options.within(ctx))
	now := time.Now().UnixMilli() // metadata has no time
	members := m.members(now, now, nil)
	if err := ask.nobody(m, len(members)); err != nil {
		return Metadata{}, err
	}
	answers, err := fanOut(ctx, ask, members, everyone(members), func(ctx context.Context, who Member, o Options) (Metadata, error) {
		r := req
		r.Options = o
		a, err := who.Child.Metadata(ctx, r)
		if err == nil {
			err = budget.Reserve(sizeOfMetadata(a.Families))
		}
		if err == nil {
			ask.answered(who, a.Report, a.Warnings, 0, 0)
		}
		return a, err
	})
	if err != nil {
		return Metadata{}, m.limited(ctx, err)
	}
	out := Metadata{Families: map[string][]metadata.Metadata{}}
	for _, a := range answers {
		mergeMetadata(out.Families, a.Families, req)
	}
	out.Warnings, out.Report = ask.warnings(), ask.snapshot()
	return out, nil
}

// Exemplars implements Child.
func (m *Mixer) Exemplars(ctx context.Context, req ExemplarsRequest) (Exemplars, error) {
	m = m.now()
	leave, err := m.reads.Enter(ctx, req.Client)
	if err != nil {
		return Exemplars{}, err
	}
	defer leave()
	ctx, budget := m.budget(ctx, req.Options)
	defer budget.Close()
	ask := m.asking(req.Options.within(ctx))
	members := m.members(req.Mint, req.Maxt, nil)
	if err := ask.nobody(m, len(members)); err != nil {
		return Exemplars{}, err
	}
	prune := newPruning(members, m.pruner(req.Options), req.Mint, req.Maxt)
	var who bitset
	for _, ms := range req.Selectors {
		who = who.or(prune.candidates(ms))
	}
	answers, err := fanOut(ctx, ask, members, who, func(ctx context.Context, who Member, o Options) (Exemplars, error) {
		r := req
		r.Options = o
		a, err := who.Child.Exemplars(ctx, r)
		if err == nil {
			err = who.vouchesAll().checkExemplars(a.Results)
		}
		if err == nil {
			err = budget.Reserve(sizeOfExemplars(a.Results))
		}
		if err != nil {
			return Exemplars{}, err
		}
		ask.answered(who, a.Report, a.Warnings, int64(len(a.Results)), 0)
		return a, nil
	})
	if err != nil {
		return Exemplars{}, m.limited(ctx, err)
	}
	out := Exemplars{Warnings: ask.warnings(), Report: ask.whole(prune)}
	for _, a := range answers {
		out.Results = append(out.Results, a.Results...)
	}
	out.Results = mergeExemplars(out.Results)
	return out, nil
}

// mergeExemplars sorts by labels and joins the exemplars of equal series.
func mergeExemplars(in []exemplar.QueryResult) []exemplar.QueryResult {
	slices.SortStableFunc(in, func(a, b exemplar.QueryResult) int { return labels.Compare(a.SeriesLabels, b.SeriesLabels) })
	var out []exemplar.QueryResult
	for _, r := range in {
		if n := len(out); n > 0 && labels.Equal(out[n-1].SeriesLabels, r.SeriesLabels) {
			out[n-1].Exemplars = append(out[n-1].Exemplars, r.Exemplars...)
			continue
		}
		out = append(out, r)
	}
	return out
}
