package rollouts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/rollouts"
)

var (
	old   = strings.Repeat("a", 40)
	newer = strings.Repeat("b", 40)
	at    = time.Date(2026, 3, 2, 14, 31, 40, 0, time.UTC)
)

// loop is a control loop that tells a status, and obeys.
type loop struct {
	mu     sync.Mutex
	status gitops.Status
	asked  int
	told   []gitops.Command
	url    string
}

func newLoop(t *testing.T, s gitops.Status) *loop {
	l := &loop{status: s}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	l.url = srv.URL
	return l
}

func (l *loop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	path := strings.TrimPrefix(r.URL.Path, gitops.Path)
	switch {
	case r.Method == http.MethodPost:
		var c gitops.Command
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			answer(400, gitops.Said{Error: err.Error()})
			return
		}
		c.Name = path[1:]
		l.told = append(l.told, c)
		if c.Revision == "unknown" {
			answer(422, gitops.Said{Error: "there is no such revision"})
			return
		}
		answer(200, gitops.Said{Done: c.Name + " done"})
	case path == "/commits":
		answer(200, gitops.Commits{Ref: "refs/heads/main", Commits: []gitops.Commit{
			{Revision: newer, Author: "Ada <ada@example.org>", When: at, Subject: "two", Message: "two\n\nwhy\n", Parents: []string{old}}, {Revision: old, Subject: "one"},
		}})
	case path == "/diff":
		if r.FormValue("from") == "gone" {
			answer(422, gitops.Said{Error: "it is not in the history"})
			return
		}
		answer(200, gitops.Difference{From: r.FormValue("from"), To: r.FormValue("to"), Changes: json.RawMessage(`[{"op":"+"}]`)})
	case r.FormValue("brief") != "":
		answer(200, l.status.Brief())
	default:
		answer(200, l.status)
	}
}

func (l *loop) change(f func(*gitops.Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.status)
}

// three are loops of two waves, of which the first runs the newest revision.
func three(t *testing.T) []*loop {
	waves := []gitops.WaveStatus{{Name: "canary", Clusters: 1, Members: []string{"eu-1"}, Bake: 30}, {Name: "rest", Clusters: 2, Members: []string{"eu-2", "us-1"}, Bake: 60}}
	one := 1.0
	gate := gitops.GateStatus{Wave: "canary", Name: "up", Expr: "up", For: 10}
	asked := gate
	asked.Verdict, asked.Value, asked.Samples, asked.At, asked.HeldSince = "holds", &one, 1, at, at
	newest := &gitops.Seen{Revision: newer, Ref: "refs/heads/main", When: at}
	return []*loop{
		newLoop(t, gitops.Status{
			Cluster: "eu-1", State: "idle", Doing: "runs the newest revision", Running: newer, Newest: newest, Good: []string{old}, Waves: waves, Gates: []gitops.GateStatus{gate},
			Bakes: []gitops.Bake{{Wave: "canary", Revision: newer, Since: at, Until: at.Add(30 * time.Second)}}, History: []gitops.Event{{At: at, Revision: newer, What: "running"}},
		}),
		newLoop(t, gitops.Status{
			Cluster: "eu-2", State: "waiting", Doing: "wave canary bakes", Running: old, Newest: newest, Good: []string{old}, Waves: waves, Gates: []gitops.GateStatus{asked},
			Bakes: []gitops.Bake{{Wave: "canary", Revision: newer, Since: at, Until: at.Add(35 * time.Second)}}, History: []gitops.Event{{At: at.Add(time.Second), Revision: newer, What: "seen"}},
		}),
		newLoop(t, gitops.Status{Cluster: "us-1", State: "waiting", Doing: "wave canary bakes", Running: old, Newest: newest, Good: []string{old}, Waves: waves}),
	}
}

// clock is the time of a view.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) get() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

// pass lets enough time pass for the next look.
func (c *clock) pass() { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(2 * time.Second) }

func view(t *testing.T, c *clock, change func(*rollouts.Config), loops ...*loop) *rollouts.View {
	t.Helper()
	cfg := rollouts.Config{Timeout: 5 * time.Second, Now: c.get, MayCommand: func(*http.Request) error { return nil }}
	for _, l := range loops {
		cfg.Loops = append(cfg.Loops, l.url)
	}
	if change != nil {
		change(&cfg)
	}
	v, err := rollouts.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ask sends a request, and reads the answer.
func ask(t *testing.T, v http.Handler, method, path, body string, into any, header ...string) int {
	t.Helper()
	r := httptest.NewRequest(method, "http://root.example.com"+rollouts.Path+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	data, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, data)
	}
	return w.Code
}

// text is what there is to say of waves, in short.
func text(o rollouts.Overview) string {
	var out []string
	for _, w := range o.Waves {
		out = append(out, w.Name+" "+w.State)
	}
	return o.State + ": " + strings.Join(out, ", ")
}

