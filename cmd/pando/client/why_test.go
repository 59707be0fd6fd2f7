package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// tierAPI answers a tier's endpoints with what it is given, and notes what was
// asked.
type tierAPI struct {
	*httptest.Server
	asked []url.Values
}

// serveTier answers by path; a query by its parameters.
func serveTier(t *testing.T, x treehttp.Explained, tree treehttp.Tree, query func(url.Values) string) *tierAPI {
	t.Helper()
	api := &tierAPI{}
	write := func(w http.ResponseWriter, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(b)
	}
	mux := http.NewServeMux()
	explain := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		api.asked = append(api.asked, r.PostForm)
		write(w, map[string]any{"status": "success", "data": x})
	}
	mux.HandleFunc("/pando/api/v1/explain", explain)
	mux.HandleFunc("/pando/api/v1/analyze", explain)
	mux.HandleFunc("/pando/api/v1/tree", func(w http.ResponseWriter, _ *http.Request) { write(w, tree) })
	answer := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		api.asked = append(api.asked, r.PostForm)
		fmt.Fprint(w, query(r.PostForm))
	}
	mux.HandleFunc("/api/v1/query", answer)
	mux.HandleFunc("/api/v1/query_range", answer)
	api.Server = httptest.NewServer(mux)
	t.Cleanup(api.Close)
	return api
}

func why(o WhyOptions) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	o.Now = func() time.Time { return testNow }
	code = Why(context.Background(), o, &out, &errs)
	return code, out.String(), errs.String()
}

const ms = time.Millisecond

// someExplanation is the analysis of a query over two zones, one of which has a
// leaf that failed.
func someExplanation() treehttp.Explained {
	leafEdge := func(cluster string, e querytree.EdgeExplanation) querytree.EdgeExplanation {
		e.Child, e.Tier = "zone=eu,cluster="+cluster, "leaf"
		if e.Verdict == "" {
			e.Verdict = querytree.Asked
		}
		return e
	}
	eu := &querytree.Explanation{
		Name: "zone=eu", Tier: "zone", Query: "sum(up)", Total: 40 * ms, Queued: 2 * ms, Series: 1, Samples: 1,
		Fragments: []querytree.FragmentExplanation{{
			ID: "0", Kind: "fold sum", Query: "sum(up)", Why: "aggregates again",
			Children: []querytree.EdgeExplanation{
				leafEdge("eu-1", querytree.EdgeExplanation{
					Time: 30 * ms, Series: 1, Samples: 1, Bytes: 40, Hedged: true,
					Below: &querytree.Explanation{Name: "zone=eu,cluster=eu-1", Tier: "leaf", Query: "sum(up)", Total: 25 * ms, Samples: 9},
				}),
				leafEdge("eu-2", querytree.EdgeExplanation{Time: 35 * ms, Failed: "connection lost\x1b[2J", Late: true}),
				leafEdge("eu-3", querytree.EdgeExplanation{Verdict: querytree.PrunedHint, Evidence: `job="api"`}),
				leafEdge("eu-4", querytree.EdgeExplanation{Verdict: querytree.PrunedTime, Evidence: "oldest sample at 2026-01-01T00:00:00Z"}),
				leafEdge("eu-5", querytree.EdgeExplanation{Verdict: querytree.PrunedHint, Evidence: `job="api"`}),
			},
		}},
	}
	root := &querytree.Explanation{
		Name: "root", Tier: "root", Query: "sum(up) /\n  absent(x)", Total: 50 * ms, Series: 1, Samples: 1, Wasted: 3 * ms,
		Residual: "fragment_0 / absent(x)", Cuts: []querytree.Cut{{Expr: "absent(x)", Why: "absence is a property of all children"}},
		Replans: []string{"fragment_0: parts of a sum cancel each other out"},
		Fragments: []querytree.FragmentExplanation{
			{ID: "0", Kind: "fold sum", Query: "sum(up)", Why: "aggregates again", Children: []querytree.EdgeExplanation{
				{Child: "zone=eu", Tier: "zone", Verdict: querytree.Asked, Time: 45 * ms, Series: 1, Samples: 1, Bytes: 4096, Below: eu},
				{Child: "zone=us", Tier: "zone", Verdict: querytree.PrunedLabel, Evidence: `zone="eu"`},
			}},
			{ID: "raw 0", Kind: "raw", Query: "x", Why: "absence is a property of all children", Children: []querytree.EdgeExplanation{}},
		},
	}
	return treehttp.Explained{ID: "0123456789abcdef", Explanation: root, CriticalPath: root.CriticalPath()}
}

