package querytree

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// sortStride is how many comparisons there are between two looks at a context:
// a tenth of a millisecond, of long label sets.
const sortStride = 1 << 10

// sortSeriesIn sorts by labels, as sortSeries, unless ctx ends before that: a
// million series take seconds, in which a query could not be cancelled. Then it
// returns why, and the order is none.
func sortSeriesIn(ctx context.Context, m promql.Matrix) error {
	slices.SortFunc(m, until(ctx, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) }))
	return evaluationErr(ctx)
}

// until returns a comparison that calls everything equal once ctx has ended, so
// that a sort has nothing left to do.
func until[T any](ctx context.Context, compare func(a, b T) int) func(a, b T) int {
	n, over := 0, false
	return func(a, b T) int {
		if n++; n%sortStride == 0 && !over {
			over = ctx.Err() != nil
		}
		if over {
			return 0
		}
		return compare(a, b)
	}
}
