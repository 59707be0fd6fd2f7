package treehttp

import (
	"bytes"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

func TestQueriesTooLongOrDeepAreRefused(t *testing.T) {
	f := build(t, zoneLike(t))
	long := "up + " + strings.Repeat(" ", 16<<10)
	deep := strings.Repeat("(", 200) + "up" + strings.Repeat(")", 200)
	for _, path := range []string{"query", "query_range", "query_exemplars", "format_query", "parse_query"} {
		for _, c := range []struct{ query, flag string }{{long, "--query.max-length"}, {deep, "--query.max-depth"}} {
			form := url.Values{"query": {c.query}, "start": {"0"}, "end": {"1"}, "step": {"1"}}.Encode()
			expectRefusal(t, f.do("GET", "/api/v1/"+path+"?"+form, ""), c.flag)
			expectRefusal(t, f.do("POST", "/api/v1/"+path, form), c.flag)
		}
	}
	match := url.Values{"match[]": {"up", "{" + strings.Repeat("a!=\"b\",", 4000) + "}"}}.Encode()
	for _, path := range []string{"/api/v1/series", "/api/v1/labels", "/api/v1/label/job/values", "/api/v1/rules", "/federate"} {
		expectRefusal(t, f.do("GET", path+"?"+match, ""), "--query.max-length")
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("query", deep)
	_ = form.Close()
	r := httptest.NewRequest("POST", "/api/v1/query", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	expectRefusal(t, f.send(r), "--query.max-depth")
}

func expectRefusal(t *testing.T, w *httptest.ResponseRecorder, flag string) {
	t.Helper()
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), flag) || !strings.Contains(w.Body.String(), `"errorType":"bad_data"`) {
		t.Errorf("got %d %.300s, want 400 naming %s", w.Code, w.Body, flag)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	f := build(t, zoneLike(t))
	w := f.do("POST", "/api/v1/query", "query=up&pad="+strings.Repeat("x", maxFormBytes))
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "1048576 bytes") {
		t.Errorf("got %d %.200s", w.Code, w.Body)
	}
}

func TestBadParameters(t *testing.T) {
	f := build(t, zoneLike(t))
	for _, c := range []struct{ target, want string }{
		{"/api/v1/query?query=up&partial_response=maybe", `invalid parameter \"partial_response\"`},
		{"/api/v1/query?query=up&hints=no", `invalid parameter \"hints\"`},
		{"/api/v1/query?query=up;time=1", `error parsing form values`},
		{"/api/v1/query?query=%zz", `error parsing form values`},
		{"/api/v1/query?query=up{", `invalid parameter \"query\"`},
		{"/api/v1/query_range?query=up&start=2&end=1&step=1", `end timestamp must not be before start`},
		{"/federate?match[]=up{", `parse error`},
	} {
		if w := f.do("GET", c.target, ""); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: got %d %s", c.target, w.Code, w.Body)
		}
	}
}

// Parameters reach the tree as options.
func TestOptions(t *testing.T) {
	st := promqltest.LoadedStorage(t, loaded)
	for _, c := range []struct {
		params   string
		defaults querytree.Options
		want     querytree.Options
	}{
		{"", querytree.Options{}, querytree.Options{}},
		{"partial_response=false", querytree.Options{}, querytree.Options{Strict: true}},
		{"", querytree.Options{Strict: true, NoHints: true}, querytree.Options{Strict: true, NoHints: true}},
		{"partial_response=true&hints=on", querytree.Options{Strict: true, NoHints: true}, querytree.Options{}},
		{"hints=off&pushdown=off", querytree.Options{}, querytree.Options{NoHints: true, NoPushdown: true}},
		{"nocache=1", querytree.Options{}, querytree.Options{NoCache: true}},
		{"nocache=false", querytree.Options{NoCache: true}, querytree.Options{}},
		{"stats=all", querytree.Options{}, querytree.Options{Detail: true}},
		{"stats=true", querytree.Options{}, querytree.Options{}},
		{"explain=1", querytree.Options{}, querytree.Options{Detail: true}},
	} {
		for _, target := range []string{"/api/v1/query?query=up", "/api/v1/query_range?query=up&start=0&end=60&step=60", "/federate?match[]=up"} {
			var got querytree.Options
			cfg := zoneOver(st)
			cfg.Defaults = c.defaults
			cfg.Queryable = reporting{SampleAndChunkQueryable: cfg.Queryable, seen: func(o querytree.Options) { got = o }}
			r := httptest.NewRequest("GET", target+"&"+c.params, nil)
			r.Header.Set(IDHeader, "mine")
			c.want.ID, c.want.Client = "mine", "address 192.0.2.1"
			w := build(t, cfg).send(r)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s %s: (-want +got)\n%s", target, c.params, diff)
			}
			if id := w.Header().Get(IDHeader); id != "mine" {
				t.Errorf("answer has id %q", id)
			}
		}
	}
}