func TestWhyTexts(t *testing.T) {
	api := serveTier(t, someExplanation(), treehttp.Tree{}, nil)
	var got strings.Builder
	for _, o := range []WhyOptions{
		{Analyze: true}, {Analyze: true, Verbose: true}, {Analyze: true, Output: WhyDot},
	} {
		o.Server, o.Expr = api.URL, "sum(up) / absent(x)"
		code, stdout, stderr := why(o)
		fmt.Fprintf(&got, "-- %q verbose %v, exit code %d --\n%s%s", o.Output, o.Verbose, code, stdout, stderr)
	}
	golden(t, "testdata/why.txt", got.String())
}

// JSON is what the server said.
func TestWhyJSON(t *testing.T) {
	api := serveTier(t, someExplanation(), treehttp.Tree{}, nil)
	code, stdout, _ := why(WhyOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "up", Range: time.Hour, NoHints: true}, Output: WhyJSON})
	var x treehttp.Explained
	if err := json.Unmarshal([]byte(stdout), &x); err != nil || code != OK || x.Explanation.Residual != "fragment_0 / absent(x)" {
		t.Errorf("exit code %d, %v: %s", code, err, stdout)
	}
	if p := api.asked[0]; p.Get("query") != "up" || p.Get("start") != "0" || p.Get("end") != "3600" || p.Get("step") != "60" || p.Get("hints") != "off" {
		t.Errorf("asked %v", p)
	}
}

// A hundred children are not listed, but those that failed are.
func TestWhyIsShort(t *testing.T) {
	x := someExplanation()
	f := &x.Explanation.Fragments[0]
	f.Children = nil
	for i := range 100 {
		e := querytree.EdgeExplanation{Child: fmt.Sprintf("zone=z%d", i), Tier: "zone", Verdict: querytree.Asked}
		if i == 90 {
			e.Failed = "gone"
		}
		f.Children = append(f.Children, e)
	}
	api := serveTier(t, x, treehttp.Tree{}, nil)
	o := WhyOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "up"}}
	_, stdout, _ := why(o)
	if n := strings.Count(stdout, "asks zone"); n != maxListed+1 || !strings.Contains(stdout, "zone=z90\u2003failed: gone") || !strings.Contains(stdout, "… and 80 more") {
		t.Errorf("%d children listed:\n%s", n, stdout)
	}
	o.Verbose = true
	if _, stdout, _ = why(o); strings.Count(stdout, "asks zone") != 100 {
		t.Errorf("not all are listed:\n%s", stdout)
	}
}

func euTree() treehttp.Tree {
	leaf := func(zone, cluster string) treehttp.Node {
		return treehttp.Node{
			Name: "zone=" + zone + ",cluster=" + cluster, Tier: "leaf", State: treehttp.StateConnected,
			Labels: map[string]string{"zone": zone, "cluster": cluster},
		}
	}
	eu := treehttp.Node{Name: "zone=eu", Tier: "zone", Children: []treehttp.Node{leaf("eu", "eu-1"), leaf("eu", "eu-2"), leaf("eu", "eu-3"), leaf("eu", "eu-4"), leaf("eu", "eu-30")}}
	eu.Children[1].State, eu.Children[1].Error = treehttp.StateMissing, "keepalive timeout"
	return treehttp.Tree{
		Self:     treehttp.Node{Name: "root", Tier: "root"},
		Children: []treehttp.Node{eu, {Name: "zone=us", Tier: "zone", Children: []treehttp.Node{leaf("us", "us-1")}}},
	}
}

