package client

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// A back-fill that has nothing to do, or does not do what was wished, says why.
func TestBackfillSaysWhy(t *testing.T) {
	r := func(since float64, whole, partial, absent int64, series int) treehttp.RollupStatus {
		return treehttp.RollupStatus{Name: "r", Every: 10, Since: since, Whole: whole, Partial: partial, Absent: absent, Series: series}
	}
	blocked := r(100, 0, 0, 0, 0)
	blocked.Failing = "disk is full"
	for _, c := range []struct {
		what          string
		before, after treehttp.RollupStatus
		code          int
		says          string
	}{
		{"done", r(500, 10, 0, 0, 3), r(100, 50, 0, 0, 3), OK, "50 of 50 points"},
		{"there already", r(100, 50, 0, 0, 0), r(100, 50, 0, 0, 0), OK, "were there already"},
		{"nothing is due", r(500, 0, 0, 0, 0), r(400, 0, 0, 0, 0), Failed, "no point from 1970-01-01T00:06:40Z on is due"},
		{"not noted", r(0, 0, 0, 0, 0), r(0, 0, 0, 0, 0), Failed, "not noted yet"},
		{"it fails", blocked, blocked, Failed, "disk is full"},
		{"no samples", r(500, 10, 0, 0, 0), r(100, 50, 0, 0, 0), Partial, "nothing below has samples"},
		{"somebody is away", r(500, 10, 0, 0, 3), r(100, 40, 10, 0, 3), Partial, "10 of the points lack a child"},
		{"taken out of the file", r(500, 10, 0, 0, 3), treehttp.RollupStatus{Name: "other"}, Failed, "keeps no such rule"},
	} {
		asked := false
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			list := treehttp.RollupList{Rules: []treehttp.RollupStatus{c.before}}
			if asked = asked || req.Method == http.MethodPost; asked {
				list.Rules[0] = c.after
			}
			var body any = list
			if req.Method == http.MethodPost {
				body = map[string]any{"status": "success", "data": list}
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(body); err != nil {
				t.Error(err)
			}
		}))
		var out, errs strings.Builder
		code := Backfill(t.Context(), BackfillOptions{Server: srv.URL, Rule: "r", Since: "7d", Wait: true, Every: time.Millisecond}, &out, &errs)
		srv.Close()
		if code != c.code || !strings.Contains(out.String()+errs.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", c.what, code, c.code, c.says, out.String(), errs.String())
		}
	}
}

// While points wait for somebody, that is told, and told once.
func TestBackfillTellsWhatItWaitsFor(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		list := treehttp.RollupList{Rules: []treehttp.RollupStatus{{Name: "r", Every: 10, Since: 100, Whole: 5, Absent: 40, Series: 2}}}
		if asked++; asked < 7 {
			list.Awaited = []treehttp.RollupAwaited{{Name: "zone=us", Since: 60, Released: 1 << 40}}
			list.Rules[0].Failing = "zone=us did not answer"
		} else {
			list.Rules[0].Whole, list.Rules[0].Absent = 45, 0
		}
		var body any = list
		if req.Method == http.MethodPost {
			body = map[string]any{"status": "success", "data": list}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(body); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	var out, errs strings.Builder
	code := Backfill(t.Context(), BackfillOptions{Server: srv.URL, Rule: "r", Since: "7d", Wait: true, Every: time.Millisecond}, &out, &errs)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if code != OK || len(lines) != 4 || lines[0] != "5 of 45 points" || !strings.HasPrefix(lines[1], "zone=us is away since 1970-01-01T00:01:00Z: points wait for it until") ||
		lines[2] != "the last attempt failed: zone=us did not answer" || lines[3] != "45 of 45 points" {
		t.Errorf("exit code %d:\n%s%s", code, out.String(), errs.String())
	}
}
