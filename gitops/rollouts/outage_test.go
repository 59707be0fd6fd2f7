package rollouts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/rollouts"
)

// fleet answers for many loops, by their host; silent ones never answer.
type fleet struct {
	mu      sync.Mutex
	silent  map[string]bool
	asked   map[string]int
	members []string
	secret  bool          // no loop tells of waves
	took    time.Duration // of each answer
	events  int           // in each history
}

// RoundTrip implements http.RoundTripper.
func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.asked[r.URL.Host]++
	silent := f.silent[r.URL.Host]
	f.mu.Unlock()
	if silent {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if f.secret && r.URL.RawQuery == "" {
		return nil, errors.New("it broke")
	}
	time.Sleep(f.took)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var v any = gitops.Said{Done: "done"}
	switch path := strings.TrimPrefix(r.URL.Path, gitops.Path); {
	case path == "/commits":
		v = gitops.Commits{Ref: "refs/heads/main"}
	case path == "/diff":
		v = gitops.Difference{From: "a", To: "b"}
	case r.Method == http.MethodGet:
		s := gitops.Status{Cluster: r.URL.Host}
		if r.FormValue("brief") == "" {
			s.Waves = []gitops.WaveStatus{{Name: "all", Members: f.members}}
			for i := range f.events {
				s.History = append(s.History, gitops.Event{At: at.Add(time.Duration(i) * time.Second), What: "seen"})
			}
		}
		v = s
	}
	data, err := json.Marshal(v)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(data)), Request: r}, err
}

// outage makes the first silent of all loops silent.
func (f *fleet) outage(silent int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent, f.asked = map[string]bool{}, map[string]int{}
	for i := range silent {
		f.silent[host(i)] = true
	}
}

func host(i int) string { return fmt.Sprintf("c-%04d", i) }

func fleetView(t *testing.T, f *fleet, loops int) *rollouts.View {
	t.Helper()
	f.outage(0)
	cfg := rollouts.Config{Client: &http.Client{Transport: f}, MayCommand: func(*http.Request) error { return nil }}
	for i := range loops {
		cfg.Loops = append(cfg.Loops, "http://"+host(i))
		f.members = append(f.members, host(i))
	}
	v, err := rollouts.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// byLoop counts clusters by what is said of their loops.
func byLoop(o *rollouts.Overview, from int) map[string]int {
	out := map[string]int{}
	for _, w := range o.Waves {
		for _, c := range w.Clusters {
			if c.Cluster >= host(from) {
				out[c.Loop]++
			}
		}
	}
	return out
}

// Silent loops cost what they would say, not what others do, however many they are.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const silent, loops = 3000, 3100
		f := &fleet{}
		v := fleetView(t, f, loops)
		if got := byLoop(v.Overview(t.Context()), 0); got[rollouts.Answers] != loops {
			t.Fatalf("all are there: %v", got)
		}
		f.outage(silent)
		for range 3 {
			time.Sleep(time.Minute)
			o := v.Overview(t.Context())
			if got := byLoop(o, silent); got[rollouts.Answers] != loops-silent {
				t.Errorf("of those that answer: %v", got)
			}
			if got := byLoop(o, 0); got[rollouts.Silent] != silent {
				t.Errorf("of all: %v", got)
			}
			if i := slices.IndexFunc(o.Waves, func(w rollouts.Wave) bool { return w.Name == "all" }); i < 0 {
				t.Errorf("waves were not asked for")
			}
		}
	})
}

// Whoever had too little time to answer is not called silent.
func TestTooManySilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const silent, loops = 8000, 8100
		f := &fleet{}
		v := fleetView(t, f, loops)
		v.Overview(t.Context())
		f.outage(silent)
		time.Sleep(time.Minute)
		if got := byLoop(v.Overview(t.Context()), 0); got[rollouts.Silent] != 0 || got[rollouts.Answers] != loops-silent || got[rollouts.Unknown] != silent {
			t.Errorf("at first %v", got)
		}
	})
}

