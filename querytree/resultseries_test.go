package querytree

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// What is read back has a stale marker at the first step of each gap, and of the
// end if the grid goes on; seeking finds them as well.
func TestResultSeriesMarksGaps(t *testing.T) {
	h := tsdbutil.GenerateTestFloatHistogram(1)
	points := func(ts ...int64) (out []promql.FPoint) {
		for _, t := range ts {
			out = append(out, promql.FPoint{T: t, F: float64(t)})
		}
		return out
	}
	for _, c := range []struct {
		name string
		s    promql.Series
		grid grid
		want []int64 // times; those of stale markers negated
	}{
		{"nothing", promql.Series{}, grid{0, 50, 10}, nil},
		{"whole", promql.Series{Floats: points(10, 20, 30)}, grid{10, 30, 10}, []int64{10, 20, 30}},
		{"a gap of one step and of two", promql.Series{Floats: points(10, 30, 60)}, grid{10, 60, 10}, []int64{10, -20, 30, -40, 60}},
		{"the end", promql.Series{Floats: points(10)}, grid{10, 60, 10}, []int64{10, -20}},
		{"an instant", promql.Series{Floats: points(10)}, grid{10, 10, 0}, []int64{10}},
		{"histograms between", promql.Series{Floats: points(10, 50), Histograms: []promql.HPoint{{T: 20, H: h}, {T: 40, H: h}}}, grid{10, 60, 10}, []int64{10, 20, -30, 40, 50, -60}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := func(it chunkenc.Iterator, kind chunkenc.ValueType) int64 {
				if _, v := it.At(); kind == chunkenc.ValFloat && value.IsStaleNaN(v) {
					return -it.AtT()
				}
				return it.AtT()
			}
			var got []int64
			it := newGridSeries(&c.s, c.grid).Iterator(nil)
			for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
				got = append(got, at(it, kind))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			for _, w := range c.want {
				abs := int64(math.Abs(float64(w)))
				it = newGridSeries(&c.s, c.grid).Iterator(it)
				if kind := it.Seek(abs - 9); kind == chunkenc.ValNone || at(it, kind) != w {
					t.Errorf("from %d on: %v at %d, not %d", abs-9, kind, at(it, kind), w)
				}
			}
		})
	}
}

// What is read once is let go of; who reads it again is told, and does not find it
// empty.
func TestResultSeriesReadOnce(t *testing.T) {
	m := promql.Matrix{{Floats: []promql.FPoint{{T: 10, F: 1}}}, {Histograms: []promql.HPoint{{T: 10, H: tsdbutil.GenerateTestFloatHistogram(1)}}}}
	for i := range m {
		s := &resultSeries{s: &m[i], grid: grid{10, 10, 10}, once: true}
		it := s.Iterator(nil)
		if it.Next() == chunkenc.ValNone || it.AtT() != 10 || it.Err() != nil {
			t.Errorf("%d: no point, %v", i, it.Err())
		}
		if len(m[i].Floats)+len(m[i].Histograms) > 0 {
			t.Errorf("%d: the points are held", i)
		}
		if it = s.Iterator(it); it.Next() != chunkenc.ValNone || !errors.Is(it.Err(), errReadTwice) {
			t.Errorf("%d: read again: %v", i, it.Err())
		}
	}
}
