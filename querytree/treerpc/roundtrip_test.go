package treerpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// sameBits compares floats by their bits: a NaN is not another.
var sameBits = cmp.Options{
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	cmp.Comparer(func(a, b labels.Labels) bool { return labels.Equal(a, b) }),
	cmpopts.EquateEmpty(),
}

func matcher(t *testing.T, typ labels.MatchType, name, val string) *labels.Matcher {
	t.Helper()
	m, err := labels.NewMatcher(typ, name, val)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func floatHistogram(hint histogram.CounterResetHint, sum float64) *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		CounterResetHint: hint, Schema: 2, ZeroThreshold: 1e-9, ZeroCount: -2.5, Count: 7, Sum: sum,
		PositiveSpans: []histogram.Span{{Offset: -3, Length: 2}, {Offset: 4, Length: 1}}, PositiveBuckets: []float64{1, 0, 3},
		NegativeSpans: []histogram.Span{{Offset: 1, Length: 1}}, NegativeBuckets: []float64{-0.5},
	}
}

func customHistogram() *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, Count: 3, Sum: 1,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 3}}, PositiveBuckets: []float64{1, 1, 1}, CustomValues: []float64{0.5, 10},
	}
}

// execSeries are the shapes that a series of an Exec answer can have, on a grid
// of 1000 steps of 10 ms from 100.
func execSeries() []promql.Series {
	full := promql.Series{Metric: labels.FromStrings("__name__", "full")}
	for i := range 1000 {
		full.Floats = append(full.Floats, promql.FPoint{T: int64(100 + 10*i), F: float64(i) / 3})
	}
	return []promql.Series{
		{Metric: labels.EmptyLabels(), Floats: []promql.FPoint{{T: 100, F: math.Inf(-1)}}},
		full,
		{Metric: labels.FromStrings("a", "\xff not utf-8", "b", ""), Floats: []promql.FPoint{
			{T: 110, F: math.Float64frombits(value.StaleNaN)},
			{T: 180, F: math.NaN()},
			{T: 190, F: math.Float64frombits(0x7ff8000000000abc)},
			{T: 10090, F: math.Copysign(0, -1)},
		}},
		{Metric: labels.FromStrings("h", "1"), Floats: []promql.FPoint{{T: 120, F: 1}}, Histograms: []promql.HPoint{
			{T: 100, H: floatHistogram(histogram.GaugeType, 1)},
			{T: 110, H: floatHistogram(histogram.CounterReset, math.Float64frombits(value.StaleNaN))},
			{T: 10090, H: customHistogram()},
		}},
		{Metric: labels.FromStrings("z", "no points")},
	}
}

func drain(set querytree.ResultSet) []promql.Series {
	var out []promql.Series
	for set.Next() {
		out = append(out, set.At())
	}
	return out
}

