package leaf

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage/remote"
)

// postedV2 sends a request, and returns what the sender is told.
func postedV2(t *testing.T, h http.Handler, body []byte) (status int, header http.Header, text string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(snappy.Encode(nil, body)))
	r.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	r.Header.Set("Content-Encoding", "snappy")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

// v2Generator makes requests as senders write them, and as they do not.
type v2Generator struct {
	r     *rand.Rand
	clock int64
	count map[string]float64
}

func (g *v2Generator) series(symbols *writev2.SymbolsTable) writev2.TimeSeries {
	metric := []string{"orders_total", "orders_total", "orders_total", "other_total"}[g.r.IntN(4)]
	pod := fmt.Sprint(g.r.IntN(6))
	lset := labels.FromStrings("__name__", metric, "pod", pod, "zone", "mars")
	s := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(lset, nil)}
	s.Metadata.Type = writev2.Metadata_METRIC_TYPE_COUNTER
	s.Metadata.HelpRef = symbols.Symbolize("Orders.")
	for range 1 + g.r.IntN(8)/7 {
		g.clock++ // no two samples of a series are of one time
		g.count[pod+metric] += float64(g.r.IntN(5))
		sample := writev2.Sample{Timestamp: g.clock, Value: g.count[pod+metric]}
		if g.r.IntN(3) == 0 {
			sample.StartTimestamp = g.clock - 1000
		}
		if g.r.IntN(12) == 0 {
			sample.Value = math.Float64frombits(value.StaleNaN)
		}
		s.Samples = append(s.Samples, sample)
	}
	switch g.r.IntN(25) {
	case 0:
		s.Samples = nil
	case 1:
		s.LabelsRefs[1] = 1_000
	case 2:
		s.LabelsRefs = s.LabelsRefs[2:] // no name
	case 3:
		s.LabelsRefs = append(s.LabelsRefs[2:], s.LabelsRefs[:2]...) // unsorted
	case 4:
		s.LabelsRefs = s.LabelsRefs[:3]
	case 5:
		s.Metadata.HelpRef = symbols.Symbolize(fmt.Sprint("Orders in ", g.r.IntN(4)))
	case 6:
		s.Metadata.UnitRef = 1_000
	case 7:
		s.Metadata.Type = 99
	case 8:
		s.Samples[0].Timestamp = time.Now().Add(time.Hour).UnixMilli()
	case 9:
		s.Exemplars = []writev2.Exemplar{{Value: 1, Timestamp: g.clock, LabelsRefs: symbols.SymbolizeLabels(labels.FromStrings("trace", "a"), nil)}}
	case 10:
		s.Histograms = []writev2.Histogram{{Count: &writev2.Histogram_CountInt{CountInt: 1}, Timestamp: g.clock, Sum: 1, ZeroCount: &writev2.Histogram_ZeroCountInt{ZeroCountInt: 1}}}
	case 11:
		s.LabelsRefs = append(s.LabelsRefs, s.LabelsRefs[2:4]...) // twice
	}
	return s
}

func (g *v2Generator) body(t *testing.T) []byte {
	t.Helper()
	symbols, req := writev2.NewSymbolTable(), &writev2.Request{}
	for range g.r.IntN(3) {
		symbols.Symbolize(fmt.Sprint("other ", g.r.IntN(100))) // moves the others
	}
	for range g.r.IntN(8) {
		req.Timeseries = append(req.Timeseries, g.series(&symbols))
	}
	req.Symbols = symbols.Symbols()
	body, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if g.r.IntN(20) == 0 {
		body = body[:g.r.IntN(len(body)+1)]
	}
	return body
}