// That waves are missing is said.
func TestNobodyTellsWaves(t *testing.T) {
	f := &fleet{secret: true}
	if o := fleetView(t, f, 2).Overview(t.Context()); !slices.ContainsFunc(o.Warnings, func(w string) bool { return strings.Contains(w, "waves") && strings.Contains(w, "it broke") }) {
		t.Errorf("warnings %q", o.Warnings)
	}
}

// A command reaches those that answer, and ends.
func TestCommandInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const silent, loops = 8000, 8100
		f := &fleet{}
		v := fleetView(t, f, loops)
		v.Overview(t.Context())
		f.outage(silent)
		begun := time.Now()
		results, err := v.Command(t.Context(), gitops.CommandPause, rollouts.Order{})
		if err != nil || len(results) != loops {
			t.Fatalf("%d results, error %v", len(results), err)
		}
		if took := time.Since(begun); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
		for _, r := range results[silent:] {
			if r.Error != "" {
				t.Fatalf("%s was not told: %s", r.Cluster, r.Error)
			}
		}
		if r := results[silent-1]; r.Cluster != host(silent-1) || r.Error == "" {
			t.Errorf("a silent one: %+v", r)
		}
	})
}

// Histories are asked for once, for all who look within a second, also at the same
// time; the newest events are told.
func TestHistoryIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{took: 100 * time.Millisecond, events: 100}
		v := fleetView(t, f, 300)
		look := func() (h rollouts.History) {
			ask(t, v, "GET", "/history?limit=10000", "", &h)
			return h
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { look() })
		}
		wg.Wait()
		h := look()
		if n := f.asked[host(7)]; n != 1 {
			t.Errorf("a loop was asked %d times for six looks", n)
		}
		if last := h.Events[len(h.Events)-1]; len(h.Events) != 10_000 || !h.Events[0].At.Equal(at.Add(99*time.Second)) || !last.At.Equal(at.Add(66*time.Second)) {
			t.Errorf("%d events from %v to %v", len(h.Events), h.Events[0].At, last.At)
		}
		if _, err := v.Command(t.Context(), gitops.CommandPause, rollouts.Order{Clusters: []string{host(7)}}); err != nil {
			t.Fatal(err)
		}
		before := f.asked[host(7)]
		look()
		if n := f.asked[host(7)] - before; n != 1 {
			t.Errorf("after a command a loop was asked %d times", n)
		}
	})
}

// What any loop can tell is asked of the one that told something last.
func TestSilentLoopIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		v := fleetView(t, f, 3)
		f.outage(2)
		var c rollouts.Commits
		var d gitops.Difference
		if code := ask(t, v, "GET", "/commits", "", &c); code != 200 || f.asked[host(0)] == 0 {
			t.Errorf("status %d, asked %v", code, f.asked)
		}
		f.outage(2)
		if code := ask(t, v, "GET", "/diff?from=a&to=b", "", &d); code != 200 || f.asked[host(0)]+f.asked[host(1)] != 0 {
			t.Errorf("status %d, asked %v", code, f.asked)
		}
	})
}

// What each loop would complete for itself is not sent to several.
func TestRevisionsOfSeveralLoops(t *testing.T) {
	v := view(t, &clock{now: at}, nil, three(t)...)
	for _, c := range []struct {
		revision string
		clusters []string
		says     string
	}{
		{"bbbb", nil, "40 characters"},
		{"bbbb", []string{"eu-1", "eu-2"}, "40 characters"},
		{strings.Repeat("z", 40), nil, "40 characters"},
		{"", []string{"eu-1", "eu-2"}, "needs a revision"},
		{"bbbb", []string{"eu-1"}, ""},
		{newer, nil, ""},
	} {
		results, err := v.Command(t.Context(), gitops.CommandAbort, rollouts.Order{Revision: c.revision, Clusters: c.clusters})
		if c.says == "" && (err != nil || results[0].Error != "") || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q of %v: %+v, error %v", c.revision, c.clusters, results, err)
		}
	}
}
