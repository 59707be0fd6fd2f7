package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// logLine is a line as a tier writes it.
func logLine(query, start, end string, step int, begun string) string {
	b, _ := json.Marshal(query)
	return fmt.Sprintf(`{"time":"2026-03-01T13:00:01Z","id":"1","kind":"query_range","query":%s,"start":%q,"end":%q,"step":%d,"client":"me","begun":%q,"duration":1.5,"queued":0,"state":"finished","code":200,"error":"","series":4,"samples":240,"bytes":1000,"asked":3,"pruned":0,"failed":0,"replans":0,"fragments":1}`, b, start, end, step, begun)
}

func dayOf(query string) string {
	return logLine(query, "2026-02-28T12:00:00Z", "2026-03-01T12:00:00Z", 60, "2026-03-01T13:00:00Z")
}

func suggest(t *testing.T, o SuggestOptions, log ...string) (code int, stdout, stderr string) {
	t.Helper()
	if len(log) > 0 {
		o.Files, o.Input = append(o.Files, "-"), strings.NewReader(strings.Join(log, "\n"))
	}
	var out, errs bytes.Buffer
	code = Suggest(context.Background(), o, &out, &errs)
	return code, out.String(), errs.String()
}

func TestSuggest(t *testing.T) {
	byJob := "sum(rate(http_requests_total[5m])) by (job)"
	code, stdout, stderr := suggest(t, SuggestOptions{}, dayOf(byJob), "not JSON", `{"a":"line of another log"}`, dayOf(byJob), strings.Repeat("x", 2*maxLogLine), dayOf("up > 0"))
	want := `# Of 3 queries, which took 4.5s together.
rollups:
# asked 2 times, 3s; from the rule: 3s
# 4 series (by the log): 11528 points read instead, 5760 written a day
#   sum(rate(http_requests_total[5m])) by (job)
- name: 'job:http_requests:rate5m'
  expr: 'sum by (job) (rate(http_requests_total[5m]))'
  interval: 1m
  keep:
    root:
    - {for: 1w}
# No rule helps:
# - asked 1 time, 1.5s: it selects series without aggregating them
#     up > 0
`
	if d := cmp.Diff(want, stdout); code != OK || d != "" {
		t.Errorf("exit code %d, %s%s", code, stderr, d)
	}
	if !strings.Contains(stderr, "read 3 queries; 3 lines of another kind") {
		t.Errorf("progress: %q", stderr)
	}
	// It is a file as pando check rollups takes it.
	if code, out, errs := rollups(t, stdout, ""); code != OK || !strings.Contains(out, "OK: 1 rollup") {
		t.Errorf("check rollups: exit code %d, %s%s", code, out, errs)
	}
	if code, out, errs := rollups(t, suggestNothing(t), ""); code != OK {
		t.Errorf("check rollups of nothing: exit code %d, %s%s", code, out, errs)
	}
}

func suggestNothing(t *testing.T) string {
	_, out, _ := suggest(t, SuggestOptions{}, dayOf("up"))
	return out
}

func TestSuggestForms(t *testing.T) {
	_, out, _ := suggest(t, SuggestOptions{Format: Table}, dayOf("sum(x)"), dayOf("sum(x)"), dayOf("x"))
	for _, want := range []string{"x:sum  1m", "11528", "sum(x)", "NO RULE HELPS", "without aggregating"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	_, out, _ = suggest(t, SuggestOptions{Format: JSON, Top: 1}, dayOf("sum(x) + max(x)"), dayOf("sum(x) + max(x)"))
	var got suggestion
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Queries != 2 || len(got.Rules) != 1 || got.More != 1 || got.Rules[0].Saved.Seconds != 1.5 || got.Rules[0].Seconds != 1.5 {
		t.Errorf("%s", out)
	}
}

// A live tier tells of its recent queries, and how many series rules would have.
func TestSuggestOfLiveTier(t *testing.T) {
	answer := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}`
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pando/api/v1/queries" {
			fmt.Fprintf(w, `{"status":"success","data":{"active":[],"recent":[%s,%s]}}`, dayOf("avg by (job) (x)"), strings.Replace(dayOf("sum(y)"), "query_range", "analyze", 1))
			return
		}
		asked = append(asked, r.FormValue("query"))
		fmt.Fprint(w, answer)
	}))
	defer s.Close()
	code, out, errs := suggest(t, SuggestOptions{Server: s.URL, MinTimes: 1, Timeout: time.Minute})
	if code != OK || !strings.Contains(out, "14 series (by the tree)") || strings.Contains(out, "sum(y)") {
		t.Errorf("exit code %d, %s%s", code, errs, out)
	}
	if d := cmp.Diff([]string{"count(sum by (job) (x))"}, asked); d != "" {
		t.Error(d)
	}
	answer = `{"status":"error","errorType":"execution","error":"no"}`
	if code, _, errs := suggest(t, SuggestOptions{Server: s.URL, MinTimes: 1}); code != Failed || !strings.Contains(errs, "no") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestSuggestRefused(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yml")
	if err := os.WriteFile(bad, []byte("rollups: [{}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    SuggestOptions
		log  string
		want string
	}{
		{SuggestOptions{Files: []string{filepath.Join(t.TempDir(), "none")}}, dayOf("x"), "no such file"},
		{SuggestOptions{Have: bad}, dayOf("x"), "rollup 1"},
		{SuggestOptions{Tiers: []string{"planet"}}, dayOf("x"), "planet"},
		{SuggestOptions{}, "this\nis\nprose", "none of 3 lines"},
	} {
		if code, out, errs := suggest(t, c.o, c.log); code != Failed || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("exit code %d, %s%s", code, out, errs)
		}
	}
}

// Rules that are there already are not proposed again.
func TestSuggestBesideRules(t *testing.T) {
	have := filepath.Join(t.TempDir(), "have.yml")
	if err := os.WriteFile(have, []byte("rollups: [{name: jobs, expr: sum by (job) (x), interval: 1m, keep: {root: {for: 1d}}}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := suggest(t, SuggestOptions{Have: have}, dayOf("sum(x)"), dayOf("sum(x)"))
	if code != OK || !strings.Contains(out, "rollups: []") || !strings.Contains(out, `rollup "jobs" answers it already`) {
		t.Errorf("exit code %d, %s%s", code, errs, out)
	}
}
