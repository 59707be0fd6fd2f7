package treehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// fakeBelow keeps what it was asked, and answers or fails.
type fakeBelow struct {
	asked  []querytree.StatusRequest
	answer querytree.StatusAnswer
	err    error
}

func (f *fakeBelow) Status(_ context.Context, req querytree.StatusRequest, answer func(querytree.StatusAnswer) error) error {
	if err := req.Validate(); err != nil {
		return err
	}
	f.asked = append(f.asked, req)
	if f.err != nil {
		return f.err
	}
	return answer(f.answer)
}

func overBelow(t testing.TB, f *fakeBelow) fixture {
	t.Helper()
	cfg := zoneLike(t)
	cfg.Below = f
	return build(t, cfg)
}

// The path after the prefix and the parameters without the member are passed on as
// they were sent.
func TestBelowRequest(t *testing.T) {
	f := &fakeBelow{answer: querytree.StatusAnswer{Code: 200}}
	h := overBelow(t, f)
	for _, tc := range []struct {
		target, member, path, query string
	}{
		{"api/v1/targets?member=zone=eu,cluster=eu-1&state=active", "zone=eu,cluster=eu-1", "/api/v1/targets", "state=active"},
		{"api/v1/rules?rule_name[]=a%20b&%6Dember=zone%3Deu%2Freplica%3Da&&match[]=up", "zone=eu/replica=a", "/api/v1/rules", "rule_name[]=a%20b&match[]=up"},
		{"api/v1/status/tsdb?members=1&member=root&limit=3", "root", "/api/v1/status/tsdb", "members=1&limit=3"},
		{"pando/api/v1/queries/my-query_1?member=root", "root", "/pando/api/v1/queries/my-query_1", ""},
	} {
		f.asked = nil
		r := httptest.NewRequest(http.MethodGet, "/pando/api/v1/below/"+tc.target, nil)
		r.Header.Set("Accept-Encoding", "gzip, br")
		r.Header.Set(IDHeader, "id-1")
		h.send(r)
		want := []querytree.StatusRequest{{Member: tc.member, Path: tc.path, Query: tc.query, AcceptEncoding: "gzip, br", ID: "id-1"}}
		if d := cmp.Diff(want, f.asked); d != "" {
			t.Errorf("%s: %s", tc.target, d)
		}
	}
}

// What is not spelled as in the list is not passed on, however it is written: it is
// refused, or the client is sent to where it leads on this tier.
func TestBelowPaths(t *testing.T) {
	f := &fakeBelow{answer: querytree.StatusAnswer{Code: 200}}
	h := overBelow(t, f)
	for _, tc := range []struct {
		path string
		code int
	}{
		{"/api/v1/targets", 200},
		{"/api/v1/targets/", 404},
		{"/API/v1/targets", 404},
		{"/api/v1/targets%2Fmetadata", 404},
		{"/api%2fv1/targets", 404},
		{"/%61pi/v1/targets", 404},
		{"/api/v1/status%2F..%2Fadmin/tsdb/snapshot", 404},
		{"/api/v1/%2e%2e/v1/targets", 404},
		{"/api/v1/targets%00", 404},
		{"/api/v1/targets;x=1", 404},
		{"/api/v1/targets%3Fstate=any", 404},
		{"/api/v1/query", 404},
		{"/api/v1/admin/tsdb/snapshot", 404},
		{"/api/v1/status/tsdb/blocks", 404},
		{"/-/reload", 404},
		{"/metrics", 404},
		{"/debug/pprof", 404},
		{"/pando/api/v1/below/api/v1/targets", 404},
		{"/pando/api/v1/queries/", 404},
		{"/pando/api/v1/queries/a/cancel", 404},
		{"/pando/api/v1/queries/..", 307},
		{"/pando/api/v1/queries/a%2fcancel", 404},
		{"/pando/api/v1/queries/%2e%2e", 404},
		{"/", 404},
		{"//api/v1/targets", 307},
		{"/api/v1//targets", 307},
		{"/api/v1/./targets", 307},
		{"/api/v1/x/../targets", 307},
		{"/../../../../api/v1/admin/tsdb/snapshot", 307},
	} {
		f.asked = nil
		w := h.do("GET", "/pando/api/v1/below"+tc.path+"?member=root", "")
		if w.Code != tc.code || len(f.asked) > 0 != (tc.code == 200) {
			t.Errorf("%s: %d, passed on: %v", tc.path, w.Code, f.asked)
		}
		if tc.code == 404 {
			a := decode(t, w.Body)
			var data BelowFailure
			if err := json.Unmarshal(a.Data, &data); err != nil || a.ErrorType != "path_not_allowed" || !cmp.Equal(data.Allowed, querytree.StatusPaths()) {
				t.Errorf("%s: %+v, %v", tc.path, a, err)
			}
		}
	}
}

