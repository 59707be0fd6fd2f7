package client

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/gitops"
)

const oldRevision, newRevision = "51aa03c7e9d2aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "8f3c1a2b9d04bbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// loopServer is a control loop that tells a status, and refuses to abort.
func loopServer(t *testing.T, s gitops.Status) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case gitops.Path:
			_ = json.NewEncoder(w).Encode(s)
		case gitops.Path + "/pause":
			var c gitops.Command
			if err := json.NewDecoder(q.Body).Decode(&c); err != nil || c.Why != "a fair" || q.Header.Get("Content-Type") != "application/json" {
				t.Errorf("command %+v, error %v", c, err)
			}
			_ = json.NewEncoder(w).Encode(gitops.Said{Done: "paused"})
		default:
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(gitops.Said{Error: "abort: nothing runs\x1b[2J"})
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestRollout(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 14, 55, 0, time.UTC)
	s := gitops.Status{
		Cluster: "eu-2", Wave: "rest", State: "waiting", Doing: `wave "canary" bakes 8f3c1a2b9d04 until 14:32:10`,
		Running: oldRevision, RunningAt: at, Newest: &gitops.Seen{Revision: newRevision, Subject: "alert on\x1b[2J slow checkouts"},
		Waves: []gitops.WaveStatus{
			{Name: "canary", Clusters: 1, Bake: 600, Runs: map[string]int{newRevision: 1}},
			{Name: "rest", Clusters: 12, Bake: 1800, Runs: map[string]int{oldRevision: 11, "": 1}},
		},
		History: []gitops.Event{{At: at, Revision: oldRevision, What: "running", Why: "its turn"}},
	}
	for name, c := range map[string]struct {
		change func(*gitops.Status, *RolloutOptions)
		code   int
		want   string
	}{
		"status": {func(*gitops.Status, *RolloutOptions) {}, OK, `cluster    eu-2 of wave rest
state      waiting: wave "canary" bakes 8f3c1a2b9d04 until 14:32:10
runs       51aa03c7e9d2 since 2026-03-02T09:14:55Z
newest     8f3c1a2b9d04 ` + printable("alert on\x1b[2J slow checkouts") + `

WAVE    CLUSTERS  BAKE  RUNS
canary  1         10m   8f3c1a2b9d04: 1
rest    12        30m   unknown: 1, 51aa03c7e9d2: 11
`},
		"history": {func(_ *gitops.Status, o *RolloutOptions) { o.History = true }, OK, `TIME                  WHAT     REVISION      WHY
2026-03-02T09:14:55Z  running  51aa03c7e9d2  its turn
`},
		"stalled": {func(s *gitops.Status, _ *RolloutOptions) {
			*s = gitops.Status{Cluster: "a", State: "stalled", Doing: "config:1: invalid\nconfig:2: too"}
		}, Partial, `cluster    a of wave none
state      stalled: config:1: invalid
           config:2: too
runs       nothing yet
`},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := s, RolloutOptions{Format: Table}
			c.change(&s, &o)
			o.Server = loopServer(t, s)
			var out, errOut bytes.Buffer
			if code := Rollout(t.Context(), o, &out, &errOut); code != c.code {
				t.Fatalf("code %d, want %d: %s", code, c.code, errOut.String())
			}
			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestSteer(t *testing.T) {
	server := loopServer(t, gitops.Status{})
	var out, errOut bytes.Buffer
	if code := Steer(t.Context(), SteerOptions{Server: server, Command: "pause", Why: "a fair"}, &out, &errOut); code != OK || out.String() != "paused\n" {
		t.Fatalf("pause: %d %q %q", code, out.String(), errOut.String())
	}
	if code := Steer(t.Context(), SteerOptions{Server: server, Command: "abort"}, &out, &errOut); code != Failed || !strings.Contains(errOut.String(), "nothing runs") || strings.Contains(errOut.String(), "\x1b") {
		t.Fatalf("abort: %d %q", code, errOut.String())
	}
}