// What loops say becomes states of waves, and of all.
func TestOverview(t *testing.T) {
	loops := three(t)
	c := &clock{now: at.Add(10 * time.Second)}
	v := view(t, c, nil, loops...)
	look := func(want string) rollouts.Overview {
		t.Helper()
		c.pass()
		var o rollouts.Overview
		ask(t, v, "GET", "", "", &o)
		if got := text(o); got != want {
			t.Errorf("got %q (%s), want %q", got, o.Doing, want)
		}
		return o
	}
	o := look("rolling-out: canary baking, rest waiting")
	if o.Target != newer || o.Ref != "refs/heads/main" || o.Running[old] != 2 || o.Doing != "wave canary bakes" {
		t.Errorf("overview %+v", o)
	}
	w := o.Waves[0]
	if w.Bakes == nil || !w.Bakes.Until.Equal(at.Add(35*time.Second)) {
		t.Errorf("it bakes %+v, want the longest that anybody counts", w.Bakes)
	}
	if len(w.Gates) != 1 || w.Gates[0].Verdict != "holds" || w.Gates[0].Cluster != "eu-2" {
		t.Errorf("gates %+v, want the answer of who asked", w.Gates)
	}
	for _, l := range loops {
		l.change(func(s *gitops.Status) { s.Bakes = nil })
	}
	loops[0].change(func(s *gitops.Status) { s.Good = []string{newer, old} })
	loops[1].change(func(s *gitops.Status) {
		s.State, s.Pending = "rolling-out", &gitops.Pending{Revision: newer}
	})
	look("rolling-out: canary done, rest rolling-out")
	for _, l := range loops {
		l.change(func(s *gitops.Status) {
			s.State, s.Running, s.Pending, s.Good = "idle", newer, nil, []string{newer}
		})
	}
	look("idle: canary done, rest done")
	loops[2].change(func(s *gitops.Status) {
		s.Rejected = []gitops.Rejection{{Revision: newer, Why: "gate fails", At: at}}
	})
	if o := look("rolling-back: canary rolling-back, rest rolling-back"); !strings.Contains(o.Doing, "us-1") {
		t.Errorf("it does %q", o.Doing)
	}
	for _, l := range loops {
		l.change(func(s *gitops.Status) { s.Running, s.Good = old, []string{old} })
	}
	look("rejected: canary rejected, rest rejected")
	loops[0].change(func(s *gitops.Status) {
		s.Stalled = &gitops.Problem{Revision: "c", Reason: "invalid", Message: "a.yml:1: nonsense"}
	})
	if o := look("refused: canary rejected, rest rejected"); len(o.Refused) != 1 || o.Doing != "a.yml:1: nonsense" {
		t.Errorf("refused %+v", o.Refused)
	}
	loops[1].change(func(s *gitops.Status) { s.Pinned = old })
	look("paused: canary rejected, rest rejected")
}

// A loop that is silent costs what it would say; the metrics tell the rest. Loops
// are asked once for all who look.
func TestSilentLoop(t *testing.T) {
	loops := three(t)
	c := &clock{now: at}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	v := view(t, c, func(cfg *rollouts.Config) {
		cfg.Loops = append(cfg.Loops, gone.URL)
		cfg.Tree = func(context.Context) (rollouts.Told, error) {
			return rollouts.Told{
				Clusters: []rollouts.ToldCluster{{Cluster: "us-1", Zone: "us", Revision: "stale"}, {Cluster: "us-9", Zone: "us", Wave: "late", Revision: old, Since: at}},
				Rejected: []rollouts.Rejection{{Revision: "d", Cluster: "us-9", Why: "gate"}}, Paused: []string{"us-9"},
			}, errors.New("zone ap is missing")
		}
	}, loops...)
	before := loops[0].asked
	var o rollouts.Overview
	for range 5 {
		ask(t, v, "GET", "", "", &o)
	}
	if n := loops[0].asked - before; n != 2 {
		t.Errorf("a loop was asked %d times for five looks", n)
	}
	warnings := strings.Join(o.Warnings, "\n")
	if !strings.Contains(warnings, gone.URL) || !strings.Contains(warnings, "zone ap is missing") {
		t.Errorf("warnings %q", warnings)
	}
	if len(o.Waves) != 3 || o.Waves[2].Name != "late" || o.Waves[2].Clusters[0].Loop != rollouts.Unknown || o.Waves[2].Clusters[0].Running != old {
		t.Errorf("waves %+v, want that of the cluster whose loop is not known", o.Waves)
	}
	i := slices.IndexFunc(o.Waves[1].Clusters, func(c rollouts.Cluster) bool { return c.Cluster == "us-1" })
	if us := o.Waves[1].Clusters[i]; us.Running != old || us.Zone != "us" || us.Loop != rollouts.Answers {
		t.Errorf("us-1 is %+v, want what its loop says before what its metrics say", us)
	}
	if len(o.Rejected) != 1 || !slices.Equal(o.Paused, []string{"us-9"}) {
		t.Errorf("rejected %+v, paused %v", o.Rejected, o.Paused)
	}
}

