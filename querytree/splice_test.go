package querytree

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// floatChunks has a sample of value v+t at each time.
func floatChunks(t *testing.T, v float64, times ...int64) []chunks.Meta {
	t.Helper()
	var samples []chunks.Sample
	for _, at := range times {
		samples = append(samples, floatSample{at, v + float64(at)})
	}
	metas, err := encode(labels.EmptyLabels(), samples, nil)
	if err != nil {
		t.Fatal(err)
	}
	return metas
}

type floatSample struct {
	t int64
	v float64
}

func (s floatSample) T() int64                      { return s.t }
func (s floatSample) ST() int64                     { return 0 }
func (s floatSample) F() float64                    { return s.v }
func (s floatSample) H() *histogram.Histogram       { return nil }
func (s floatSample) FH() *histogram.FloatHistogram { return nil }
func (s floatSample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s floatSample) Copy() chunks.Sample           { return s }

// Which samples of two replicas make a series: those of the first have the value
// of their time, those of the other a thousand more.
func TestSplice(t *testing.T) {
	for what, c := range map[string]struct {
		first, other []int64
		holes        []Interval
		want         string
	}{
		"no hole":           {[]int64{0, 15, 30}, []int64{0, 15, 30}, nil, "0 15 30"},
		"same times":        {[]int64{0, 15, 60, 75}, []int64{0, 15, 30, 45, 60, 75}, []Interval{{20, 50}}, "0 15 1030 1045 60 75"},
		"hole told larger":  {[]int64{0, 15, 60, 75}, []int64{0, 15, 30, 45, 60, 75}, []Interval{{1, 74}}, "0 15 1030 1045 60 75"},
		"one sample":        {[]int64{0, 15, 45}, []int64{0, 15, 30, 45}, []Interval{{20, 40}}, "0 15 1030 45"},
		"other phase":       {[]int64{0, 15, 60, 75}, []int64{7, 22, 37, 52, 67, 82}, []Interval{{1, 74}}, "0 15 1022 1037 1052 60 75"},
		"outside of holes":  {[]int64{0, 60}, []int64{0, 15, 30, 45, 60}, []Interval{{20, 40}}, "0 1030 60"},
		"not mixed":         {[]int64{0, 15, 30, 45}, []int64{7, 22, 37}, []Interval{{1, 44}}, "0 15 30 45"},
		"only the other":    {nil, []int64{0, 15, 30}, []Interval{{10, 20}}, "1015"},
		"only the first":    {[]int64{0, 15, 30}, nil, []Interval{{10, 20}}, "0 15 30"},
		"begins in a hole":  {[]int64{45, 60}, []int64{15, 30, 45, 60}, []Interval{{10, 40}}, "1015 1030 45 60"},
		"ends in a hole":    {[]int64{0, 15}, []int64{0, 15, 30}, []Interval{{16, 40}}, "0 15 1030"},
		"several stretches": {[]int64{0, 30, 60}, []int64{0, 15, 30, 45, 60}, []Interval{{1, 59}}, "0 1015 30 1045 60"},
	} {
		metas, err := splice(labels.EmptyLabels(), floatChunks(t, 0, c.first...), floatChunks(t, 1000, c.other...), newIntervals(c.holes...))
		if err != nil {
			t.Fatal(err)
		}
		samples, err := samplesOf(metas)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range samples {
			got = append(got, fmt.Sprint(s.F()))
		}
		want := strings.Fields(c.want)
		for i := range want {
			want[i] = strings.TrimSpace(want[i])
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", what, d)
		}
	}
}

// What a histogram says of a reset before it is about its own replica's samples.
func TestSpliceForgetsResets(t *testing.T) {
	hist := func(n int64, times ...int64) []chunks.Meta {
		var samples []chunks.Sample
		for i, at := range times {
			h := tsdbutil.GenerateTestFloatHistogram(n + int64(i))
			h.CounterResetHint = histogram.CounterReset
			samples = append(samples, histSample{floatSample{t: at}, h})
		}
		metas, err := encode(labels.EmptyLabels(), samples, nil)
		if err != nil {
			t.Fatal(err)
		}
		return metas
	}
	metas, err := splice(labels.EmptyLabels(), hist(1, 0, 60), hist(3, 20, 40), newIntervals(Interval{10, 50}))
	if err != nil {
		t.Fatal(err)
	}
	samples, err := samplesOf(metas)
	if err != nil || len(samples) != 4 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	if h := samples[1].FH(); h.CounterResetHint == histogram.CounterReset {
		t.Error("the first sample of the other replica is taken for a reset")
	}
}

type histSample struct {
	floatSample
	h *histogram.FloatHistogram
}

func (s histSample) FH() *histogram.FloatHistogram { return s.h }
func (s histSample) Type() chunkenc.ValueType      { return chunkenc.ValFloatHistogram }
func (s histSample) Copy() chunks.Sample           { return s }
