package leaf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/pandometrics/pando/fieldhint"
)

var testIdentity = labels.FromStrings("cluster", "eu-1", "zone", "eu")

func testConfig(dir string) Config {
	cfg := DefaultConfig()
	cfg.Identity.Labels = testIdentity
	cfg.DataDir = dir
	cfg.NoLockfile = true
	cfg.BlockReloadInterval = time.Second
	return cfg
}

func openLeaf(t testing.TB, cfg Config, deps Deps) *Leaf {
	t.Helper()
	deps.Registerer = prometheus.NewRegistry()
	l, err := Open(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// runLeaf runs l until the test ends or the returned function is called.
func runLeaf(t testing.TB, l *Leaf) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	eventually(t, "leaf is ready", l.Ready)
	return stop
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// appendStored appends a sample a series, as another program would have.
func appendStored(t testing.TB, app storage.Appendable, ts int64, sets ...labels.Labels) {
	t.Helper()
	a := app.Appender(context.Background())
	for i, lset := range sets {
		if _, err := a.Append(0, lset, ts, float64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
}

func eq(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

// selected returns what a sorted select returns, as "labels=last value".
func selected(t testing.TB, q storage.Queryable, ms ...*labels.Matcher) []string {
	t.Helper()
	querier, err := q.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer querier.Close()
	set := querier.Select(context.Background(), true, nil, ms...)
	out := []string{}
	for set.Next() {
		it := set.At().Iterator(nil)
		v := math.NaN()
		for it.Next() == chunkenc.ValFloat {
			_, v = it.At()
		}
		out = append(out, fmt.Sprintf("%s=%v", set.At().Labels(), v))
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// selectedChunks returns the label sets that a sorted chunk select returns.
func selectedChunks(t testing.TB, q storage.ChunkQueryable, ms ...*labels.Matcher) []labels.Labels {
	t.Helper()
	querier, err := q.ChunkQuerier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer querier.Close()
	set := querier.Select(context.Background(), true, nil, ms...)
	var out []labels.Labels
	for set.Next() {
		out = append(out, set.At().Labels().Copy())
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func seriesV1(lset labels.Labels, samples ...prompb.Sample) prompb.TimeSeries {
	ts := prompb.TimeSeries{Samples: samples}
	lset.Range(func(l labels.Label) { ts.Labels = append(ts.Labels, prompb.Label{Name: l.Name, Value: l.Value}) })
	return ts
}

func postV1(t testing.TB, h http.Handler, req *prompb.WriteRequest) (int, string) {
	t.Helper()
	body, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return post(t, h, "application/x-protobuf", "snappy", snappy.Encode(nil, body))
}

func postV2(t testing.TB, h http.Handler, req *writev2.Request) (int, string) {
	t.Helper()
	body, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return post(t, h, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy", snappy.Encode(nil, body))
}

func post(t testing.TB, h http.Handler, contentType, encoding string, body []byte) (int, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	req, err := http.NewRequest(http.MethodPost, srv.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// fakeIndexer notes everything it is told.
type fakeIndexer struct {
	mu       sync.Mutex
	added    map[string]struct{}
	next     map[string]struct{} // while a rebuild runs
	complete bool
	rebuilt  int
	layout   fieldhint.Layout // of the last rebuild
	widened  []int64
}

func (f *fakeIndexer) External() labels.Labels { return labels.EmptyLabels() }

func (f *fakeIndexer) AddSeries(series ...labels.Labels) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.added == nil {
		f.added = map[string]struct{}{}
	}
	for _, lset := range series {
		f.added[lset.String()] = struct{}{}
		if f.next != nil {
			f.next[lset.String()] = struct{}{}
		}
	}
}

func (f *fakeIndexer) AddSeriesAt(lset labels.Labels, _ ...fieldhint.Span) { f.AddSeries(lset) }

func (f *fakeIndexer) Widen(from int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.widened = append(f.widened, from)
}

func (f *fakeIndexer) SetComplete() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.complete = true
}

func (f *fakeIndexer) Rebuild(layout fieldhint.Layout, scan func(add func(labels.Labels, ...fieldhint.Span)) error) error {
	f.mu.Lock()
	f.next = map[string]struct{}{}
	f.mu.Unlock()
	count := func(labels.Labels, ...fieldhint.Span) {}
	add := func(lset labels.Labels, _ ...fieldhint.Span) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.next[lset.String()] = struct{}{}
	}
	err := errors.Join(scan(count), scan(add))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.added, f.layout = f.next, layout
		f.rebuilt++
	}
	f.next = nil
	return err
}

func (f *fakeIndexer) has(want ...string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(want, func(s string) bool {
		_, ok := f.added[s]
		return !ok
	})
}

func (f *fakeIndexer) isComplete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.complete
}

// failing is a storage that cannot write its log.
type failing struct{ storage.Appendable }

func (f failing) Appender(ctx context.Context) storage.Appender {
	return failingAppender{f.Appendable.Appender(ctx)}
}

type failingAppender struct{ storage.Appender }

func (f failingAppender) Commit() error {
	return errors.Join(errors.New("write WAL: no space left on device"), f.Rollback())
}

// recorder is an appender that notes what is appended.
type recorder struct {
	storage.Appender
	lines []string
}

func (r *recorder) Append(_ storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	r.lines = append(r.lines, fmt.Sprintf("%s %d %x", l, t, math.Float64bits(v)))
	return 1, nil
}

func (r *recorder) AppendHistogram(_ storage.SeriesRef, l labels.Labels, t int64, _ *histogram.Histogram, _ *histogram.FloatHistogram) (storage.SeriesRef, error) {
	r.lines = append(r.lines, fmt.Sprintf("%s %d histogram", l, t))
	return 1, nil
}

func (r *recorder) AppendExemplar(_ storage.SeriesRef, l labels.Labels, e exemplar.Exemplar) (storage.SeriesRef, error) {
	r.lines = append(r.lines, fmt.Sprintf("%s %d exemplar %s", l, e.Ts, e.Labels))
	return 1, nil
}

// expected is what a recorder notes of a decoded request.
func expected(req prompb.WriteRequest) []string {
	rec := &recorder{}
	b := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		lset := ts.ToLabels(&b, nil)
		_, dup := lset.HasDuplicateLabelNames()
		if !lset.Has(labels.MetricName) || !lset.IsValid(model.UTF8Validation) || dup {
			continue
		}
		for _, s := range ts.Samples {
			_, _ = rec.Append(0, lset, s.Timestamp, s.Value)
		}
		for _, h := range ts.Histograms {
			_, _ = rec.AppendHistogram(0, lset, h.Timestamp, nil, nil)
		}
		for _, e := range ts.Exemplars {
			_, _ = rec.AppendExemplar(0, lset, e.ToExemplar(&b, nil))
		}
	}
	return rec.lines
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