// Nothing but GET is passed on.
func TestBelowMethods(t *testing.T) {
	f := &fakeBelow{answer: querytree.StatusAnswer{Code: 200}}
	h := overBelow(t, f)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		if w := h.do(method, "/pando/api/v1/below/api/v1/targets?member=root", ""); w.Code != http.StatusMethodNotAllowed || len(f.asked) > 0 {
			t.Errorf("%s: %d, %v", method, w.Code, f.asked)
		}
	}
}

// No spelling of a path that is allowed leads anywhere else.
func FuzzStatusPath(f *testing.F) {
	for _, p := range querytree.StatusPaths() {
		f.Add(p)
	}
	for _, p := range []string{"/pando/api/v1/queries/a", "/pando/api/v1/queries/..", "/api/v1/../x", "/api%2fv1/targets", "//api/v1/targets"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if !querytree.StatusPath(p) {
			return
		}
		u, err := url.Parse(p)
		if err != nil || u.Path != p || u.EscapedPath() != p || path.Clean(p) != p || u.RawQuery != "" || u.Host != "" {
			t.Errorf("%q is allowed, and read as %+v (%v)", p, u, err)
		}
		if strings.Contains(p, "admin") && !strings.HasPrefix(p, "/pando/api/v1/queries/") {
			t.Errorf("%q is allowed", p)
		}
	})
}

// The answer is the member's, byte for byte, and says whose it is; nothing in it
// makes a browser take it for a page of this tier.
func TestBelowAnswer(t *testing.T) {
	f := &fakeBelow{answer: querytree.StatusAnswer{
		Member: "zone=eu,team=\xff%\u00e9/replica=a", Code: http.StatusTeapot, ContentType: "application/json", ContentEncoding: "gzip", Body: []byte("\x1f\x8b<script>"),
	}}
	w := overBelow(t, f).do("GET", "/pando/api/v1/below/api/v1/targets?member=x", "")
	if w.Code != http.StatusTeapot || w.Body.String() != "\x1f\x8b<script>" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Encoding": "gzip", "Content-Length": "10",
		MemberHeader: "zone=eu,team=%FF%25%C3%A9/replica=a", "X-Content-Type-Options": "nosniff",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Each failure has its code, and says in a form for programs what it is about.
func TestBelowFailures(t *testing.T) {
	since := time.Unix(1000, 0).UTC()
	f := &fakeBelow{}
	h := overBelow(t, f)
	for kind, code := range map[querytree.StatusKind]int{
		querytree.StatusRefused: 403, querytree.StatusUnknownMember: 404, querytree.StatusTooOld: 501, querytree.StatusTooLarge: 502,
		querytree.StatusFailed: 502, querytree.StatusMissing: 503, querytree.StatusBusy: 503, querytree.StatusSlow: 504,
	} {
		failure := &querytree.StatusError{Kind: kind, Member: "zone=us", At: "root", Since: since, Near: []string{"zone=eu"}, Text: "because"}
		f.err = fmt.Errorf("wrapped: %w", failure)
		w := h.do("GET", "/pando/api/v1/below/api/v1/targets?member=x", "")
		a := decode(t, w.Body)
		var data BelowFailure
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatal(err)
		}
		if w.Code != code || a.Status != "error" || a.ErrorType != string(kind) || a.Error != "because" || w.Header().Get(MemberHeader) != "" {
			t.Errorf("%s: %d %+v", kind, w.Code, a)
		}
		if d := cmp.Diff(BelowFailure{Member: "zone=us", At: "root", Since: since, Near: []string{"zone=eu"}}, data); d != "" {
			t.Error(d)
		}
		if (w.Header().Get("Retry-After") != "") != (kind == querytree.StatusBusy) {
			t.Errorf("%s: retry after %q", kind, w.Header().Get("Retry-After"))
		}
	}
	for _, tc := range []struct {
		target string
		err    error
		code   int
		kind   string
	}{
		{"?member=x", errors.New("other"), 502, "member_failed"},
		{"?member=x", context.Canceled, 499, "canceled"},
		{"", nil, 400, "bad_data"},
		{"?member=", nil, 400, "bad_data"},
		{"?member=a&member=b", nil, 400, "bad_data"},
		{"?member=" + strings.Repeat("x", 9000), nil, 400, "bad_data"},
	} {
		f.err = tc.err
		w := h.do("GET", "/pando/api/v1/below/api/v1/targets"+tc.target, "")
		if a := decode(t, w.Body); w.Code != tc.code || a.ErrorType != tc.kind {
			t.Errorf("%.40s %v: %d %+v", tc.target, tc.err, w.Code, a)
		}
	}
	if w := build(t, zoneLike(t)).do("GET", "/pando/api/v1/below/api/v1/targets?member=x", ""); w.Code != 404 {
		t.Errorf("without a source: %d", w.Code)
	}
}