// Why a leaf was not asked, or what it returned.
func TestWhyNot(t *testing.T) {
	x := someExplanation()
	x.Explanation.Fragments = x.Explanation.Fragments[:1]
	for _, c := range []struct {
		not  string
		code int
		want []string
	}{
		{"us-1", OK, []string{`sum(up): root did not ask zone zone=us, by identity label: zone="eu"`}},
		{"eu-3", OK, []string{`sum(up): zone zone=eu did not ask leaf zone=eu,cluster=eu-3, by field hint: job="api"`}},
		{"cluster=eu-3", Failed, []string{`may be any of zone=eu,cluster=eu-3; zone=eu,cluster=eu-30`}},
		{"eu-4", OK, []string{`sum(up): zone zone=eu did not ask leaf zone=eu,cluster=eu-4, by time: oldest sample at 2026-01-01T00:00:00Z`}},
		{"zone=eu,cluster=eu-1", OK, []string{`sum(up): zone zone=eu asks it, and got 1 series, 1 samples in 30ms`, `up: it has 3 series for it`}},
		{"eu-2", OK, []string{`zone zone=eu asked leaf zone=eu,cluster=eu-2, which failed: connection lost`, `is missing: keepalive timeout`}},
		{"eu", Failed, []string{`--not=eu may be any of zone=eu,cluster=eu-1; zone=eu,cluster=eu-2;`}},
		{"ap-1", Failed, []string{`--not=ap-1: no leaf below root "root" has a name like that`, `There are zone=eu,cluster=eu-1; `}},
	} {
		api := serveTier(t, x, euTree(), func(p url.Values) string {
			return `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[3600,"3"]}]}}`
		})
		code, stdout, stderr := why(WhyOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "sum(up)"}, Not: c.not})
		for _, want := range c.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("--not %s: no %q in:\n%s%s", c.not, want, stdout, stderr)
			}
		}
		if code != c.code {
			t.Errorf("--not %s: exit code %d, want %d", c.not, code, c.code)
		}
	}
}

// What a leaf has is counted in what the query reads, by the leaf's labels and
// without hints.
func TestWhyNotCounts(t *testing.T) {
	x := someExplanation()
	api := serveTier(t, x, euTree(), func(url.Values) string {
		return `{"status":"success","data":{"resultType":"vector","result":[]}}`
	})
	o := WhyOptions{QueryOptions: QueryOptions{
		Server: api.URL, Expr: `rate(a{job="x"}[2m] offset 1h) + max_over_time(b[30m:1m]) + (c @ start()) + c`, Start: "0", End: "600",
	}, Not: "eu-1"}
	_, stdout, _ := why(o)
	if !strings.Contains(stdout, `a{job="x"}[2m] offset 1h: it has 0 series for it`) {
		t.Error(stdout)
	}
	var got []string
	for _, p := range api.asked[1:] {
		if p.Get("hints") != "off" || p.Get("time") != "600" {
			t.Errorf("asked %v", p)
		}
		got = append(got, p.Get("query"))
	}
	want := []string{
		`count(last_over_time(a{cluster="eu-1",job="x",zone="eu"}[12m] offset 1h))`,
		`count(last_over_time(b{cluster="eu-1",zone="eu"}[45m]))`,
		`count(last_over_time(c{cluster="eu-1",zone="eu"}[15m] @ 0.000))`,
		`count(last_over_time(c{cluster="eu-1",zone="eu"}[15m]))`,
	}
	for i := range want {
		if i >= len(got) || sorted(got[i]) != sorted(want[i]) {
			t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			break
		}
	}
}

// sorted makes texts equal that differ in the order of matchers.
func sorted(s string) string {
	b := []byte(s)
	for i := range b {
		for j := i; j > 0 && b[j] < b[j-1]; j-- {
			b[j], b[j-1] = b[j-1], b[j]
		}
	}
	return string(b)
}

