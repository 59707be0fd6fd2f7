package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// serveOracle serves Prometheus' own API, its JSON codec included, with one stock
// engine over a storage, and returns its URL: what a tree is compared with must
// also bring its answers into the form in which a client gets them.
func serveOracle(tb testing.TB, db *tsdb.DB) string {
	tb.Helper()
	parser := querytree.NewParser()
	engine := promql.NewEngine(querytree.EngineOpts(querytree.MixerConfig{
		Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
	}, parser))
	api := apiv1.NewAPI(engine, db, nil, nil, nil, nil, nil, nil,
		func() config.Config { return config.Config{} }, nil, apiv1.GlobalURLOptions{},
		func(next http.HandlerFunc) http.HandlerFunc { return next },
		nil, "", false, false, 0, slog.New(slog.DiscardHandler), nil, 0, 0, 0, false, nil, nil, nil, nil, nil,
		prometheus.NewRegistry(), prometheus.NewRegistry(), nil, false, nil, false, false, false, false,
		treetest.Lookback, false, false, nil, nil, apiv1.OpenAPIOptions{}, parser)
	r := route.New()
	api.Register(r.WithPrefix("/api/v1"))
	s := httptest.NewServer(r)
	tb.Cleanup(s.Close)
	return s.URL
}

// plainCaller asks for answers that are not compressed: that would cost both
// sides the same, and more than all else.
var plainCaller = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableCompression: true}}

// rangeText asks a range query over the last hour before end, and returns the
// length of the answer. It looks at no more of it than is needed to tell that it
// is whole: parsing it would take longer than what is measured.
func rangeText(tb testing.TB, base, query string, end time.Time, step time.Duration) int {
	tb.Helper()
	res, err := plainCaller.PostForm(base+"/api/v1/query_range", url.Values{
		"query": {query}, "start": {seconds(end.Add(-benchSpan))}, "end": {seconds(end)}, "step": {fmt.Sprint(step.Seconds())}, "nocache": {"1"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	const most = 4 << 10
	head := make([]byte, most)
	n, err := io.ReadFull(res.Body, head)
	if err != nil && n == 0 {
		tb.Fatal(query, err)
	}
	tail := &lastBytes{most: most}
	rest, err := io.CopyBuffer(tail, res.Body, make([]byte, 64<<10))
	if err != nil {
		tb.Fatal(query, err)
	}
	ends := append(head[:n:n], tail.b...)
	if res.StatusCode != http.StatusOK || n+int(rest) < 100 || !bytes.HasPrefix(head, []byte(`{"status":"success"`)) ||
		bytes.Contains(ends, []byte(`"warnings"`)) || !bytes.HasSuffix(bytes.TrimSpace(ends), []byte("}")) {
		tb.Fatalf("%s: %s, %d bytes: %.300s ... %s", query, res.Status, n+int(rest), head[:n], tail.b)
	}
	return n + int(rest)
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	b    []byte
	most int
}

// Write implements io.Writer.
func (l *lastBytes) Write(p []byte) (int, error) {
	l.b = append(l.b, p[max(0, len(p)-l.most):]...)
	l.b = append(l.b[:0], l.b[max(0, len(l.b)-l.most):]...)
	return len(p), nil
}
