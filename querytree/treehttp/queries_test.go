package treehttp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// patient is a child that answers when its request's context ends. It tells when
// a request comes, and when its context has ended.
type patient struct {
	deadChild
	came, gone chan querytree.Options
}

func (c patient) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	c.came <- req.Options
	<-ctx.Done()
	c.gone <- req.Options
	return nil, ctx.Err()
}

// patientTree is a root over a zone over a patient leaf.
func patientTree(t *testing.T) (fixture, patient) {
	t.Helper()
	describe := func(tier string, kv ...string) querytree.Description {
		return querytree.Description{Identity: querytree.Identity{Tier: tier, Labels: labels.FromStrings(kv...)}, Mint: math.MinInt64, Leaves: 1}
	}
	leaf := patient{
		deadChild: deadChild{describe(querytree.TierLeaf, "zone", "eu", "cluster", "eu-1")},
		came:      make(chan querytree.Options, 10), gone: make(chan querytree.Options, 10),
	}
	over := func(d querytree.Description, c querytree.Child) *querytree.Mixer {
		m, err := querytree.NewMixer(querytree.MixerConfig{
			Describe: func() querytree.Description { return d },
			Members: func() []querytree.Member {
				return []querytree.Member{{Child: c, Description: c.Describe(), Connected: true}}
			},
			Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	root := over(describe(querytree.TierRoot), over(describe(querytree.TierZone, "zone", "eu"), leaf))
	reg := prometheus.NewRegistry()
	return build(t, Config{
		Engine: querytree.Engine{}, Queryable: root, Metadata: root.Metadata, Describe: root.Describe, Limits: querytree.DefaultLimits(),
		Gatherer: reg, Registerer: reg, Logger: slog.New(slog.DiscardHandler),
	}), leaf
}

func read[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(decode(t, w.Body).Data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// An active query is listed, and ends in every tier when it is canceled.
func TestCancelQuery(t *testing.T) {
	for _, method := range []string{"DELETE /pando/api/v1/queries/mine", "POST /pando/api/v1/queries/mine/cancel"} {
		f, leaf := patientTree(t)
		answered := make(chan *httptest.ResponseRecorder)
		r := httptest.NewRequest("GET", "/api/v1/query?query=sum(up)&time=60", nil)
		r.Header.Set(QueryIDHeader, "mine")
		go func() { answered <- f.send(r) }()
		if o := <-leaf.came; o.ID != "mine" {
			t.Errorf("the leaf knows the query as %q", o.ID)
		}
		list := read[QueryList](t, f.do("GET", "/pando/api/v1/queries", ""))
		if len(list.Active) != 1 || len(list.Recent) != 0 || list.Active[0].Query != "sum(up)" || list.Active[0].State != QueryActive {
			t.Errorf("queries: %+v", list)
		}
		want := &QueryProgress{Asked: 1, Waiting: []string{"zone=eu"}}
		if diff := cmp.Diff(want, list.Active[0].Progress); diff != "" {
			t.Errorf("how far it is (-want +got):\n%s", diff)
		}
		if one := read[QueryRecord](t, f.do("GET", "/pando/api/v1/queries/mine", "")); one.Start != time.Unix(60, 0).UTC() || one.Client != "address 192.0.2.1" {
			t.Errorf("the active query: %+v", one)
		}
		verb, path, _ := strings.Cut(method, " ")
		if w := f.do(verb, path, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
		<-leaf.gone
		w := <-answered
		if a := decode(t, w.Body); a.ErrorType != errCanceled || !strings.Contains(a.Error, "query was canceled") {
			t.Errorf("the client got %d %+v", w.Code, a)
		}
		if id := w.Header().Get(QueryIDHeader); id != "mine" {
			t.Errorf("the client's query has id %q", id)
		}
		list = read[QueryList](t, f.do("GET", "/pando/api/v1/queries", ""))
		if len(list.Active) != 0 || len(list.Recent) != 1 || list.Recent[0].State != QueryCanceled || list.Recent[0].Error != "canceled over the API" {
			t.Errorf("queries: %+v", list)
		}
		if w := f.do(verb, path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s of a past query: %d", method, w.Code)
		}
	}
}

// A client that hangs up cancels its query.
func TestClientGone(t *testing.T) {
	f, leaf := patientTree(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.send(httptest.NewRequest("GET", "/api/v1/query?query=up", nil).WithContext(ctx))
	}()
	<-leaf.came
	cancel()
	<-leaf.gone
	<-ended
	if list := read[QueryList](t, f.do("GET", "/pando/api/v1/queries", "")); list.Recent[0].State != QueryCanceled {
		t.Errorf("queries: %+v", list)
	}
}

// Two active queries never have the same id, and ids that would do harm are not
// taken.
func TestQueryIDs(t *testing.T) {
	s := newQueryStore()
	for range 2 {
		s.begin(&queryRun{row: QueryRow{ID: "a"}})
	}
	if len(s.runs()) != 2 || s.run("a") == nil {
		t.Errorf("%d active queries", len(s.runs()))
	}
	for id, ok := range map[string]bool{
		"Grafana_1-a": true, strings.Repeat("a", 64): true, "": false, strings.Repeat("a", 65): false,
		"a/b": false, "a.b": false, "a b": false, "ä": false, "..": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(QueryIDHeader, id)
		if got := queryID(r); (got == id) != ok || (!ok && len(got) != 16) {
			t.Errorf("%q became %q", id, got)
		}
	}
}

// The record of a query has what it came to.
func TestQueryRecord(t *testing.T) {
	var log bytes.Buffer
	cfg := zoneOf(t)
	cfg.ExplainSlowerThan = time.Nanosecond
	cfg.QueryLog = slog.New(slog.NewJSONHandler(&log, nil))
	var ticks int64
	cfg.Now = func() time.Time { ticks++; return now.Add(time.Duration(ticks) * time.Millisecond) }
	f := build(t, cfg)
	w := f.do("POST", "/api/v1/query_range", url.Values{"query": {"sum by (job) (up)"}, "start": {"0"}, "end": {"60"}, "step": {"60"}}.Encode())
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	id := w.Header().Get(QueryIDHeader)
	rec := read[QueryRecord](t, f.do("GET", "/pando/api/v1/queries/"+id, ""))
	if rec.Query != "sum by (job) (up)" || rec.Kind != "query_range" || rec.State != QueryFinished || rec.Code != 200 || rec.Step != Seconds(time.Minute) ||
		rec.Series != 2 || rec.Samples != 4 || rec.Asked != 2 || rec.Failed != 1 || rec.Bytes == 0 || rec.Fragments != 1 {
		t.Errorf("record %+v", rec.QueryRow)
	}
	if rec.Completeness == nil || rec.Completeness.Complete || len(rec.Completeness.Children) != 2 {
		t.Errorf("completeness %+v", rec.Completeness)
	}
	if x := rec.Explanation; x == nil || len(x.Fragments) != 1 || len(x.Fragments[0].Children) != 2 || len(rec.CriticalPath) != 2 {
		t.Errorf("a slow query's explanation: %+v, path %+v", x, rec.CriticalPath)
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("query log %q: %v", &log, err)
	}
	for key, want := range map[string]any{
		"id": id, "query": "sum by (job) (up)", "state": "finished", "series": 2., "samples": 4., "asked": 2., "failed": 1., "step": 60., "fragments": 1.,
	} {
		if line[key] != want {
			t.Errorf("query log: %s is %v, want %v", key, line[key], want)
		}
	}
	// A query that is refused is told of too, one that is unknown is not.
	bad := f.do("GET", "/api/v1/query?query=sum(", "")
	if rec := read[QueryRecord](t, f.do("GET", "/pando/api/v1/queries/"+bad.Header().Get(QueryIDHeader), "")); rec.State != QueryFailed || rec.Code != 400 || rec.Error == "" {
		t.Errorf("refused query: %+v", rec.QueryRow)
	}
	if w := f.do("GET", "/pando/api/v1/queries/unknown", ""); w.Code != http.StatusNotFound {
		t.Errorf("unknown query: %d %s", w.Code, w.Body)
	}
}

// What is not slow has no explanation.
func TestQuickQueriesAreNotExplained(t *testing.T) {
	cfg := zoneOf(t)
	cfg.ExplainSlowerThan = time.Hour
	f := build(t, cfg)
	w := f.do("GET", "/api/v1/query?query=up", "")
	if rec := read[QueryRecord](t, f.do("GET", "/pando/api/v1/queries/"+w.Header().Get(QueryIDHeader), "")); rec.Explanation != nil || rec.Explained {
		t.Errorf("record %+v", rec)
	}
}

// The record is bounded in number and bytes, and the newest win.
func TestQueryStoreIsBounded(t *testing.T) {
	s := newQueryStore()
	s.maxCount = 10
	for i := range 25 {
		s.end(QueryRecord{QueryRow: QueryRow{ID: fmt.Sprint(i)}})
	}
	ids := func() (out []string) {
		for _, q := range s.rows() {
			out = append(out, q.ID)
		}
		return out
	}
	if d := cmp.Diff([]string{"24", "23", "22", "21", "20", "19", "18", "17", "16", "15"}, ids()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	long := strings.Repeat("x", 1000)
	s.maxBytes = 10_000
	for i := range 25 {
		s.end(QueryRecord{QueryRow: QueryRow{ID: fmt.Sprint(i), Query: long}})
	}
	if n := len(s.rows()); n < 2 || n > 9 || s.bytes > s.maxBytes || s.rows()[0].ID != "24" {
		t.Errorf("%d queries of %d bytes, first %s", n, s.bytes, s.rows()[0].ID)
	}
	// One that is too large loses its details rather than pushing others out.
	s.maxRecord = 5000
	x := &querytree.Explanation{Query: strings.Repeat(long, 10)}
	s.end(QueryRecord{QueryRow: QueryRow{ID: "huge", Explained: true}, Explanation: x, Completeness: &Completeness{Asked: 3, Children: []ChildRow{{Name: long}}}})
	if rec, ok := s.find("huge"); !ok || rec.Explanation != nil || rec.Explained || rec.Completeness.Asked != 3 || rec.Completeness.Children != nil {
		t.Errorf("huge record: %v %+v", ok, rec)
	}
	sum := 0
	for _, q := range s.past {
		sum += q.bytes
	}
	if sum != s.bytes {
		t.Errorf("%d bytes counted, %d held", s.bytes, sum)
	}
}

// A plan is told without evaluating, an analysis with; neither returns data.
func TestExplainAndAnalyze(t *testing.T) {
	f := build(t, zoneOf(t))
	plan := read[Explained](t, f.do("GET", "/pando/api/v1/explain?query=sum(up)&time=60", ""))
	if x := plan.Explanation; x == nil || x.Tier != "zone" || x.Total != 0 || len(x.Fragments) != 1 || plan.ID == "" || plan.Stats != nil {
		t.Errorf("plan %+v", plan)
	}
	w := f.do("POST", "/pando/api/v1/analyze", url.Values{"query": {"up"}, "start": {"0"}, "end": {"60"}, "step": {"30s"}}.Encode())
	a := read[Explained](t, w)
	if a.Series != 2 || a.Samples != 6 || a.ResultType != "matrix" || len(a.CriticalPath) != 2 || a.Explanation.Total == 0 {
		t.Errorf("analysis %+v", a)
	}
	if w.Header().Get(PartialHeader) != "true" {
		t.Error("an analysis without a dead leaf does not say so")
	}
	stats, _ := json.Marshal(a.Stats)
	for _, want := range []string{`"complete":false`, `"fragments":1`, `"queryId":"` + a.ID} {
		if !strings.Contains(string(stats), want) {
			t.Errorf("no %s in %s", want, stats)
		}
	}
	if rec := read[QueryRecord](t, f.do("GET", "/pando/api/v1/queries/"+a.ID, "")); rec.Kind != "analyze" || rec.Explanation == nil {
		t.Errorf("record of an analysis: %+v", rec)
	}
	for target, want := range map[string]string{
		"query=sum(":                        `invalid parameter \"query\"`,
		"query=up&time=soon":                `invalid parameter \"time\"`,
		"query=up&start=1&end=2":            `invalid parameter \"step\"`,
		"query=up&start=2&end=1&step=1":     "must not be before start",
		"query=up&start=0&end=1e9&step=1":   "11,000 points",
		"query=up&start=0&end=60&step=-1":   `invalid parameter \"step\"`,
		"query=up&end=60&step=1":            "needs start, end and step",
		"query=up&timeout=never":            `invalid parameter \"timeout\"`,
		"query=up&start=0&end=60&step=1e99": `invalid parameter \"step\"`,
	} {
		if w := f.do("GET", "/pando/api/v1/explain?"+target, ""); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// A leaf evaluates all by itself, and says just that.
func TestExplainLeaf(t *testing.T) {
	f := build(t, leafLike(t))
	plan := read[Explained](t, f.do("GET", "/pando/api/v1/explain?query=up", ""))
	if x := plan.Explanation; x == nil || x.Tier != "leaf" || x.Query != "up" || x.Total != 0 || x.Start != now.UnixMilli() {
		t.Errorf("plan %+v", x)
	}
	a := read[Explained](t, f.do("GET", "/pando/api/v1/analyze?query=up&time=60", ""))
	if x := a.Explanation; x == nil || x.Total == 0 || x.Series != 3 || a.Series != 3 || len(a.CriticalPath) != 1 {
		t.Errorf("analysis %+v", a)
	}
}