func TestRequestIDs(t *testing.T) {
	for _, given := range []string{"", "a b", "x\ny", strings.Repeat("a", 65), "<script>"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(IDHeader, given)
		if id := requestID(r); id == given || len(id) != 16 {
			t.Errorf("%q became %q", given, id)
		}
	}
}

// partial is a report of a query that one child did not answer.
func partial() querytree.Report {
	var r querytree.Report
	r.Add("zone=eu", querytree.ChildReport{Tier: "zone", Verdict: querytree.Asked, Requests: 1, Series: 3, Samples: 60})
	r.Add("zone=us", querytree.ChildReport{Tier: "zone", Verdict: querytree.Asked, Requests: 2, Failed: "no answer within 30s", Late: true})
	r.Add("zone=ap", querytree.ChildReport{Tier: "zone", Verdict: querytree.PrunedHint})
	r.Pruned = map[querytree.Verdict]int{querytree.PrunedHint: 1}
	return r
}

func TestPartialAnswers(t *testing.T) {
	cfg := zoneLike(t)
	cfg.Queryable = reporting{
		SampleAndChunkQueryable: cfg.Queryable, report: partial(),
		warnings: annotations.New().Add(errors.New("zone=us: no answer within 30s")),
	}
	f := build(t, cfg)
	for _, target := range []string{"/api/v1/query?query=up", "/federate?match[]=up", "/api/v1/series?match[]=up"} {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Origin", "http://dash.example")
		w := f.send(r)
		if w.Code != 200 || w.Header().Get(PartialHeader) != "true" {
			t.Errorf("%s: %d, header %q", target, w.Code, w.Header().Get(PartialHeader))
		}
		if strings.HasPrefix(target, "/api") && !strings.HasPrefix(w.Header().Get("Access-Control-Expose-Headers"), "Date, "+PartialHeader) {
			t.Errorf("%s: scripts cannot read the header: %v", target, w.Header())
		}
		if strings.HasPrefix(target, "/api/v1/query") {
			if a := decode(t, w.Body); !cmp.Equal(a.Warnings, []string{"zone=us: no answer within 30s"}) {
				t.Errorf("warnings: %q", a.Warnings)
			}
		}
		if w := f.do("GET", target+"&partial_response=false", ""); w.Code < 400 || !strings.Contains(w.Body.String(), "zone=us does not answer") {
			t.Errorf("strict %s: %d %s", target, w.Code, w.Body)
		}
	}
	if n := testutil.ToFloat64(f.metrics.partial.WithLabelValues("/query")); n != 2 {
		t.Errorf("%v partial answers counted", n)
	}
	whole := build(t, zoneLike(t)).do("GET", "/api/v1/query?query=up", "")
	if whole.Header().Get(PartialHeader) != "" {
		t.Error("a whole answer is called partial")
	}
}

