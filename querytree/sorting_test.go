package querytree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// A sort ends with its context, but for a few thousand comparisons.
func TestSortEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all := rand.New(rand.NewPCG(1, 2)).Perm(100_000)
	compared, after := 0, 0
	slices.SortFunc(all, until(ctx, func(a, b int) int {
		compared++
		if ctx.Err() != nil {
			after++
		}
		if compared == 50_000 {
			cancel()
		}
		return cmp.Compare(a, b)
	}))
	if compared < 50_000 || after > sortStride {
		t.Errorf("%d comparisons, of which %d after the end", compared, after)
	}
}

func TestSortSeriesIn(t *testing.T) {
	var m promql.Matrix
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(5000) {
		m = append(m, promql.Series{Metric: labels.FromStrings("i", fmt.Sprint(i))})
	}
	want := slices.Clone(m)
	sortSeries(want)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var cancelled promql.ErrQueryCanceled
	if err := sortSeriesIn(ended, slices.Clone(m)); !errors.As(err, &cancelled) {
		t.Errorf("got %v", err)
	}
	if err := sortSeriesIn(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(want, m, func(a, b promql.Series) bool { return labels.Equal(a.Metric, b.Metric) }) {
		t.Error("not sorted")
	}
}
