package leaf

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"

	"github.com/pandometrics/pando/fieldhint"
)

func benchLabels(i int) labels.Labels {
	return labels.FromStrings("__name__", "http_requests_total", "code", strconv.Itoa(200+i%5), "instance", fmt.Sprintf("10.0.%d.%d:9090", i/256%256, i%256),
		"job", "shop", "method", "GET", "namespace", "default", "path", fmt.Sprintf("/api/v1/item/%d", i), "pod", fmt.Sprintf("shop-%d", i%100))
}

// batches builds remote write bodies of 1,000 series at time ts.
func batches(b *testing.B, series, samples int, ts int64, v2 bool) [][]byte {
	b.Helper()
	var out [][]byte
	for from := 0; from < series; from += 1000 {
		var (
			body []byte
			err  error
		)
		if v2 {
			body, err = batchV2(from, samples, ts).Marshal()
		} else {
			body, err = batchV1(from, samples, ts).Marshal()
		}
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, snappy.Encode(nil, body))
	}
	return out
}

func batchV1(from, samples int, ts int64) *prompb.WriteRequest {
	req := &prompb.WriteRequest{}
	for i := from; i < from+1000; i++ {
		s := seriesV1(benchLabels(i))
		for k := range samples {
			s.Samples = append(s.Samples, prompb.Sample{Timestamp: ts + int64(k), Value: float64(ts) + float64(k)})
		}
		req.Timeseries = append(req.Timeseries, s)
	}
	return req
}

func batchV2(from, samples int, ts int64) *writev2.Request {
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for i := from; i < from+1000; i++ {
		s := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(benchLabels(i), nil)}
		s.Metadata.Type = writev2.Metadata_METRIC_TYPE_COUNTER
		s.Metadata.HelpRef = symbols.Symbolize("Requests served.")
		for k := range samples {
			s.Samples = append(s.Samples, writev2.Sample{Timestamp: ts + int64(k), Value: float64(ts) + float64(k)})
		}
		req.Timeseries = append(req.Timeseries, s)
	}
	req.Symbols = symbols.Symbols()
	return req
}

// BenchmarkRemoteWrite compares the leaf's handler, with identity and hints,
// with Prometheus' own over the same TSDB options. One operation is a sample.
func BenchmarkRemoteWrite(b *testing.B) {
	for _, version := range []int{1, 2} {
		for _, samples := range []int{1, 10} {
			for _, who := range []string{"prometheus", "leaf"} {
				b.Run(fmt.Sprintf("v%d/samples=%d/%s", version, samples, who), func(b *testing.B) {
					set, err := fieldhint.NewSet(fieldhint.SetConfig{})
					if err != nil {
						b.Fatal(err)
					}
					var hints Indexer
					if who == "leaf" {
						hints = set
					}
					l := openLeaf(b, testConfig(b.TempDir()), Deps{Hints: hints})
					h := l.WriteHandler()
					if who == "prometheus" {
						h = remote.NewWriteHandler(discard(), prometheus.NewRegistry(), l.store.DB,
							remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}, false, false, false)
					}
					benchWrite(b, h, samples, version == 2)
				})
			}
		}
	}
}

func benchWrite(b *testing.B, h http.Handler, samples int, v2 bool) {
	const series = 20_000
	contentType := "application/x-protobuf"
	if v2 {
		contentType += ";proto=io.prometheus.write.v2.Request"
	}
	send := func(bodies [][]byte) {
		for _, body := range bodies {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Content-Encoding", "snappy")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusNoContent {
				b.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	}
	send(batches(b, series, 1, 0, v2))
	b.ResetTimer()
	b.ReportAllocs()
	ts := int64(1000)
	var cpu time.Duration
	for done := 0; done < b.N; {
		b.StopTimer()
		bodies := batches(b, series, samples, ts, v2)
		ts += 1000
		if left := (b.N - done + 1000*samples - 1) / (1000 * samples); left < len(bodies) {
			bodies = bodies[:left]
		}
		b.StartTimer()
		start := cpuTime(b)
		send(bodies)
		cpu += cpuTime(b) - start
		done += len(bodies) * 1000 * samples
	}
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
}

// cpuTime is what the process has used so far: unlike the time that passes, it
// does not depend on what else the machine does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkNewSeries is the creation of series, with and without identity and
// hints.
func BenchmarkNewSeries(b *testing.B) {
	for _, who := range []string{"prometheus", "leaf"} {
		b.Run(who, func(b *testing.B) {
			set, err := fieldhint.NewSet(fieldhint.SetConfig{})
			if err != nil {
				b.Fatal(err)
			}
			var hints Indexer
			if who == "leaf" {
				hints = set
			}
			l := openLeaf(b, testConfig(b.TempDir()), Deps{Hints: hints})
			var to storage.Appendable = l.written
			if who == "prometheus" {
				to = l.store.DB
			}
			sets := make([]labels.Labels, b.N)
			for i := range sets {
				sets[i] = benchLabels(i)
			}
			b.ResetTimer()
			start := cpuTime(b)
			app := to.Appender(context.Background())
			for i, lset := range sets {
				if _, err := app.Append(0, lset, 1000, 1); err != nil {
					b.Fatal(err)
				}
				if i%5000 == 4999 {
					if err := app.Commit(); err != nil {
						b.Fatal(err)
					}
					app = to.Appender(context.Background())
				}
			}
			if err := app.Commit(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkAppendByRef is what scraping does: a known reference every time.
func BenchmarkAppendByRef(b *testing.B) {
	var n atomic.Uint64
	to := &appendable{v1: nowhere{}, id: newIdentity(testIdentity), samples: &n}
	app := to.Appender(context.Background())
	sets := make([]labels.Labels, 1000)
	for i := range sets {
		sets[i] = benchLabels(i)
	}
	b.ResetTimer()
	for i := range b.N {
		if _, err := app.Append(storage.SeriesRef(i%1000+1), sets[i%1000], 0, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// nowhere is a storage that knows every reference.
type nowhere struct{}

func (nowhere) Appender(context.Context) storage.Appender { return nowhereAppender{} }

type nowhereAppender struct{ storage.Appender }

func (nowhereAppender) Append(ref storage.SeriesRef, _ labels.Labels, _ int64, _ float64) (storage.SeriesRef, error) {
	return ref, nil
}

// BenchmarkSelect compares a select of 20,000 series with and without identity.
func BenchmarkSelect(b *testing.B) {
	l := openLeaf(b, testConfig(b.TempDir()), Deps{})
	app := l.store.DB.Appender(context.Background())
	for i := range 20_000 {
		if _, err := app.Append(0, benchLabels(i), 1000, 1); err != nil {
			b.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		q    storage.Queryable
		ms   []*labels.Matcher
	}{
		{"prometheus/20000", l.store.DB, []*labels.Matcher{eq("job", "shop")}},
		{"leaf/20000", l.served, []*labels.Matcher{eq("job", "shop"), eq("zone", "eu")}},
		{"prometheus/1", l.store.DB, []*labels.Matcher{eq("path", "/api/v1/item/77")}},
		{"leaf/1", l.served, []*labels.Matcher{eq("path", "/api/v1/item/77"), eq("zone", "eu")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				q, err := c.q.Querier(math.MinInt64, math.MaxInt64)
				if err != nil {
					b.Fatal(err)
				}
				set := q.Select(context.Background(), true, nil, append([]*labels.Matcher{}, c.ms...)...)
				for set.Next() {
					_ = set.At().Labels()
				}
				q.Close()
			}
		})
	}
}