// Commits, differences, histories and single loops.
func TestPast(t *testing.T) {
	loops := three(t)
	v := view(t, &clock{now: at}, nil, loops...)
	var commits rollouts.Commits
	ask(t, v, "GET", "/commits", "", &commits)
	if len(commits.Commits) != 2 {
		t.Fatalf("commits %+v", commits)
	}
	for i, want := range []string{"rolling-out [eu-1] true", "running [eu-2 us-1] false"} {
		if c := commits.Commits[i]; fmt.Sprintf("%s %v %v", c.State, c.Clusters, c.Newest) != want {
			t.Errorf("commit %+v, want %s", c, want)
		}
	}
	if c := commits.Commits[0]; c.Author != "Ada <ada@example.org>" || c.Message != "two\n\nwhy\n" || !c.When.Equal(at) {
		t.Errorf("commit %+v", c)
	}
	var said gitops.Said
	if code := ask(t, v, "GET", "/commits?limit=x", "", &said); code != 400 {
		t.Errorf("a limit that is none: %d", code)
	}
	var d gitops.Difference
	if code := ask(t, v, "GET", "/diff?from=a&to=b", "", &d); code != 200 || string(d.Changes) != `[{"op":"+"}]` || d.From != "a" {
		t.Errorf("difference %d %+v", code, d)
	}
	before := loops[1].asked
	if code := ask(t, v, "GET", "/diff?from=gone&to=b", "", &said); code != 422 || !strings.Contains(said.Error, "not in the history") || loops[1].asked != before {
		t.Errorf("what cannot be compared: %d %+v", code, said)
	}
	var h rollouts.History
	ask(t, v, "GET", "/history?limit=1", "", &h)
	if len(h.Events) != 1 || h.Events[0].Cluster != "eu-2" || h.Events[0].What != "seen" {
		t.Errorf("history %+v, want the newest event", h)
	}
	var s gitops.Status
	if code := ask(t, v, "GET", "/clusters/us-1", "", &s); code != 200 || s.Cluster != "us-1" || len(s.Waves) != 2 {
		t.Errorf("us-1: %d %+v", code, s)
	}
	if code := ask(t, v, "GET", "/clusters/nowhere", "", &said); code != 404 {
		t.Errorf("a cluster that nobody knows: %d", code)
	}
}

// Commands reach those who are meant, from those who may.
func TestCommands(t *testing.T) {
	loops := three(t)
	var refused error
	v := view(t, &clock{now: at}, func(cfg *rollouts.Config) { cfg.MayCommand = func(*http.Request) error { return refused } }, loops...)
	var out struct {
		Results []rollouts.Result `json:"results"`
		Error   string            `json:"error"`
	}
	send := func(want int, name, body string, header ...string) {
		t.Helper()
		out.Results, out.Error = nil, ""
		if code := ask(t, v, "POST", "/"+name, body, &out, header...); code != want {
			t.Errorf("%s %s: status %d, want %d: %+v", name, body, code, want, out)
		}
	}
	told := func() (out []string) {
		for _, l := range loops {
			l.mu.Lock()
			for _, c := range l.told {
				out = append(out, l.status.Cluster+" "+strings.TrimSpace(c.Name+" "+c.Revision)+c.Why)
			}
			l.told = nil
			l.mu.Unlock()
		}
		return out
	}
	send(200, "pause", `{"why": ": a fair"}`)
	if got := told(); !slices.Equal(got, []string{"eu-1 pause: a fair", "eu-2 pause: a fair", "us-1 pause: a fair"}) || len(out.Results) != 3 || out.Results[0].Done != "pause done" {
		t.Errorf("told %v, results %+v", got, out.Results)
	}
	send(200, "abort", `{"clusters": ["eu-2"]}`)
	if got := told(); !slices.Equal(got, []string{"eu-2 abort"}) {
		t.Errorf("told %v", got)
	}
	send(422, "abort", `{}`) // of which revision?
	send(422, "promote", `{"revision": "unknown", "clusters": ["us-1"]}`)
	if out.Results[0].Error != "there is no such revision" {
		t.Errorf("results %+v", out.Results)
	}
	told()
	send(422, "pause", `{"clusters": ["nowhere"]}`)
	send(422, "explode", `{}`)
	send(400, "pause", `{"cluster": "eu-1"}`)
	send(415, "pause", `{}`, "Content-Type", "text/plain")
	send(403, "pause", `{}`, "Origin", "http://evil.example.com")
	send(403, "pause", `{}`, "Sec-Fetch-Site", "cross-site")
	send(200, "resume", `{}`, "Origin", "http://root.example.com")
	told()
	refused = errors.New("who are you?")
	send(403, "pause", `{}`)
	if got := told(); got != nil {
		t.Errorf("loops were told %v", got)
	}
	var o rollouts.Overview
	ask(t, v, "GET", "", "", &o)
	if len(o.Commands) != 5 || o.Commands[0].Allowed || o.Commands[0].Why != "who are you?" || o.Commands[0].Needs != "operate" {
		t.Errorf("commands %+v", o.Commands)
	}
}

// Addresses that cannot be asked are refused at the start.
func TestValidate(t *testing.T) {
	for _, url := range []string{"eu-1:9095", "ftp://eu-1", "http://", "http://ada:secret@eu-1:9095"} {
		if _, err := rollouts.New(rollouts.Config{Loops: []string{url}}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}