func TestStatsTellCompleteness(t *testing.T) {
	cfg := zoneLike(t)
	cfg.Queryable = reporting{SampleAndChunkQueryable: cfg.Queryable, report: partial()}
	f := build(t, cfg)
	const want = `"pando":{"complete":false,"asked":2,"answered":1,"pruned":{"label":0,"time":0,"hint":1},` +
		`"failed":[{"name":"zone=us","reason":"no answer within 30s","late":true}],"children":[` +
		`{"name":"zone=ap","tier":"zone","verdict":"pruned-hint","requests":0,"series":0,"samples":0},` +
		`{"name":"zone=eu","tier":"zone","verdict":"asked","requests":1,"series":3,"samples":60},` +
		`{"name":"zone=us","tier":"zone","verdict":"asked","requests":2,"series":0,"samples":0,"failed":"no answer within 30s","late":true}],` +
		`"prunedBy":[{"verdict":"pruned-hint","evidence":"","children":1}],"late":1,"hedged":0,"cached":0,"series":0,"samples":0,"bytes":0,"queryId":"`
	for _, c := range []struct {
		params         string
		builtin, pando bool
	}{{"", false, false}, {"stats=true", true, false}, {"stats=all", true, true}, {"explain=1", true, true}} {
		for _, target := range []string{"/api/v1/query?query=up", "/api/v1/query_range?query=up&start=0&end=60&step=60"} {
			body := f.do("GET", target+"&"+c.params, "").Body.String()
			if strings.Contains(body, `"timings":{`) != c.builtin || strings.Contains(body, want) != c.pando {
				t.Errorf("%s %s: %s", target, c.params, body)
			}
			if strings.Contains(body, "deprecated") {
				t.Errorf("%s: a warning about the parameter", c.params)
			}
		}
	}
}

func TestNotReady(t *testing.T) {
	cfg := zoneLike(t)
	cfg.Ready = func() error { return errors.New("no child has registered") }
	f := build(t, cfg)
	for _, path := range []string{"/-/ready", "/api/v1/query?query=up", "/api/v1/metadata", "/federate?match[]=up", "/api/v1/write"} {
		method := "GET"
		if strings.HasSuffix(path, "write") {
			method = "POST"
		}
		if w := f.do(method, path, ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "no child has registered") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/-/healthy", "/metrics", "/", "/pando/api/v1/tree"} {
		if w := f.do("GET", path, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestReload(t *testing.T) {
	var result error
	calls := 0
	cfg := zoneLike(t)
	cfg.Reload = func() error { calls++; return result }
	f := build(t, cfg)
	if w := f.do("PUT", "/-/reload", ""); w.Code != 200 || calls != 1 {
		t.Errorf("%d, %d calls", w.Code, calls)
	}
	result = errors.New("line 3: unknown field")
	if w := f.do("POST", "/-/reload", ""); w.Code != 500 || !strings.Contains(w.Body.String(), "line 3: unknown field") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f.do("GET", "/-/reload", ""); w.Code != http.StatusMethodNotAllowed || calls != 2 {
		t.Errorf("GET: %d, %d calls", w.Code, calls)
	}
}

func TestPanics(t *testing.T) {
	cfg := leafLike(t)
	cfg.Parts.Write = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") })
	cfg.Parts.OTLP = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "begun"); panic("broken") })
	f := build(t, cfg)
	w := f.do("POST", "/api/v1/write", "")
	if a := decode(t, w.Body); w.Code != 500 || a.ErrorType != "internal" || strings.Contains(a.Error, "broken") {
		t.Errorf("%d %+v", w.Code, a)
	}
	srv := httptest.NewServer(f)
	defer srv.Close()
	if resp, err := http.Post(srv.URL+"/api/v1/otlp/v1/metrics", "", nil); err == nil {
		if _, err := new(bytes.Buffer).ReadFrom(resp.Body); err == nil {
			t.Error("an answer that broke off looks whole")
		}
		resp.Body.Close()
	}
	if n := testutil.ToFloat64(f.metrics.panics); n != 2 {
		t.Errorf("%v panics counted", n)
	}
}

func TestCompressedAnswers(t *testing.T) {
	f := build(t, zoneLike(t))
	r := httptest.NewRequest("GET", "/api/v1/query?query=up", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	if w := f.send(r); w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("headers: %v", w.Header())
	}
}

func TestRequestsAreCountedByRoute(t *testing.T) {
	f := build(t, zoneLike(t))
	for _, name := range []string{"job", "zone"} {
		f.do("GET", "/api/v1/label/"+name+"/values", "")
	}
	if n := testutil.ToFloat64(f.metrics.requests.WithLabelValues("/label/:name/values", "200")); n != 2 {
		t.Errorf("%v counted", n)
	}
}
