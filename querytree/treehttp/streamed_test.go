package treehttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"
)

// matrices are what may be hard to write as Prometheus does.
func matrices() map[string]promql.Matrix {
	odd := []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, -2.5, 1e-7, 1e-6, 9.999999e-7, 1e15, 1e15 - 1, -1e15, 1e20, 1e21, 1e22, -1e21, 123456789012345680, 1 << 53, 1<<53 + 2,
		math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, math.SmallestNonzeroFloat64, math.MaxInt64, math.MinInt64, 0.30000000000000004, 100, 1000,
	}
	var oddValues, random, gaps []promql.FPoint
	rng := rand.New(rand.NewPCG(1, 2))
	for i, v := range odd {
		oddValues = append(oddValues, promql.FPoint{T: int64(i) * 15_000, F: v})
	}
	for i := range 20_000 {
		v := math.Float64frombits(rng.Uint64())
		if i%2 == 0 {
			v = math.Trunc(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(19))))
		}
		random = append(random, promql.FPoint{T: rng.Int64N(2e12), F: v})
	}
	for i := range int64(300) {
		gaps = append(gaps, promql.FPoint{T: 1_435_781_451_001 + 7*i*i, F: float64(i % 3)})
	}
	times := []promql.FPoint{{T: -1}, {T: -1001}, {T: -60_010}, {T: 0}, {T: 1}, {T: 10}, {T: 100}, {T: 1000}, {T: 1010}, {T: math.MaxInt64}}
	h := &histogram.FloatHistogram{Count: 4, Sum: 5.5, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{1, 3}}
	named := labels.FromStrings("__name__", "up", "job", `quoted "and" <html> & \ `+"\n\x01\u2028é", "zone", "eu")
	return map[string]promql.Matrix{
		"nil":          nil,
		"empty":        {},
		"no points":    {{Metric: named}},
		"no labels":    {{Floats: gaps}},
		"odd values":   {{Metric: named, Floats: oddValues}, {Metric: labels.FromStrings("a", "b"), Floats: oddValues}},
		"random":       {{Metric: named, Floats: random}},
		"odd times":    {{Metric: named, Floats: times}},
		"gaps":         {{Metric: named, Floats: gaps}, {Metric: labels.FromStrings("a", "b"), Floats: gaps[3:]}, {Metric: labels.FromStrings("a", "c"), Floats: append(gaps[:0:0], gaps[7], gaps[90])}},
		"histograms":   {{Metric: named, Histograms: []promql.HPoint{{T: 15_000, H: h}, {T: 30_000, H: h}}}},
		"mixed series": {{Metric: named, Floats: gaps, Histograms: []promql.HPoint{{T: 15_000, H: h}}}, {Metric: labels.FromStrings("a", "b"), Floats: gaps}},
	}
}

func TestAnswersAreWrittenAsPrometheusWritesThem(t *testing.T) {
	for name, m := range matrices() {
		for _, warnings := range [][]string{nil, {`"result":[] is missing`}} {
			resp := &apiv1.Response{Status: "success", Data: &apiv1.QueryData{ResultType: parser.ValueTypeMatrix, Result: m}, Warnings: warnings}
			want, err := apiv1.JSONCodec{}.Encode(resp)
			if err != nil {
				t.Fatal(name, err)
			}
			rec := httptest.NewRecorder()
			out := &answerWriter{ResponseWriter: rec, turn: &turnWriter{ctx: t.Context()}}
			resp.Data.(*apiv1.QueryData).Stats = addressed(context.WithValue(t.Context(), answerWriterKey{}, out), nil)
			b, err := streamCodec{}.Encode(resp)
			if err != nil || len(b) > 0 {
				t.Fatalf("%s: codec returned %q, %v", name, b, err)
			}
			if _, err := out.Write(b); err != nil {
				t.Fatal(name, err)
			}
			if got := rec.Body.Bytes(); !bytes.Equal(got, want) {
				t.Errorf("%s: text differs from Prometheus' (-want +got):\n%s", name, cmp.Diff(pieces(want), pieces(got)))
			}
		}
	}
}

// pieces divides text for a difference that can be read.
func pieces(b []byte) []string { return strings.SplitAfter(string(b), "],") }

// broken is a connection that takes so many writes.
type broken struct {
	http.ResponseWriter
	writes int
}

func (b *broken) Write(p []byte) (int, error) {
	if b.writes--; b.writes < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWritingEndsWithTheConnection(t *testing.T) {
	m := promql.Matrix{{Floats: make([]promql.FPoint, 100_000)}}
	w := &broken{writes: 3}
	if err := writeMatrix(w, m); err == nil || w.writes < -1 {
		t.Errorf("error %v; %d writes after the connection broke", err, -w.writes-1)
	}
}

func TestQueriesOverTheStreamingHandler(t *testing.T) {
	f := build(t, zoneLike(t))
	for _, params := range []string{
		"query=up&start=0&end=3600&step=15", "query=latency&start=0&end=3600&step=60", "query=up or latency&start=0&end=600&step=60&limit=1",
		"query=nothing&start=0&end=60&step=15", "query=up&start=0&end=60&step=15&stats=all", "query=1&start=0&end=60&step=15",
	} {
		v, err := url.ParseQuery(params)
		if err != nil {
			t.Fatal(err)
		}
		get := func(encoding string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, "/api/v1/query_range?"+v.Encode(), nil)
			r.Header.Set("Accept-Encoding", encoding)
			return f.send(r)
		}
		plain, packed := get(""), get("gzip, deflate")
		if got := packed.Header().Get("Content-Encoding"); got != "gzip" || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: answer to one who accepts gzip is encoded as %q, to one who does not as %q", params, got, plain.Header().Get("Content-Encoding"))
		}
		if got := fmt.Sprint(packed.Header()["Vary"]); strings.Count(got, "Accept-Encoding") != 1 {
			t.Errorf("%s: Vary: %s", params, got)
		}
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(params, err)
		}
		unpacked, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(params, err)
		}
		if strings.Contains(params, "stats") {
			if !bytes.Contains(unpacked, []byte(`"pando":{`)) {
				t.Errorf("%s: no statistics: %s", params, unpacked)
			}
			continue // they hold times
		}
		if !bytes.Equal(unpacked, plain.Body.Bytes()) || !bytes.HasPrefix(unpacked, []byte(`{"status":"success","data":{"resultType":"matrix","result":[`)) {
			t.Errorf("%s: compressed %s, plain %s", params, unpacked, plain.Body)
		}
		if bytes.Contains(unpacked, []byte(`"stats"`)) {
			t.Errorf("%s: statistics that nobody asked for: %s", params, unpacked)
		}
	}
}
