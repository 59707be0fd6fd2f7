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
	"github.com/pandometrics/pando/gitops/rollouts"
)

// rootServer is a root that tells of two clusters, of which one obeys.
func rootServer(t *testing.T) string {
	at := time.Date(2026, 3, 2, 14, 32, 10, 0, time.UTC)
	mux := http.NewServeMux()
	answer := func(pattern string, v any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
	}
	answer("GET "+rollouts.Path, rollouts.Overview{
		State: rollouts.Refused, Doing: "a.yml:1: nonsense\x1b[2J", Target: newRevision, Paused: []string{"eu-2"},
		Waves: []rollouts.Wave{
			{Name: "canary", State: rollouts.Baking, Bake: 30, Bakes: &rollouts.Bake{Until: at}, Clusters: []rollouts.Cluster{{Cluster: "eu-1", Loop: rollouts.Answers, Running: newRevision, Doing: "runs the newest revision"}}},
			{Name: "rest", State: rollouts.Waiting, Bake: 60, Clusters: []rollouts.Cluster{{Cluster: "eu-2", Loop: rollouts.Silent, Running: oldRevision}}},
		},
	})
	answer("GET "+rollouts.Path+"/history", rollouts.History{Events: []rollouts.Event{
		{At: at, Cluster: "eu-1", What: "running", Revision: newRevision}, {At: at.Add(-time.Minute), Cluster: "eu-2", What: "seen", Revision: oldRevision},
	}})
	answer("GET "+rollouts.Path+"/clusters/eu-1", gitops.Status{Cluster: "eu-1", Wave: "canary", State: "idle", Doing: "runs the newest revision", Running: newRevision, RunningAt: at})
	mux.HandleFunc("POST "+rollouts.Path+"/pause", func(w http.ResponseWriter, r *http.Request) {
		var o rollouts.Order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("order %+v, error %v", o, err)
		}
		out := map[string]any{"results": []rollouts.Result{{Cluster: "eu-1", Done: "paused"}, {Cluster: "eu-2", Error: "it is silent"}}}
		if len(o.Clusters) == 1 {
			out = map[string]any{"results": []rollouts.Result{{Cluster: o.Clusters[0], Done: "paused"}}}
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// Where a root is asked, all clusters are shown, or the one that is named.
func TestRolloutAtRoot(t *testing.T) {
	server := rootServer(t)
	for name, c := range map[string]struct {
		o    RolloutOptions
		code int
		want string
	}{
		"all": {RolloutOptions{}, Partial, `state      refused: a.yml:1: nonsense` + printable("\x1b") + `[2J
newest     8f3c1a2b9d04
paused     by eu-2

WAVE    STATE                  BAKE  CLUSTER  RUNS          DOING
canary  baking until 14:32:10  30s   eu-1     8f3c1a2b9d04  runs the newest revision
rest    waiting                1m    eu-2     51aa03c7e9d2  its loop is silent
`},
		"one": {RolloutOptions{Cluster: "eu-1"}, OK, `cluster    eu-1 of wave canary
state      idle: runs the newest revision
runs       8f3c1a2b9d04 since 2026-03-02T14:32:10Z
`},
		"history": {RolloutOptions{History: true}, OK, `TIME                  CLUSTER  WHAT     REVISION      WHY
2026-03-02T14:31:10Z  eu-2     seen     51aa03c7e9d2  
2026-03-02T14:32:10Z  eu-1     running  8f3c1a2b9d04  
`},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Server, c.o.Format = server, Table
			var out, errOut bytes.Buffer
			if code := Rollout(t.Context(), c.o, &out, &errOut); code != c.code {
				t.Fatalf("code %d, want %d: %s", code, c.code, errOut.String())
			}
			trim := func(s string) string {
				lines := strings.Split(s, "\n")
				for i := range lines {
					lines[i] = strings.TrimRight(lines[i], " ")
				}
				return strings.Join(lines, "\n")
			}
			if diff := cmp.Diff(trim(c.want), trim(out.String())); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestSteerAtRoot(t *testing.T) {
	server := rootServer(t)
	var out, errOut bytes.Buffer
	if code := Steer(t.Context(), SteerOptions{Server: server, Command: "pause"}, &out, &errOut); code != Failed || out.String() != "eu-1: paused\n" || !strings.Contains(errOut.String(), "eu-2: it is silent") {
		t.Errorf("pause of all: %d %q %q", code, out.String(), errOut.String())
	}
	out.Reset()
	if code := Steer(t.Context(), SteerOptions{Server: server, Command: "pause", Cluster: "eu-1"}, &out, &errOut); code != OK || out.String() != "eu-1: paused\n" {
		t.Errorf("pause of one: %d %q", code, out.String())
	}
}
