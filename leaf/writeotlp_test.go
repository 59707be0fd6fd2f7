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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

func postedOTLP(t *testing.T, h http.Handler, body []byte) (status int, text string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", otlpProtobuf)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// otlpGenerator makes requests as SDKs and collectors write them.
type otlpGenerator struct {
	r     *rand.Rand
	clock int64 // ms
	// used are times of the request at hand, before the clock: which of two samples of
	// one time counts is up to whoever comes first.
	used map[int64]bool
}

func (g *otlpGenerator) metric(m pmetric.Metric) {
	m.SetName([]string{"orders", "orders", "orders", "other", "orders.total"}[g.r.IntN(5)])
	if g.r.IntN(8) == 0 {
		m.SetDescription(fmt.Sprint("Orders in ", g.r.IntN(3)))
	}
	if g.r.IntN(15) == 0 {
		m.SetUnit("s")
	}
	var dps pmetric.NumberDataPointSlice
	switch g.r.IntN(20) {
	case 0:
		dps = m.SetEmptyGauge().DataPoints()
	case 1:
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		dp := h.DataPoints().AppendEmpty()
		dp.SetTimestamp(g.now())
		dp.SetCount(1)
		dp.SetSum(1)
		return
	case 2:
		return // of no kind
	default:
		sum := m.SetEmptySum()
		sum.SetIsMonotonic(g.r.IntN(15) > 0)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		if g.r.IntN(60) == 0 {
			sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		}
		dps = sum.DataPoints()
	}
	for range g.r.IntN(5) {
		g.point(dps.AppendEmpty())
	}
}

func (g *otlpGenerator) now() pcommon.Timestamp {
	return pcommon.NewTimestampFromTime(time.UnixMilli(g.clock))
}

func (g *otlpGenerator) point(dp pmetric.NumberDataPoint) {
	at := g.clock
	for g.used[at] {
		at = g.clock - g.r.Int64N(180)
	}
	g.used[at] = true
	dp.Attributes().PutStr("pod", fmt.Sprint(g.r.IntN(5)))
	if g.r.IntN(6) == 0 {
		dp.Attributes().PutInt("http.code", int64(g.r.IntN(2)))
	}
	value := float64(at / 1000 % 50)
	dp.SetTimestamp(pcommon.NewTimestampFromTime(time.UnixMilli(at)))
	if g.r.IntN(3) == 0 {
		dp.SetStartTimestamp(dp.Timestamp() - 1e9)
	}
	dp.SetDoubleValue(value)
	switch g.r.IntN(25) {
	case 0, 1, 2, 3:
		dp.SetIntValue(int64(value))
	case 4:
		dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	case 5:
		e := dp.Exemplars().AppendEmpty()
		e.SetDoubleValue(1)
		e.SetTimestamp(dp.Timestamp())
	case 6:
		dp.SetTimestamp(0)
	case 7:
		dp.SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(time.Hour)))
	}
}

func (g *otlpGenerator) body(t *testing.T) []byte {
	t.Helper()
	md := pmetric.NewMetrics()
	g.used = map[int64]bool{}
	for range 1 + g.r.IntN(2) {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("service.name", []string{"shop", "bank"}[g.r.IntN(2)])
		rm.Resource().Attributes().PutStr("os", "linux")
		for range 1 + g.r.IntN(2) {
			sm := rm.ScopeMetrics().AppendEmpty()
			sm.Scope().SetName("lib")
			for range g.r.IntN(4) {
				g.metric(sm.Metrics().AppendEmpty())
			}
		}
	}
	body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if g.r.IntN(20) == 0 {
		body = body[:g.r.IntN(len(body)+1)]
	}
	return body
}

// A leaf that takes known data points out of requests stores, and answers, what one
// does that leaves all to Prometheus' handler.
func TestOTLPSiftedAndNot(t *testing.T) {
	sifting, plain := newAggregating(t, dropPod), newAggregating(t, dropPod)
	handler := remote.NewOTLPWriteHandler(plain.logger, prometheus.NewRegistry(), plain.in, func() config.Config { return *plain.PrometheusConfig() },
		remote.OTLPOptions{LookbackDelta: plain.cfg.LookbackDelta})
	g := &otlpGenerator{r: rand.New(rand.NewPCG(5, 6))}
	begin, stored := max(sifting.begin, plain.begin), 0
	for i := range 1500 {
		at := time.Duration(i) * 190 * time.Millisecond
		g.clock = begin + at.Milliseconds()
		body := g.body(t)
		status, text := postedOTLP(t, sifting.OTLPHandler(), body)
		wantStatus, wantText := postedOTLP(t, handler, body)
		if status != wantStatus || text != wantText {
			t.Fatalf("request %d: %d %q, want %d %q", i, status, text, wantStatus, wantText)
		}
		if status == http.StatusOK {
			stored++
		}
		if i%25 == 0 {
			sifting.flush(at + time.Duration(begin-sifting.begin)*time.Millisecond)
			plain.flush(at + time.Duration(begin-plain.begin)*time.Millisecond)
		}
	}
	if stored < 500 {
		t.Errorf("only %d requests were stored", stored)
	}
	storeTheSame(t, plain, sifting, begin, "orders_total:without_pod_instance", "orders_total", "orders_seconds_total", "other_total", "target_info")
}

// Prometheus' handler gets what is not known, and one data point of each resource.
func TestOTLPIsSifted(t *testing.T) {
	a := newAggregating(t, dropPod)
	s := &writeOTLP{leaf: a.Leaf}
	points := 0
	next := remote.NewOTLPWriteHandler(a.logger, prometheus.NewRegistry(), s, func() config.Config { return *a.PrometheusConfig() }, remote.OTLPOptions{LookbackDelta: a.cfg.LookbackDelta})
	counting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		req := pmetricotlp.NewExportRequest()
		if err := req.UnmarshalProto(body); err != nil {
			t.Fatal(err)
		}
		points = req.Metrics().DataPointCount()
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
	for i, c := range []struct {
		pods []string
		job  string
		nan  bool
		want int
	}{
		{[]string{"a", "b", "c"}, "shop", false, 3},
		{[]string{"c", "b", "a"}, "shop", false, 1},
		{[]string{"d", "a", "b"}, "shop", false, 1},
		{[]string{"a", "d", "b", "c"}, "shop", false, 1},
		{[]string{"a", "b"}, "bank", false, 2},
		{[]string{"a", "b", "c"}, "shop", true, 1},
	} {
		md := pmetric.NewMetrics()
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("service.name", c.job)
		m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("orders")
		sum := m.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for _, pod := range c.pods {
			dp := sum.DataPoints().AppendEmpty()
			dp.SetTimestamp(pcommon.NewTimestampFromTime(time.UnixMilli(a.at(time.Duration(i+1) * time.Second))))
			if dp.SetDoubleValue(float64(i)); c.nan {
				dp.SetDoubleValue(math.NaN())
			}
			dp.Attributes().PutStr("pod", pod)
		}
		body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", otlpProtobuf)
		w := httptest.NewRecorder()
		s.serve(counting, w, r, body)
		if w.Code != http.StatusOK || points != c.want {
			t.Errorf("request %d: %d %s, and the handler sees %d data points, want %d", i, w.Code, w.Body, points, c.want)
		}
	}
}