// The tree tells which members can be asked, and why others cannot.
func TestReadable(t *testing.T) {
	node := func(name string, connected bool, features []string, children ...querytree.Node) querytree.Node {
		return querytree.Node{
			Description: querytree.Description{
				Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", name)}, Features: features,
				Revision: "rev-" + name, ReloadFailed: !connected,
			},
			Connected: connected, Children: children,
		}
	}
	knows, refuses := []string{querytree.FeatureStatus}, []string{querytree.FeatureStatus, querytree.FeatureStatusRefused}
	tree := LiveNode(node("top", true, knows,
		node("old", true, nil, node("behind-old", true, knows)),
		node("refusing", true, refuses, node("behind-refusing", true, knows)),
		node("missing", false, knows),
	))
	got := map[string]string{}
	var walk func(Node)
	walk = func(n Node) {
		got[n.Labels["zone"]] = fmt.Sprintf("%v %q %s %v", n.Readable, n.Unreadable, n.Revision, n.ReloadFailed)
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(tree)
	want := map[string]string{
		"top": `true "" rev-top false`, "old": `false "too-old" rev-old false`, "behind-old": `false "unreachable" rev-behind-old false`,
		"refusing": `false "refused" rev-refusing false`, "behind-refusing": `true "" rev-behind-refusing false`, "missing": `false "missing" rev-missing true`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A tier without parts of its own answers each path that can be asked of it, with
// lists that are empty rather than absent.
func TestStatusOfAZone(t *testing.T) {
	cfg := zoneLike(t)
	d := cfg.Describe()
	cfg.Describe = func() querytree.Description { return d }
	h := build(t, cfg)
	for path, want := range map[string]string{
		"targets":          `{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}`,
		"targets/metadata": `[]`,
		"scrape_pools":     `{"scrapePools":[]}`,
		"rules":            `{"groups":[]}`,
		"alerts":           `{"alerts":[]}`,
		"alertmanagers":    `{"activeAlertmanagers":[],"droppedAlertmanagers":[]}`,
		"status/walreplay": `{"min":0,"max":0,"current":0}`,
		"status/flags":     `{}`,
	} {
		w := h.do("GET", "/api/v1/"+path, "")
		if a := decode(t, w.Body); w.Code != http.StatusOK || string(a.Data) != want {
			t.Errorf("%s: %d %s", path, w.Code, a.Data)
		}
	}
	for _, tc := range []struct {
		mint, maxt int64
		want       string
	}{
		{5, 7, `"minTime":5,"maxTime":7}`},
		{minTime, 7, `"minTime":0,"maxTime":7}`}, // one that is away may have older samples
		{minTime, minTime, `"minTime":9223372036854775807,"maxTime":-9223372036854775808}`},
		{maxTime, minTime, `"minTime":9223372036854775807,"maxTime":-9223372036854775808}`},
	} {
		d.Mint, d.Maxt = tc.mint, tc.maxt
		if a := decode(t, h.do("GET", "/api/v1/status/tsdb", "").Body); !strings.Contains(string(a.Data), tc.want) || !strings.Contains(string(a.Data), `"seriesCountByMetricName":[]`) {
			t.Errorf("from %d to %d: %s", tc.mint, tc.maxt, a.Data)
		}
	}
}
