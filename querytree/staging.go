package querytree

import (
	"context"

	"github.com/prometheus/prometheus/promql"
)

// Bounds of what waits for the end of its answer, in bytes. What fits can be left
// out if the child fails before the end; if it fails after that, the query starts
// again without it.
const (
	// maxStaged is for one child of a fragment.
	maxStaged = 1 << 20
	// maxStagedTogether is for all children of a fragment. While they have staged
	// that much, no child has more than its share of it in addition, so that all
	// have at most twice as much, and a series each.
	maxStagedTogether = 16 << 20
	// fewStaged is for a child of which something was merged, since then it cannot
	// be left out any more: the next series are put in the same few places.
	fewStaged = 64 << 10
)

// staging is what waits of a child's answer to one request.
type staging struct {
	// before is how many series are of requests before this one.
	before int
	// held counts the bytes of the others.
	held int64
	// most is how much may wait, least how much has to before it is looked again
	// whether anything can be merged.
	most, least int64
}

func (r *fragmentRun) newStaging(a *answer) staging {
	return staging{before: len(a.m), most: maxStaged}
}

// streams reports whether a part of a child's answer can be merged before the
// rest is known.
func (r *fragmentRun) streams() bool {
	return r.f.Merge == MergeQuantile || r.f.Merge == MergeFold
}

// stage adds a series to a child's answer. If much of it waits, or of all answers
// together, what can be merged is.
func (r *fragmentRun) stage(ctx context.Context, m Member, set ResultSet, a *answer, st *staging, s promql.Series) error {
	a.m = append(a.m, s)
	if !r.streams() {
		return nil
	}
	size := sizeOfSeries(s)
	st.held += size
	together := r.staged.Add(size)
	share := max(maxStagedTogether/int64(len(r.f.Children)), st.least)
	if st.held < st.most && (together < maxStagedTogether || st.held < share) {
		return nil
	}
	return r.mergeStaged(ctx, m, set, a, st)
}

// mergeStaged merges what has come of a child's answer, but for groups that have
// yet to get series of other operators: older children answer with one operator
// after the other.
func (r *fragmentRun) mergeStaged(ctx context.Context, m Member, set ResultSet, a *answer, st *staging) error {
	if st.before > 0 {
		// Whole, as that request was.
		size := sizeOfMatrix(a.m[:st.before])
		if err := r.foldEarly(ctx, m, a.m[:st.before]); err != nil {
			return err
		}
		r.staged.Add(-size)
		a.m, st.before = a.m[st.before:], 0
	}
	whole, rest := a.m, promql.Matrix(nil)
	if len(r.f.Ops) > 1 {
		whole, rest = wholeGroups(a.m, r.f.Ops)
	}
	if len(whole) > 0 {
		if err := r.foldEarly(ctx, m, whole); err != nil {
			return err
		}
		st.most = fewStaged
	}
	a.m = used(set, whole, rest)
	left := sizeOfMatrix(rest)
	r.staged.Add(left - st.held)
	st.held, st.least = left, 2*left
	st.most = max(st.most, st.least)
	return nil
}

// used gives back the points of series that were merged, and returns the rest of
// the answer, where these were.
func used(set ResultSet, merged, rest promql.Matrix) promql.Matrix {
	if s, ok := set.(Recycler); ok {
		s.Recycle(merged)
	}
	clear(merged)
	return append(merged[:0], rest...)
}
