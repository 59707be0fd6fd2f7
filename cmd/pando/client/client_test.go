package client

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/querytree"
)

var testNow = time.Unix(3600, 0).UTC()

// canned is a server that gives one answer and notes what it was asked.
type canned struct {
	*httptest.Server
	path   string
	params url.Values
}

func serve(t *testing.T, code int, partial bool, body string) *canned {
	c := &canned{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		c.path, c.params = r.URL.Path, r.PostForm
		if partial {
			w.Header().Set("Pando-Partial", "true")
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(c.Close)
	return c
}

func query(o QueryOptions) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	o.Now = func() time.Time { return testNow }
	code = Query(context.Background(), o, &out, &errs)
	return code, out.String(), errs.String()
}

const (
	vector = `{"status":"success","data":{"resultType":"vector","result":[
		{"metric":{"__name__":"up","job":"db","zone":"us","cluster":"us-1"},"value":[3600,"1"]},
		{"metric":{"__name__":"up","job":"api","zone":"eu","cluster":"eu-10","instance":"a:1"},"value":[3600,"0.0001220703125"]},
		{"metric":{"__name__":"up","job":"api","zone":"eu","cluster":"eu-1","utf8.näme":"x \"y\" \u001b[31m, z"},"value":[3600,"+Inf"]}
	]}}`
	matrix = `{"status":"success","data":{"resultType":"matrix","result":[
		{"metric":{"zone":"us"},"values":[[60,"1"],[120,"2"],[300,"-1.5"]]},
		{"metric":{"zone":"eu"},"values":[[0,"10"],[60,"NaN"],[120,"1e+30"],[180,"7"]]}
	]}}`
	histograms = `{"status":"success","data":{"resultType":"vector","result":[
		{"metric":{"zone":"eu"},"histogram":[3600,{"count":"4","sum":"5","buckets":[[0,"0.5","1","1"],[0,"1","2","3"]]}]},
		{"metric":{"zone":"us"},"value":[3600,"2"]}
	]}}`
	scalar = `{"status":"success","data":{"resultType":"scalar","result":[3600,"42"]}}`
	text   = `{"status":"success","data":{"resultType":"string","result":[3600,"hello"]}}`
	empty  = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	stats  = `{"status":"success","warnings":["zone=us: no answer within 30s"],"infos":["metric might not be a counter"],
		"data":{"resultType":"vector","result":[{"metric":{},"value":[3600,"3"]}],"stats":{"timings":{"execTotalTime":0.0123},
		"samples":{"totalQueryableSamples":60,"peakSamples":9},"pando":{"complete":false,"asked":2,"answered":1,"pruned":{"label":1,"time":0,"hint":3},
		"failed":[{"name":"zone=us","reason":"no answer within 30s","late":true}],"children":[
		{"name":"zone=eu","tier":"zone","verdict":"asked","requests":1,"series":3,"samples":60},
		{"name":"zone=us","tier":"zone","verdict":"asked","requests":12,"series":0,"samples":0,"failed":"no answer within 30s","late":true}]}}}}`
)

// Every result in every format.
func TestRender(t *testing.T) {
	for _, c := range []struct {
		name, body string
		o          QueryOptions
	}{
		{"vector", vector, QueryOptions{Expr: "up"}},
		{"ordered", vector, QueryOptions{Expr: "(sort_desc(up))"}},
		{"matrix", matrix, QueryOptions{Expr: "x", Range: 5 * time.Minute, Step: time.Minute}},
		{"histograms", histograms, QueryOptions{Expr: "x"}},
		{"scalar", scalar, QueryOptions{Expr: "42"}},
		{"string", text, QueryOptions{Expr: `"hello"`}},
		{"empty", empty, QueryOptions{Expr: "x"}},
		{"stats", stats, QueryOptions{Expr: "x", Stats: true}},
	} {
		var got strings.Builder
		c.o.Server = serve(t, 200, false, c.body).URL
		for _, f := range Formats() {
			c.o.Format = Format(f)
			code, stdout, stderr := query(c.o)
			fmt.Fprintf(&got, "-- %s, exit code %d --\n%s", f, code, stdout)
			if stderr != "" {
				fmt.Fprintf(&got, "-- %s, stderr --\n%s", f, stderr)
			}
		}
		golden(t, "testdata/"+c.name+".txt", got.String())
	}
}

// What the promql format writes can be read by Prometheus' own parser, with the
// same series and values.
func TestPromQLFormatCanBeLoaded(t *testing.T) {
	for body, want := range map[string]map[string][]string{
		vector: {
			`{__name__="up", cluster="us-1", job="db", zone="us"}`:                                     {"1"},
			`{__name__="up", cluster="eu-10", instance="a:1", job="api", zone="eu"}`:                   {"0.0001220703125"},
			`{__name__="up", cluster="eu-1", job="api", "utf8.näme"="x \"y\" \x1b[31m, z", zone="eu"}`: {"+Inf"},
		},
		scalar: {`{}`: {"42"}},
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"my.metric","a":"b"},"value":[0,"-Inf"]},{"metric":{"__name__":"up"},"value":[0,"1e-07"]}]}}`: {
			`{__name__="my.metric", a="b"}`: {"-Inf"}, `{__name__="up"}`: {"1e-07"},
		},
		matrix: {
			`{zone="us"}`: {"_", "1", "2", "_", "_", "-1.5"},
			`{zone="eu"}`: {"10", "NaN", "1e+30", "7"},
		},
	} {
		o := QueryOptions{Server: serve(t, 200, false, body).URL, Expr: "x", Format: PromQL}
		if body == matrix {
			o.Range, o.Step = 5*time.Minute, time.Minute
		}
		code, stdout, stderr := query(o)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		if code != OK || lines[0] != "load 1m" {
			t.Fatalf("exit code %d, %s\n%s", code, stderr, stdout)
		}
		got := map[string][]string{}
		for _, line := range lines[1:] {
			ls, values, err := querytree.NewParser().ParseSeriesDesc(strings.TrimSpace(line))
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			for _, v := range values {
				s := "_"
				if !v.Omitted {
					s = number(v.Value)
				}
				got[ls.String()] = append(got[ls.String()], s)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestExitCodes(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	for _, c := range []struct {
		name   string
		server string
		code   int
		stderr string
	}{
		{"whole", serve(t, 200, false, scalar).URL, OK, ""},
		{"without scheme", strings.TrimPrefix(serve(t, 200, false, scalar).URL, "http://"), OK, ""},
		{"partial", serve(t, 200, true, scalar).URL, Partial, "warning: the answer is partial\n"},
		{"refused", serve(t, 422, false, `{"status":"error","errorType":"execution","error":"zone=us does not answer"}`).URL, Failed, "error: execution: zone=us does not answer\n"},
		{"no API", serve(t, 502, false, `<html>bad gateway</html>`).URL, Failed, "502 Bad Gateway, not as a Prometheus does"},
		{"half JSON", serve(t, 200, false, `{"status":"success","data":{"resultType":"vector","result":[`).URL, Failed, "not as a Prometheus does"},
		{"odd type", serve(t, 200, false, `{"status":"success","data":{"resultType":"cube","result":[]}}`).URL, Failed, "read result: unknown"},
		{"odd result", serve(t, 200, false, `{"status":"success","data":{"resultType":"vector","result":[1]}}`).URL, Failed, "read result"},
		{"down", down.URL, Failed, "ask " + down.URL},
		{"no address", "::", Failed, "is not an address"},
	} {
		code, stdout, stderr := query(QueryOptions{Server: c.server, Expr: "42"})
		if code != c.code || !strings.Contains(stderr, c.stderr) || (c.stderr == "" && stderr != "") {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", c.name, code, stdout, stderr)
		}
	}
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		o    QueryOptions
		path string
		want url.Values
	}{
		{"now", QueryOptions{}, "/api/v1/query", url.Values{"time": {"3600"}}},
		{"at", QueryOptions{Time: "1970-01-01T00:00:10.5Z"}, "/api/v1/query", url.Values{"time": {"10.5"}}},
		{"range", QueryOptions{Range: time.Hour}, "/api/v1/query_range", url.Values{"start": {"0"}, "end": {"3600"}, "step": {"60"}}},
		{"short range", QueryOptions{Range: time.Second}, "/api/v1/query_range", url.Values{"start": {"3599"}, "end": {"3600"}, "step": {"1"}}},
		{"start, end", QueryOptions{Start: "60", End: "120", Step: 15 * time.Second}, "/api/v1/query_range", url.Values{"start": {"60"}, "end": {"120"}, "step": {"15"}}},
		{"start", QueryOptions{Start: "0", Time: "600", Step: 500 * time.Millisecond}, "/api/v1/query_range", url.Values{"start": {"0"}, "end": {"600"}, "step": {"0.5"}}},
		{"range, end", QueryOptions{Range: time.Minute, End: "120"}, "/api/v1/query_range", url.Values{"start": {"60"}, "end": {"120"}, "step": {"1"}}},
		{
			"options",
			QueryOptions{Strict: true, Stats: true, NoHints: true, NoPushdown: true, Timeout: time.Minute},
			"/api/v1/query",
			url.Values{"time": {"3600"}, "partial_response": {"false"}, "stats": {"all"}, "hints": {"off"}, "pushdown": {"off"}, "timeout": {"60"}},
		},
		{"partial", QueryOptions{Partial: true}, "/api/v1/query", url.Values{"time": {"3600"}, "partial_response": {"true"}}},
	} {
		s := serve(t, 200, false, scalar)
		c.o.Server, c.o.Expr = s.URL+"/prefix/", "up"
		c.want.Set("query", "up")
		if code, _, stderr := query(c.o); code != OK {
			t.Errorf("%s: %s", c.name, stderr)
		}
		if diff := cmp.Diff(c.want, s.params); diff != "" || s.path != "/prefix"+c.path {
			t.Errorf("%s: %s (-want +got)\n%s", c.name, s.path, diff)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		o    QueryOptions
		want string
	}{
		{QueryOptions{Expr: "up", Strict: true, Partial: true}, "exclude each other"},
		{QueryOptions{}, "no PromQL expression"},
		{QueryOptions{Expr: "up", Time: "yesterday"}, `--time="yesterday" is neither`},
		{QueryOptions{Expr: "up", Time: "NaN"}, `--time="NaN" is neither`},
		{QueryOptions{Expr: "up", Start: "x"}, "--start="},
		{QueryOptions{Expr: "up", Start: "5", End: "x"}, "--end="},
		{QueryOptions{Expr: "up", Start: "5", End: "4"}, "--end is before --start"},
		{QueryOptions{Expr: "up", Start: "5", Range: 1}, "--range and --start"},
		{QueryOptions{Expr: "up", Range: -1}, "negative"},
		{QueryOptions{Expr: "up", Step: 1}, "need --range or --start"},
		{QueryOptions{Expr: "up", Server: serve(t, 200, false, scalar).URL, Format: "xml"}, "use one of table, json, csv, promql"},
	} {
		if code, _, stderr := query(c.o); code != Failed || !strings.Contains(stderr, c.want) {
			t.Errorf("%+v: exit code %d, %s", c.o, code, stderr)
		}
	}
}

// golden compares got with a file, or writes it if UPDATE_GOLDEN is set.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", file, diff)
	}
}

// Whatever the labels, a selector written is the selector read.
func FuzzSelector(f *testing.F) {
	f.Add("up", "job", "a\\b\"c\n")
	f.Add("my.metric", "näme", "")
	f.Add("", "le", "+Inf")
	f.Fuzz(func(t *testing.T, metric, name, value string) {
		if name == "" || name == model.MetricNameLabel || value == "" || !utf8.ValidString(metric+name+value) {
			return
		}
		m := model.Metric{model.LabelName(name): model.LabelValue(value)}
		if metric != "" {
			m[model.MetricNameLabel] = model.LabelValue(metric)
		}
		ls, _, err := querytree.NewParser().ParseSeriesDesc(selector(m) + " 1")
		if err != nil {
			t.Fatalf("%s: %v", selector(m), err)
		}
		if want := map[string]string{name: value}; metric == "" {
			if diff := cmp.Diff(want, ls.Map()); diff != "" {
				t.Errorf("%s: %s", selector(m), diff)
			}
		} else if ls.Get(name) != value || ls.Get(model.MetricNameLabel) != metric {
			t.Errorf("%s became %s", selector(m), ls)
		}
	})
}