// A leaf that takes known series out of requests stores, and answers, what one does
// that leaves all to Prometheus' handler.
func TestRemoteWrite2SiftedAndNot(t *testing.T) {
	sifting, plain := newAggregating(t, dropPod), newAggregating(t, dropPod)
	handler := plain.guard.snappyChecked(remote.NewWriteHandler(plain.logger, prometheus.NewRegistry(), plain.in,
		remoteapi.MessageTypes{remoteapi.WriteV2MessageType}, true, false, true))
	g := &v2Generator{r: rand.New(rand.NewPCG(3, 4)), count: map[string]float64{}}
	begin := max(sifting.begin, plain.begin)
	for i := range 1500 {
		at := time.Duration(i) * 200 * time.Millisecond
		g.clock = begin + at.Milliseconds()
		body := g.body(t)
		status, header, text := postedV2(t, sifting.WriteHandler(), body)
		wantStatus, wantHeader, wantText := postedV2(t, handler, body)
		if status != wantStatus || text != wantText {
			t.Fatalf("request %d: %d %q, want %d %q", i, status, text, wantStatus, wantText)
		}
		if diff := cmp.Diff(wantHeader, header); diff != "" {
			t.Fatalf("request %d: headers: -want +got:\n%s", i, diff)
		}
		if i%25 == 0 {
			sifting.flush(at + time.Duration(begin-sifting.begin)*time.Millisecond)
			plain.flush(at + time.Duration(begin-plain.begin)*time.Millisecond)
		}
	}
	storeTheSame(t, plain, sifting, begin, "orders_total:without_pod_instance", "orders_total", "other_total")
}

// storeTheSame compares what two leaves hold of metrics, of which the first one must
// be there, and their metadata.
func storeTheSame(t *testing.T, want, got *aggregating, begin int64, metrics ...string) {
	t.Helper()
	for i, metric := range metrics {
		stored := samples(t, want.served, begin, metric)
		if diff := cmp.Diff(stored, samples(t, got.served, begin, metric)); diff != "" || i == 0 && len(stored) == 0 {
			t.Errorf("%s: -want +got:\n%s", metric, diff)
		}
	}
	if diff := cmp.Diff(want.metadata.get(""), got.metadata.get("")); diff != "" {
		t.Errorf("metadata: -want +got:\n%s", diff)
	}
}

// Prometheus' handler gets what is not known, and only that.
func TestRemoteWrite2IsSifted(t *testing.T) {
	a := newAggregating(t, dropPod)
	s := &writeV2{leaf: a.Leaf}
	var passed writev2.Request
	next := remote.NewWriteHandler(a.logger, prometheus.NewRegistry(), s, remoteapi.MessageTypes{remoteapi.WriteV2MessageType}, true, false, true)
	h := s.before(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, err := snappy.Decode(nil, sent)
		if err != nil {
			t.Fatal(err)
		}
		passed = writev2.Request{}
		if err := passed.Unmarshal(body); err != nil {
			t.Fatal(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		next.ServeHTTP(w, r)
	}))
	send := func(at time.Duration, help string, series ...labels.Labels) {
		t.Helper()
		symbols, req := writev2.NewSymbolTable(), &writev2.Request{}
		for _, lset := range series {
			ts := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(lset, nil), Samples: []writev2.Sample{{Timestamp: a.at(at), Value: at.Seconds()}}}
			ts.Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: symbols.Symbolize(help)}
			req.Timeseries = append(req.Timeseries, ts)
		}
		req.Symbols = symbols.Symbols()
		body, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		status, header, text := postedV2(t, h, body)
		if status != http.StatusNoContent || header.Get(samplesWritten) != fmt.Sprint(len(series)) {
			t.Fatalf("%d %s, %v", status, text, header)
		}
	}
	other := labels.FromStrings("__name__", "other_total")
	for i, c := range []struct {
		help   string
		series []labels.Labels
		want   int // of them, that the handler sees
	}{
		{"Orders.", []labels.Labels{orders("a"), orders("b"), other}, 3},
		{"Orders.", []labels.Labels{other, orders("b"), orders("a")}, 1},
		{"Orders.", []labels.Labels{orders("c"), orders("a")}, 1},
		{"Orders.", []labels.Labels{orders("c"), orders("a")}, 0},
		{"All orders.", []labels.Labels{orders("a"), orders("b")}, 2},
		{"All orders.", []labels.Labels{orders("a"), orders("b")}, 0},
		{"Orders.", []labels.Labels{orders("a")}, 0},
	} {
		send(time.Duration(i+1)*time.Second, c.help, c.series...)
		if n := len(passed.Timeseries); n != c.want {
			t.Errorf("request %d: the handler sees %d series, want %d", i, n, c.want)
		}
	}
	a.flush(10 * time.Second)
	a.want(ordersOutput + " 10:12")
	if m := a.Metadata("orders_total")["orders_total"]; len(m) != 2 {
		t.Errorf("metadata %v", m)
	}
}
