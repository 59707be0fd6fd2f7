package treerpc

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// Points given back are the room of the next ones, which are no others for that:
// of shorter and longer series, in packed frames and plain ones, in parts.
func TestRecycledPoints(t *testing.T) {
	g := grid{step: 15_000, steps: 3000}
	var series []promql.Series
	for _, steps := range []int{241, 3000, 7, 241} {
		for _, kind := range wireKinds {
			series = append(series, newWireData().answer(40, steps, g, kind.values)...)
		}
	}
	for i := range series { // sorted by labels, as an answer is
		series[i].Metric = labels.FromStrings("i", fmt.Sprintf("%06d", i))
	}
	remote := linked(t, &fakeChild{exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
		return &fakeResult{next: seriesList(series...)}, nil
	}})
	for _, every := range []int{1, 3, 100} {
		set, err := remote.Exec(t.Context(), querytree.ExecRequest{Query: "x", End: int64(g.steps-1) * g.step, Step: g.step})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		var got, held []promql.Series
		reused, seen := 0, map[*promql.FPoint]bool{}
		for set.Next() {
			s := set.At()
			if seen[&s.Floats[0]] {
				reused++
			}
			seen[&s.Floats[0]] = true
			if held = append(held, s); len(held) == every {
				for _, s := range held {
					got = append(got, promql.Series{Metric: s.Metric, Floats: slices.Clone(s.Floats)})
				}
				set.(querytree.Recycler).Recycle(held)
				held = nil
			}
		}
		if got = append(got, held...); set.Err() != nil || !sameSeries(series, got) {
			t.Errorf("given back every %d: %d series of %d, others than were sent, error %v", every, len(got), len(series), set.Err())
		}
		if reused < len(series)/2 {
			t.Errorf("given back every %d: %d of %d series where others were", every, reused, len(series))
		}
	}
}
