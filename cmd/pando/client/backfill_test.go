package client

import (
	"context"
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
	empty := r(100, 50, 0, 0, 0)
	empty.Empty = true
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
		{"started anew", r(500, 10, 0, 0, 3), r(100, 50, 0, 0, 0), OK, "50 of 50 points"},
		{"no samples", r(500, 10, 0, 0, 0), empty, Partial, "nothing below has samples"},
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

// pollServer is a tier that is being made good, answering the polls after that as
// each says.
func pollServer(t *testing.T, owed treehttp.RollupOwed, poll func(n int, w http.ResponseWriter) treehttp.RollupStatus) *httptest.Server {
	t.Helper()
	polls := -1 // the first is before it begins
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var body any
		if req.Method == http.MethodPost {
			body = map[string]any{"status": "success", "data": treehttp.RollupBackfill{RollupOwed: owed}}
		} else {
			polls++
			body = treehttp.RollupList{Rules: []treehttp.RollupStatus{poll(polls, w)}}
		}
		_ = json.NewEncoder(w).Encode(body) // the client may be gone
	}))
	t.Cleanup(srv.Close)
	return srv
}

// Polls that fail are tried again, which is told once; if too many do, that is the end,
// and so it is at once if they are refused.
func TestBackfillPollsAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fails, status int
		code          int
		says          string
		warns         int
	}{
		"for a while": {5, http.StatusServiceUnavailable, OK, "warning: the tier does not answer", 1},
		"for ever":    {1 << 30, http.StatusServiceUnavailable, Failed, "300 times in a row", 1},
		"busy":        {5, http.StatusTooManyRequests, OK, "warning: the tier does not answer", 1},
		"refused":     {5, http.StatusForbidden, Failed, "error: ", 0},
	} {
		t.Run(name, func(t *testing.T) {
			srv := pollServer(t, treehttp.RollupOwed{From: 100}, func(n int, w http.ResponseWriter) treehttp.RollupStatus {
				if n > 1 && n <= 1+c.fails {
					w.WriteHeader(c.status)
				}
				st := treehttp.RollupStatus{Name: "r", Every: 10, Since: 100, Whole: 5, Absent: 40}
				if n > 1+c.fails {
					st.Whole, st.Absent = 45, 0
				}
				return st
			})
			var out, errs strings.Builder
			code := Backfill(t.Context(), BackfillOptions{Server: srv.URL, Rule: "r", Since: "7d", Wait: true, Every: time.Millisecond}, &out, &errs)
			if code != c.code || !strings.Contains(errs.String(), c.says) || strings.Count(errs.String(), "warning:") != c.warns {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", code, c.code, c.says, out.String(), errs.String())
			}
		})
	}
}

// Who interrupts it while a poll is under way is told that the tier goes on.
func TestBackfillIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := pollServer(t, treehttp.RollupOwed{From: 100}, func(n int, _ http.ResponseWriter) treehttp.RollupStatus {
		if n > 1 {
			cancel()
			<-ctx.Done()
		}
		return treehttp.RollupStatus{Name: "r", Every: 10, Since: 100, Whole: 5, Absent: 40}
	})
	var out, errs strings.Builder
	code := Backfill(ctx, BackfillOptions{Server: srv.URL, Rule: "r", Since: "7d", Wait: true, Every: time.Millisecond}, &out, &errs)
	if code != Partial || errs.String() != "the tier goes on by itself\n" {
		t.Errorf("exit code %d:\n%s%s", code, out.String(), errs.String())
	}
}

// From when on points are owed is told as the tier says, and why that is later than
// what was asked.
func TestBackfillTellsFromWhen(t *testing.T) {
	for name, c := range map[string]struct {
		owed      treehttp.RollupOwed
		out, errs string
	}{
		"as asked": {treehttp.RollupOwed{From: 100}, "r is owed from 1970-01-01T00:01:40Z on; pando rollup coverage tells how far it is\n", ""},
		"cut": {
			treehttp.RollupOwed{From: 100, Longest: 3600},
			"r is owed from 1970-01-01T00:01:40Z on; pando rollup coverage tells how far it is\n",
			"warning: points from 1970-01-01T00:01:40Z on are made, not since 7d: the tier keeps those of r for 1h at most\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := pollServer(t, c.owed, func(int, http.ResponseWriter) treehttp.RollupStatus { return treehttp.RollupStatus{Name: "r"} })
			var out, errs strings.Builder
			code := Backfill(t.Context(), BackfillOptions{Server: srv.URL, Rule: "r", Since: "7d"}, &out, &errs)
			if code != OK || out.String() != c.out || errs.String() != c.errs {
				t.Errorf("exit code %d:\n%s%s", code, out.String(), errs.String())
			}
		})
	}
}