func TestExecRoundTrip(t *testing.T) {
	want := execSeries()
	report := querytree.Report{Pruned: map[querytree.Verdict]int{querytree.PrunedHint: 7}, Unlisted: 3}
	report.Add("zone=eu,cluster=eu-2", querytree.ChildReport{Tier: "leaf", Verdict: querytree.Asked, Requests: 2, Failed: "gone", Late: true, Series: 4, Samples: 9})
	var got querytree.ExecRequest
	remote := linked(t, &fakeChild{description: leafDescription(), exec: func(_ context.Context, r querytree.ExecRequest) (querytree.ResultSet, error) {
		got = r
		return &fakeResult{next: seriesList(want...), report: report}, nil
	}})
	req := querytree.ExecRequest{
		Options: querytree.Options{ID: "q1", Strict: true, Detail: true, NoHints: true, NoPushdown: true, MaxSeries: 5, MaxSamples: 6},
		Query:   "sum(x)", Start: 100, End: 10099, Step: 10, Lookback: 300,
	}
	set, err := remote.Exec(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if diff := cmp.Diff(want, drain(set), sameBits); diff != "" || set.Err() != nil {
		t.Errorf("series (err %v):\n%s", set.Err(), diff)
	}
	gotReport := set.Report()
	if row := ownRow(remote, &gotReport); row.Series != int64(len(want)) || row.Samples < 1000 || row.Bytes < 200 || row.Tier != "leaf" {
		t.Errorf("row of the child itself: %+v", row)
	}
	if diff := cmp.Diff(report, gotReport); diff != "" {
		t.Errorf("report:\n%s", diff)
	}
	if diff := cmp.Diff(req, got); diff != "" {
		t.Errorf("request:\n%s", diff)
	}
}

// However many children there are below, what is told of them fits a frame: those that
// failed are named, and what has no row is counted.
func TestLargeReport(t *testing.T) {
	const children, failed = 60_000, 50
	report := querytree.Report{Unlisted: 2}
	for i := range children {
		row := querytree.ChildReport{
			Tier: "leaf", Verdict: querytree.Asked, Requests: 1, Series: 1 << 20, Samples: 1 << 30, Bytes: 1 << 40, Time: 3_600_000_000_000,
		}
		if i < failed {
			row.Failed = strings.Repeat("why ", 100)
		}
		report.Add(fmt.Sprintf("continent=somewhere,zone=far-away-%d,cluster=of-many-%06d/shard=%02d/replica=a", i%40, i, i%32), row)
	}
	remote := linked(t, &fakeChild{description: leafDescription(), exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
		return &fakeResult{next: seriesList(execSeries()...), report: report}, nil
	}})
	set, err := remote.Exec(t.Context(), querytree.ExecRequest{Query: "x", Start: 100, End: 10099, Step: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if n := len(drain(set)); n != len(execSeries()) || set.Err() != nil {
		t.Fatalf("%d series, %v", n, set.Err())
	}
	got := set.Report()
	if n := len(got.Missing()); n != failed {
		t.Errorf("%d children failed, want %d", n, failed)
	}
	ownRow(remote, &got)
	if rows := len(got.Children); rows+got.Unlisted != children+2 || rows < 10_000 || got.Unlisted <= report.Unlisted {
		t.Errorf("%d rows and %d without one, want %d in all", rows, got.Unlisted, children+2)
	}
}

// A series of more points than fit a frame, and more label sets than fit a
// symbol table, come in parts and arrive whole.
func TestExecOfManyFrames(t *testing.T) {
	req := querytree.ExecRequest{Query: "x", Start: 0, End: 99_999, Step: 1}
	var want []promql.Series
	for i := range 3 {
		s := promql.Series{Metric: labels.FromStrings("a", fmt.Sprint(i))}
		for step := i; step < 100_000; step += 1 + i {
			s.Floats = append(s.Floats, promql.FPoint{T: int64(step), F: float64(step)})
		}
		for step := range 1000 {
			s.Histograms = append(s.Histograms, promql.HPoint{T: int64(step * 7), H: floatHistogram(histogram.UnknownCounterReset, float64(step))})
		}
		want = append(want, s)
	}
	want = append(want, promql.Series{Metric: labels.FromStrings("a", "3"), Floats: []promql.FPoint{{T: 0}, {T: 99_999}}})
	for i := range 70_000 {
		want = append(want, promql.Series{Metric: labels.FromStrings("b", fmt.Sprintf("%06d", i)), Floats: []promql.FPoint{{T: 5, F: 1}}})
	}
	remote := linked(t, &fakeChild{exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
		return &fakeResult{next: seriesList(want...)}, nil
	}})
	set, err := remote.Exec(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	got := drain(set)
	if set.Err() != nil || len(got) != len(want) {
		t.Fatalf("%d series of %d, error %v", len(got), len(want), set.Err())
	}
	for i := range want {
		if !labels.Equal(got[i].Metric, want[i].Metric) || !slices.Equal(got[i].Floats, want[i].Floats) {
			t.Fatalf("series %d: %s of %d points, want %s of %d", i, got[i].Metric, len(got[i].Floats), want[i].Metric, len(want[i].Floats))
		}
		sameHistogram := func(a, b promql.HPoint) bool { return a.T == b.T && a.H.Equals(b.H) }
		if !slices.EqualFunc(got[i].Histograms, want[i].Histograms, sameHistogram) {
			t.Fatalf("series %d: histograms differ", i)
		}
	}
}

// Annotations keep their kind and their raw text, and show the position that
// the child rendered, not one of another query.
func TestAnnotationsRoundTrip(t *testing.T) {
	const query = "rate(\n  x[5m])"
	position := posrange.PositionRange{Start: 8, End: 9}
	info := annotations.NewPossibleNonCounterInfo("x", position)
	local := annotations.New()
	local.Add(info)
	local.Add(annotations.NewInvalidQuantileWarning(2, position))
	local.Add(errors.New("child gone"))
	remote := linked(t, &fakeChild{exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
		return &fakeResult{warn: *local}, nil
	}})
	set, err := remote.Exec(t.Context(), querytree.ExecRequest{Query: query})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	drain(set)
	got := set.Warnings()
	if len(got) != 3 || got[info.Error()] == nil || !errors.Is(got[info.Error()], annotations.PromQLInfo) {
		t.Fatalf("annotations %v", got)
	}
	if strings.Contains(info.Error(), "(2:3)") {
		t.Error("the child's annotation was changed:", info)
	}
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	warnings, infos := set.Warnings().AsStrings("another query", 0, 0)
	wantWarnings, wantInfos := local.AsStrings(query, 0, 0)
	if diff := cmp.Diff([][]string{wantWarnings, wantInfos}, [][]string{warnings, infos}, sorted); diff != "" {
		t.Errorf("rendered:\n%s", diff)
	}
}

func TestAnnotationMerge(t *testing.T) {
	a := &Annotation{kind: annotations.PromQLInfo, raw: "x", rendered: "x (1:1)"}
	b := &Annotation{kind: annotations.PromQLInfo, raw: "x", rendered: "x (1:7)"}
	// The very same value, not just an equal one, hence the comparison.
	if a.Merge(b) != error(a) || b.Merge(a) != error(a) || b.Merge(errors.New("x")) != error(b) { //nolint:errorlint // identity is meant
		t.Error("the annotation kept depends on the order")
	}
}

func rawChunk(t *testing.T, enc chunkenc.Encoding, from, n int) chunks.Meta {
	t.Helper()
	c, err := chunkenc.NewEmptyChunk(enc)
	if err != nil {
		t.Fatal(err)
	}
	app, err := c.Appender()
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < from+n; i++ {
		switch enc {
		case chunkenc.EncXOR, chunkenc.EncXOR2:
			app.Append(0, int64(i), float64(i)/7)
		case chunkenc.EncHistogram, chunkenc.EncHistogramST:
			h := &histogram.Histogram{Schema: 1, Count: uint64(3 * i), Sum: float64(i), PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{int64(i), int64(i)}}
			_, _, app, err = app.AppendHistogram(nil, 0, int64(i), h, true)
		default:
			h := floatHistogram(histogram.UnknownCounterReset, 1)
			h.Count = float64(i)
			_, _, app, err = app.AppendFloatHistogram(nil, 0, int64(i), h, true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return chunks.Meta{Chunk: c, MinTime: int64(from), MaxTime: int64(from + n - 1)}
}

var allEncodings = []chunkenc.Encoding{
	chunkenc.EncXOR, chunkenc.EncHistogram, chunkenc.EncFloatHistogram, chunkenc.EncXOR2, chunkenc.EncHistogramST, chunkenc.EncFloatHistogramST,
}

// textOf renders a chunk's samples, for comparison.
func textOf(c chunkenc.Chunk) string {
	var b strings.Builder
	it := c.Iterator(nil)
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		if typ == chunkenc.ValFloat {
			ts, v := it.At()
			fmt.Fprintln(&b, ts, v)
			continue
		}
		ts, h := it.AtFloatHistogram(nil)
		fmt.Fprintln(&b, ts, h)
	}
	fmt.Fprint(&b, it.Err())
	return b.String()
}

func TestSelectRoundTrip(t *testing.T) {
	var series []storage.ChunkSeries
	for i, enc := range allEncodings {
		series = append(series, &rawSeries{labels: labels.FromStrings("s", fmt.Sprint(i)), metas: []chunks.Meta{rawChunk(t, enc, 0, 9), rawChunk(t, enc, 5, 100)}})
	}
	long := &rawSeries{labels: labels.FromStrings("s", "long")}
	for i := range 2000 {
		long.metas = append(long.metas, rawChunk(t, chunkenc.EncXOR, i*100, 100))
	}
	series = append(series, long, &rawSeries{labels: labels.FromStrings("s", "none")})
	var got querytree.SelectRequest
	remote := linked(t, &fakeChild{sel: func(_ context.Context, r querytree.SelectRequest) querytree.SeriesSet {
		got = r
		return &fakeSeries{next: seriesList(series...), warn: plainWarning("w")}
	}})
	req := querytree.SelectRequest{
		Mint: math.MinInt64, Maxt: math.MaxInt64, Limit: 9,
		Matchers: []*labels.Matcher{
			matcher(t, labels.MatchEqual, "a", "\xff"), matcher(t, labels.MatchNotEqual, "a", "y"),
			matcher(t, labels.MatchRegexp, "b", "x.*"), matcher(t, labels.MatchNotRegexp, "b", ""),
		},
	}
	set := remote.Select(t.Context(), req)
	defer set.Close()
	n := 0
	for ; set.Next(); n++ {
		want := series[n].(*rawSeries)
		if !labels.Equal(want.labels, set.At().Labels()) {
			t.Fatalf("series %d is %s", n, set.At().Labels())
		}
		i := 0
		for it := set.At().Iterator(nil); it.Next(); i++ {
			m, w := it.At(), want.metas[i]
			if m.MinTime != w.MinTime || m.MaxTime != w.MaxTime || m.Chunk.Encoding() != w.Chunk.Encoding() || textOf(m.Chunk) != textOf(w.Chunk) {
				t.Fatalf("series %s: chunk %d differs", want.labels, i)
			}
		}
		if i != len(want.metas) {
			t.Errorf("series %s: %d chunks of %d", want.labels, i, len(want.metas))
		}
	}
	if n != len(series) || set.Err() != nil || len(set.Warnings()) != 1 {
		t.Errorf("%d series of %d, error %v, warnings %v", n, len(series), set.Err(), set.Warnings())
	}
	if diff := cmp.Diff(fmt.Sprint(req), fmt.Sprint(got)); diff != "" {
		t.Errorf("request:\n%s", diff)
	}
}

// With LabelsOnly no chunk is even looked at.
func TestSelectLabelsOnly(t *testing.T) {
	series := []storage.ChunkSeries{&rawSeries{labels: labels.FromStrings("s", "1"), metas: []chunks.Meta{{}}}}
	remote := linked(t, &fakeChild{sel: func(context.Context, querytree.SelectRequest) querytree.SeriesSet {
		return &fakeSeries{next: seriesList(series...)}
	}})
	set := remote.Select(t.Context(), querytree.SelectRequest{LabelsOnly: true})
	defer set.Close()
	if !set.Next() || set.At().Labels().Get("s") != "1" || set.At().Iterator(nil).Next() || set.Next() || set.Err() != nil {
		t.Error("series s=1 without chunks expected, error:", set.Err())
	}
}

// An error in the middle of an answer comes after what was good, and a series
// cut short by it is not shown.
func TestErrorWithinAnswer(t *testing.T) {
	broken := errors.New("disk on fire")
	remote := linked(t, &fakeChild{
		exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
			return &fakeResult{next: seriesList(promql.Series{}, promql.Series{Metric: labels.FromStrings("a", "1"), Floats: []promql.FPoint{{T: 7}}})}, nil
		},
		sel: func(context.Context, querytree.SelectRequest) querytree.SeriesSet {
			return &fakeSeries{err: errors.New("not reached"), next: seriesList[storage.ChunkSeries](
				&rawSeries{labels: labels.FromStrings("a", "1"), metas: []chunks.Meta{rawChunk(t, chunkenc.EncXOR, 0, 1)}},
				&rawSeries{labels: labels.FromStrings("a", "2"), metas: []chunks.Meta{rawChunk(t, chunkenc.EncXOR, 0, 1)}, err: broken},
			)}
		},
	})
	set := remote.Select(t.Context(), querytree.SelectRequest{})
	defer set.Close()
	if !set.Next() || set.Next() || set.Err() == nil || !strings.Contains(set.Err().Error(), broken.Error()) {
		t.Error("one series and the error expected, got", set.Err())
	}
	result, err := remote.Exec(t.Context(), querytree.ExecRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	if n := len(drain(result)); n != 1 || result.Err() == nil || !strings.Contains(result.Err().Error(), "not on the step grid") {
		t.Errorf("%d series, error %v", n, result.Err())
	}
}

func TestListsRoundTrip(t *testing.T) {
	warn := plainWarning("w")
	report := querytree.Report{Pruned: map[querytree.Verdict]int{querytree.PrunedTime: 1}}
	names := querytree.Names{Warnings: warn, Report: report}
	families := querytree.Metadata{Families: map[string][]metadata.Metadata{"empty": nil}, Warnings: warn, Report: report}
	exemplars := querytree.Exemplars{Warnings: warn, Report: report}
	for i := range 8_000 {
		name := fmt.Sprintf("name-of-some-length-%06d-\xff", i)
		names.Names = append(names.Names, name)
		families.Families[name] = []metadata.Metadata{{Type: "counter", Unit: "s", Help: "help"}, {Type: "gauge", Help: "other"}}
		families.Families["many"] = append(families.Families["many"], metadata.Metadata{Help: name})
	}
	for i := range 100 {
		r := exemplar.QueryResult{SeriesLabels: labels.FromStrings("s", fmt.Sprintf("%03d", i))}
		for j := range 50 {
			r.Exemplars = append(r.Exemplars, exemplar.Exemplar{Labels: labels.FromStrings("trace", fmt.Sprint(j)), Value: math.NaN(), Ts: int64(j), HasTs: j%2 == 0})
		}
		exemplars.Results = append(exemplars.Results, r)
	}
	var requests []any
	remote := linked(t, &fakeChild{
		names: func(_ context.Context, r querytree.NamesRequest) (querytree.Names, error) {
			requests = append(requests, r)
			return names, nil
		},
		metadata: func(_ context.Context, r querytree.MetadataRequest) (querytree.Metadata, error) {
			requests = append(requests, r)
			return families, nil
		},
		exemplars: func(_ context.Context, r querytree.ExemplarsRequest) (querytree.Exemplars, error) {
			requests = append(requests, r)
			return exemplars, nil
		},
	})
	m := matcher(t, labels.MatchRegexp, "a", "b.*")
	nr := querytree.NamesRequest{Label: "job", Mint: 1, Maxt: 2, Matchers: []*labels.Matcher{m}, Limit: 3}
	mr := querytree.MetadataRequest{Metric: "up", Limit: 1, LimitPerMetric: 2}
	er := querytree.ExemplarsRequest{Mint: 1, Maxt: 2, Selectors: [][]*labels.Matcher{{m, m}, {m}}}
	gotNames, err := remote.Names(t.Context(), nr)
	if row := ownRow(remote, &gotNames.Report); row.Bytes < 8000*25 {
		t.Errorf("names: row of the child itself: %+v", row)
	}
	check(t, "names", names, gotNames, err)
	gotFamilies, err := remote.Metadata(t.Context(), mr)
	ownRow(remote, &gotFamilies.Report)
	check(t, "metadata", families, gotFamilies, err)
	gotExemplars, err := remote.Exemplars(t.Context(), er)
	if row := ownRow(remote, &gotExemplars.Report); row.Series != 100 {
		t.Errorf("exemplars: row of the child itself: %+v", row)
	}
	check(t, "exemplars", exemplars, gotExemplars, err)
	check(t, "requests", fmt.Sprint([]any{nr, mr, er}), fmt.Sprint(requests), nil)
}

// ownRow takes the row of the child itself, which the link adds, out of a report.
func ownRow(c querytree.Child, r *querytree.Report) querytree.ChildReport {
	row := r.Children[c.Describe().Name()]
	delete(r.Children, c.Describe().Name())
	return row
}

func check[T any](t *testing.T, what string, want, got T, err error) {
	t.Helper()
	errorsByText := cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })
	if diff := cmp.Diff(want, got, sameBits, errorsByText); diff != "" || err != nil {
		t.Errorf("%s (error %v):\n%s", what, err, diff[:min(len(diff), 1000)])
	}
}

func plainWarning(text string) annotations.Annotations {
	return annotations.New().Add(errors.New(text))
}