// An audit asks the same four times more, and finds what differs by more than
// rounding.
func TestAudit(t *testing.T) {
	value := func(v string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"a"},"value":[3540,"` + v + `"]},{"metric":{"job":"b"},"value":[3540,"NaN"]}]}}`
	}
	answers := func(hints, pushdown, cache string) func(url.Values) string {
		return func(p url.Values) string {
			switch {
			case p.Get("time") != "3540":
				return value("-1")
			case p.Get("hints") == "off" && p.Get("pushdown") == "off":
				return value("1")
			case p.Get("hints") == "off":
				return value(hints)
			case p.Get("pushdown") == "off":
				return value(pushdown)
			case p.Get("nocache") == "1":
				return value(cache)
			}
			return value("1")
		}
	}
	run := func(q func(url.Values) string) (int, string, *tierAPI) {
		api := serveTier(t, treehttp.Explained{}, treehttp.Tree{}, q)
		code, stdout, stderr := why(WhyOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "x"}, Audit: true})
		return code, stdout + stderr, api
	}
	code, out, api := run(answers("1.0000000001", "0.9999999999", "1"))
	if code != OK || len(api.asked) != 6 || strings.Count(out, "the same") != 5 || !strings.Contains(out, "2 series at 1970-01-01T00:59:00Z") {
		t.Errorf("equal answers: exit code %d, %d requests:\n%s", code, len(api.asked), out)
	}
	code, out, _ = run(answers("1", "1.001", "1"))
	if want := `without push-down    different: {job="a"} is 1 at 1970-01-01T00:59:00Z, then 1.001`; code != Failed || !strings.Contains(out, want) || strings.Count(out, "the same") != 4 {
		t.Errorf("a different answer: exit code %d:\n%s", code, out)
	}
	code, out, _ = run(func(p url.Values) string {
		if p.Get("nocache") != "" {
			return `{"status":"error","errorType":"execution","error":"boom"}`
		}
		return value("1")
	})
	if code != Failed || !strings.Contains(out, "without caches       failed: execution: boom") {
		t.Errorf("a failing run: exit code %d:\n%s", code, out)
	}
	// An error of an evaluation is compared too: without push-down there may be an answer.
	code, out, api = run(func(p url.Values) string {
		if p.Get("pushdown") == "off" && p.Get("hints") == "" {
			return value("1")
		}
		return `{"status":"error","errorType":"execution","error":"boom"}`
	})
	for _, want := range []string{"as asked             failed at 1970", "without push-down    different: an error, then 2 series", "error: execution: boom"} {
		if code != Failed || len(api.asked) != 6 || strings.Count(out, "the same") != 4 || !strings.Contains(out, want) {
			t.Errorf("a failing query: exit code %d, %d requests, want %q:\n%s", code, len(api.asked), want, out)
		}
	}
	code, out, api = run(func(url.Values) string { return `{"status":"error","errorType":"bad_data","error":"boom"}` })
	if code != Failed || len(api.asked) != 1 || !strings.Contains(out, "error: bad_data: boom") {
		t.Errorf("a wrong query: exit code %d, %d requests:\n%s", code, len(api.asked), out)
	}
}

// What is told of a leaf, and an audit, are told in the form that is asked for.
func TestWhyForms(t *testing.T) {
	api := serveTier(t, someExplanation(), euTree(), func(url.Values) string {
		return `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[3540,"1"]}]}}`
	})
	o := WhyOptions{QueryOptions: QueryOptions{Server: api.URL, Expr: "sum(up)"}, Output: WhyJSON, Not: "us-1"}
	code, stdout, _ := why(o)
	var not whyNotReport
	if err := json.Unmarshal([]byte(stdout), &not); err != nil || code != OK {
		t.Fatalf("exit code %d, %v:\n%s", code, err, stdout)
	}
	if not.Leaf != "zone=us,cluster=us-1" || not.Asked || len(not.Says) == 0 || !strings.Contains(not.Says[0], "did not ask zone zone=us") {
		t.Errorf("of a leaf: %+v", not)
	}
	o.Not, o.Audit = "", true
	code, stdout, _ = why(o)
	var audit auditReport
	if err := json.Unmarshal([]byte(stdout), &audit); err != nil || code != OK {
		t.Fatalf("exit code %d, %v:\n%s", code, err, stdout)
	}
	if len(audit.Runs) != len(auditRuns) || !audit.Runs[0].Same || audit.Answer != "1 series" {
		t.Errorf("of an audit: %+v", audit)
	}
	o.Output = WhyDot
	if code, _, stderr := why(o); code != Failed || !strings.Contains(stderr, "-o dot draws a plan") {
		t.Errorf("as a drawing: exit code %d, %s", code, stderr)
	}
}

// Where two values first differ.
func TestDifference(t *testing.T) {
	matrix := func(points ...float64) model.Matrix {
		s := &model.SampleStream{Metric: model.Metric{"a": "b"}}
		for i, v := range points {
			s.Values = append(s.Values, model.SamplePair{Timestamp: model.Time(i * 1000), Value: model.SampleValue(v)})
		}
		return model.Matrix{s}
	}
	hist := func(count float64) model.Vector {
		return model.Vector{{Metric: model.Metric{"a": "b"}, Histogram: &model.SampleHistogram{Count: model.FloatString(count), Sum: 1}}}
	}
	for _, c := range []struct {
		a, b model.Value
		want string
	}{
		{matrix(1, 2), matrix(1, 2+1e-10), ""},
		{matrix(1, 2), matrix(1), `{a="b"} is 2 at 1970-01-01T00:00:01Z, then has none`},
		{matrix(1), matrix(1, 2), `{a="b"} has no value at 1970-01-01T00:00:01Z, then 2`},
		{matrix(0), matrix(1e-300), `{a="b"} is 0 at 1970-01-01T00:00:00Z, then 1e-300`},
		{matrix(math.Inf(1)), matrix(math.Inf(1)), ""},
		{matrix(math.Inf(1)), matrix(5), `{a="b"} is +Inf at 1970-01-01T00:00:00Z, then 5`},
		{matrix(math.Inf(1)), matrix(math.Inf(-1)), `{a="b"} is +Inf at 1970-01-01T00:00:00Z, then -Inf`},
		{matrix(), model.Matrix{}, ""},
		{hist(1), hist(1 + 1e-12), ""},
		{hist(1), hist(2), `{a="b"} is {count:1 sum:1} at 1970-01-01T00:00:00Z, then {count:2 sum:1}`},
		{hist(1), matrix(1), "a vector, then a matrix"},
		{&model.Scalar{Value: 1}, &model.Scalar{Value: 2}, "the scalar is 1 at 1970-01-01T00:00:00Z, then 2"},
	} {
		if got := difference(c.a, c.b); got != c.want {
			t.Errorf("%v and %v: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

// What cannot be done is refused, with a reason.
func TestWhyRefuses(t *testing.T) {
	plain := serve(t, 404, false, "404 page not found")
	for _, c := range []struct {
		o    WhyOptions
		want string
	}{
		{WhyOptions{}, "no PromQL expression is given"},
		{WhyOptions{QueryOptions: QueryOptions{Expr: "up"}, Audit: true, Not: "x"}, "--audit and --not exclude each other"},
		{WhyOptions{QueryOptions: QueryOptions{Expr: "up", Server: plain.URL}}, "404 Not Found, not as a Prometheus does"},
		{WhyOptions{QueryOptions: QueryOptions{Expr: "up", Server: plain.URL}, Not: "x"}, "is it a Pando?"},
	} {
		if code, _, stderr := why(c.o); code != Failed || !strings.Contains(stderr, c.want) {
			t.Errorf("%+v: exit code %d, %q", c.o, code, stderr)
		}
	}
}
