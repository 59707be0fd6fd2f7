package gitops

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/gitops/wave"
)

// A commit reaches the first wave at once, bakes, and reaches the next.
func TestWaves(t *testing.T) {
	p := newPlanet(t, "a", "b", "c")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	p.runs("one", "one", "one")
	p.repo.Commit("config", "two")
	p.pass(time.Minute)
	p.runs("two", "one", "one")
	p.pass(time.Minute)
	p.runs("two", "two", "one")
	p.pass(10 * time.Minute)
	p.runs("two", "two", "two")
	for _, m := range p.loops {
		if s := m.loop.Status(); s.State != "idle" || len(s.Good) == 0 || s.Good[0] != s.Running {
			t.Errorf("cluster %s: %+v, want it idle with what runs found good", m.name, s)
		}
	}
}

// A revision whose gate fails is returned from everywhere, within a minute.
func TestGateFails(t *testing.T) {
	p := newPlanet(t, "a", "b", "c")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	bad := p.repo.Commit("config", "two")
	p.gate = func(expr string) wave.Verdict {
		if expr == "up-b" && p.loops[1].workload.runs() == "two" {
			return wave.Fails
		}
		return wave.Holds
	}
	p.pass(3 * time.Minute)
	for p.loops[1].workload.runs() != "two" && p.now.Hour() == 0 {
		p.pass(15 * time.Second)
	}
	p.pass(time.Minute)
	p.runs("one", "one", "one")
	p.pass(10 * time.Minute)
	p.runs("one", "one", "one")
	if s := p.loops[1].loop.Status(); len(s.Rejected) != 1 || s.Rejected[0].Revision != bad || !strings.Contains(s.Rejected[0].Why, `gate "up" of wave "w1" fails`) {
		t.Fatalf("b rejects %+v, want %s for its gate", s.Rejected, bad)
	}
	if slices.Contains(p.loops[2].workload.history, "two") {
		t.Fatal("the third wave has seen the bad revision")
	}
	// Who rejected it falls silent, and still nobody takes it again.
	p.silent = map[string]bool{"b": true}
	p.pass(10 * time.Minute)
	p.runs("one", "one", "one")
	p.silent = nil
	p.repo.Commit("config", "three")
	p.pass(15 * time.Minute)
	p.runs("three", "three", "three")
}

// A revision that is invalid touches nobody; one that a workload refuses, or
// does not load, is returned from and named.
func TestBadRevisions(t *testing.T) {
	p := newPlanet(t, "a", "b")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	a := p.loops[0]
	p.repo.Commit("config", "invalid")
	p.pass(10 * time.Minute)
	p.runs("one", "one")
	if s := a.loop.Status(); s.State != "stalled" || !strings.Contains(s.Doing, "config:1: invalid") {
		t.Fatalf("status %s: %q, want it stalled with file and line", s.State, s.Doing)
	}
	a.workload.refuses = "refused"
	no := p.repo.Commit("config", "refused")
	p.pass(10 * time.Minute)
	p.runs("one", "one")
	if s := a.loop.Status(); s.Rejected[0].Revision != no || !strings.Contains(s.Rejected[0].Why, "leaf-0 refuses it: does not like refused") {
		t.Fatalf("rejected %+v, want %s in the workload's words", s.Rejected, no)
	}
	a.workload.ignores = "slow"
	slow := p.repo.Commit("config", "slow")
	p.pass(10 * time.Minute)
	p.runs("one", "one")
	if s := a.loop.Status(); s.Rejected[0].Revision != slow || !strings.Contains(s.Rejected[0].Why, "did not load it within 1m0s") {
		t.Fatalf("rejected %+v, want %s for being slow", s.Rejected, slow)
	}
	if got := string(a.workload.delivered.Files["leaf/prometheus.yml"]); got != "one" {
		t.Fatalf("what is delivered in the end is %q, want one", got)
	}
	p.repo.Commit("config", "two")
	p.pass(10 * time.Minute)
	p.runs("two", "two")
}

// Whatever happens to the repository, what runs stays, and the status says why.
func TestRepositoryFaults(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	p.repo.Commit("config", "zero")
	good := p.repo.Commit("config", "one")
	p.pass(2 * time.Minute)
	p.runs("one")
	says := func(what, state, text string) {
		t.Helper()
		p.pass(5 * time.Minute)
		p.runs("one")
		s := a.loop.Status()
		if told := s.Doing + s.Problems["fetch"]; s.State != state || !strings.Contains(told, text) {
			t.Fatalf("%s: status %s, %q; want %s and %q", what, s.State, told, state, text)
		}
	}
	p.repo.Answer(func(_ http.Handler, _ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	says("unreachable", "idle", "ask the server")
	p.repo.Answer(nil)

	p.repo.Git("reset", "-q", "--hard", "HEAD~1")
	p.repo.Push()
	says("rewound", "stalled", "does not descend")
	p.repo.Commit("config", "other")
	says("force-pushed", "stalled", "does not descend")

	p.repo.Git("reset", "-q", "--hard", good)
	p.repo.Push()
	file := p.repo.Blob("x")
	p.repo.CommitTree(p.repo.Tree(gittest.Entry{Mode: "120000", Name: "l", Hash: file}), good)
	says("symbolic link", "stalled", "symbolic link")
	p.repo.CommitTree(p.repo.Tree(gittest.Entry{Mode: "100644", Name: "../x", Hash: file}), good)
	says("path", "stalled", "slash")
	p.repo.Push()
	p.repo.Commit("config", "one", "big", strings.Repeat("0", 100<<20))
	says("100 MB", "stalled", "more than 4194304 bytes")
	if n := p.repo.Requests.Load(); n > 100 {
		t.Errorf("%d requests, want the refusals not to be paid for again", n)
	}
	p.repo.Git("reset", "-q", "--hard", good)
	p.repo.Commit("config", "two")
	p.pass(2 * time.Minute)
	p.runs("two")
}

// With keys configured, what is not signed does not run.
func TestUnsigned(t *testing.T) {
	p := newPlanet(t, "a")
	p.repo.Commit("config", "one")
	p.pass(time.Minute)
	a := p.loops[0]
	_ = a.loop.Close()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGCvnE9DPpZlBPBtZMS0bSUpE3ka8dwxAUWkQSfAPFtT ada\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.source = func(c *source.Config) { c.SSHKeyFiles = []string{key} }
	a.open()
	p.repo.Commit("config", "two")
	p.pass(5 * time.Minute)
	p.runs("one")
	if s := a.loop.Status(); s.State != "stalled" || s.Stalled.Reason != "unsigned" {
		t.Fatalf("status %s %+v, want it stalled for a missing signature", s.State, s.Stalled)
	}
}

// While the root is down nothing advances; what a workload refuses is returned
// from all the same.
func TestRootDown(t *testing.T) {
	p := newPlanet(t, "a", "b", "c")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	p.repo.Commit("config", "two")
	p.pass(time.Minute)
	p.runs("two", "one", "one")
	p.down = true
	p.pass(20 * time.Minute)
	p.runs("two", "one", "one")
	if s := p.loops[1].loop.Status(); s.State != "waiting" || !strings.Contains(s.Doing, "the root is down") {
		t.Fatalf("status %s: %q, want it to wait for the root", s.State, s.Doing)
	}
	p.down = false
	p.pass(15 * time.Minute)
	p.runs("two", "two", "two")
}

// The first cluster of a planet begins without a root; one whose state was lost
// does not.
func TestFirstCluster(t *testing.T) {
	p := newPlanet(t, "a", "b")
	p.down = true
	p.repo.Commit("config", "one")
	p.pass(time.Minute)
	p.runs("one", "one")
	b := p.loops[1]
	_ = b.loop.Close()
	b.dir = t.TempDir()
	b.open()
	p.repo.Commit("config", "two")
	p.pass(10 * time.Minute)
	p.runs("one", "one")
	p.down = false
	p.pass(10 * time.Minute)
	p.runs("two", "two")
}

// A workload that is down, for its own reasons, does not cost a good revision.
func TestWorkloadDown(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	a.workload.down = errors.New("connection refused")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	if s := a.loop.Status(); len(s.Rejected) != 0 {
		t.Fatalf("rejected %+v, want nothing before the workload came up", s.Rejected)
	}
	a.workload.down = nil
	p.pass(2 * time.Minute)
	p.runs("one")
	p.repo.Commit("config", "two")
	a.workload.down = errors.New("connection refused")
	p.pass(time.Hour)
	if s := a.loop.Status(); len(s.Rejected) != 0 || s.State != "failing" {
		t.Fatalf("status %s, rejected %+v; want it failing, and nothing rejected", s.State, s.Rejected)
	}
	a.workload.down = nil
	p.pass(5 * time.Minute)
	p.runs("two")
}

// What stands between the loop and the workload costs no revision, however long
// it is away: neither while it is delivered nor while it is confirmed.
func TestUnavailable(t *testing.T) {
	away := fmt.Errorf("deliver: %w", &UnavailableError{What: "apply", Err: errors.New("the API server is away")})
	for name, set := range map[string]func(w *workload, err error){
		"delivering": func(w *workload, err error) { w.blocked = err },
		"confirming": func(w *workload, err error) {
			w.unclear, w.ignores = err, ""
			if err != nil {
				w.ignores = "two"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanet(t, "a")
			a := p.loops[0]
			p.repo.Commit("config", "one")
			p.pass(5 * time.Minute)
			set(a.workload, away)
			p.repo.Commit("config", "two")
			p.pass(time.Hour)
			if s := a.loop.Status(); len(s.Rejected) != 0 || s.Pending == nil || !strings.Contains(fmt.Sprint(s.Problems), "the API server is away") {
				t.Fatalf("pending %v, rejected %+v, problems %v; want it pending, and why", s.Pending, s.Rejected, s.Problems)
			}
			p.runs("one")
			set(a.workload, nil)
			p.pass(5 * time.Minute)
			p.runs("two")
		})
	}
}

// What somebody changes behind the loop's back is put right, and when nothing
// changes nothing is written.
func TestDriftAndIdle(t *testing.T) {
	p := newPlanet(t, "a")
	p.repo.Commit("config", "one")
	p.pass(10 * time.Minute) // until it is watched no more
	w := p.loops[0].workload
	before, files := w.deliver, modified(t, p.loops[0].dir)
	p.pass(time.Hour)
	if w.deliver != before {
		t.Fatalf("%d deliveries while nothing changed", w.deliver-before)
	}
	if diff := cmp.Diff(files, modified(t, p.loops[0].dir)); diff != "" {
		t.Fatalf("the state was written while nothing changed: %s", diff)
	}
	w.loaded = &Bundle{Hash: "evil", Files: map[string][]byte{"leaf/prometheus.yml": []byte("evil")}}
	p.pass(time.Minute)
	p.runs("one")
}

func modified(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	out := map[string]time.Time{}
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			out[name] = info.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// killed is what the kernel does to a loop.
type killed struct{ at string }

// turnKilled takes turns until the loop is killed at its nth step, or none is
// left, and says where.
func (m *member) turnKilled(n int) (at string) {
	return m.turnKilledIf(func(string) bool { n--; return n == 0 })
}

// turnKilledIf takes turns until the loop is killed at a step, or none is left, and
// says where.
func (m *member) turnKilledIf(kills func(point string) bool) (at string) {
	defer func() {
		if r := recover(); r != nil {
			k, ok := r.(killed)
			if !ok {
				panic(r)
			}
			at = k.at
			// What the kernel would do: the lock goes, memory is lost.
			m.loop.mu.TryLock()
			m.loop.mu.Unlock()
			_ = m.loop.Close()
		}
	}()
	m.loop.store.crash = func(point string) {
		if kills(point) {
			panic(killed{point})
		}
	}
	for range 16 {
		m.loop.turn(m.t.Context())
		m.now = m.now.Add(15 * time.Second)
	}
	m.loop.store.crash = func(string) {}
	return ""
}

// A loop that is killed at any step goes on where it was, and the workload
// never runs anything but whole revisions, each once.
func TestKilledAtEachStep(t *testing.T) {
	cycles := 0
	for _, refuse := range []string{"", "two"} {
		points := map[string]bool{}
		for n := 1; ; n++ {
			p := &planet{t: t, now: time.Unix(1e9, 0), gate: func(string) wave.Verdict { return wave.Holds }}
			commits := &history{configs: []string{"one"}}
			a := &member{planet: p, name: "a", dir: t.TempDir(), workload: &workload{}, from: commits}
			p.loops = []*member{a}
			a.open()
			p.pass(5 * time.Minute)
			a.workload.refuses = refuse
			commits.configs = append(commits.configs, "two")
			at := a.turnKilled(n)
			if at == "" {
				_ = a.loop.Close()
				break
			}
			cycles++
			points[at] = true
			a.open()
			p.pass(4 * time.Minute)
			want := []string{"one", "two"}
			if refuse != "" {
				want = []string{"one"}
			}
			p.runs(want[len(want)-1])
			if got := slices.Compact(slices.Clone(a.workload.history)); !slices.Equal(got, want) {
				t.Fatalf("killed %s: the workload ran %q, want %q", at, got, want)
			}
			if refuse != "" && len(a.loop.Status().Rejected) != 1 {
				t.Fatalf("killed %s: rejected %+v, want one revision", at, a.loop.Status().Rejected)
			}
			_ = a.loop.Close()
		}
		if !points["before delivery"] || !points["after delivery"] || !points["written state.json"] {
			t.Fatalf("killed %d times, at %v; want all steps", cycles, points)
		}
	}
	if cycles < 20 {
		t.Fatalf("killed %d times, want 20 at least", cycles)
	}
}

// Interval and jitter keep looks at the repository apart.
func TestFetchInterval(t *testing.T) {
	p := newPlanet(t, "a")
	p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	before := p.repo.Requests.Load()
	p.pass(time.Hour)
	if n := p.repo.Requests.Load() - before; n < 50 || n > 70 {
		t.Fatalf("%d requests in an hour, want about 60", n)
	}
	p.repo.Answer(func(_ http.Handler, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	before = p.repo.Requests.Load()
	p.pass(time.Hour)
	if n := p.repo.Requests.Load() - before; n < 50 || n > 75 {
		t.Fatalf("%d requests in an hour of failures, want it to back off to about 60", n)
	}
}

// Two revisions of the same content need no delivery.
func TestSameContent(t *testing.T) {
	p := newPlanet(t, "a")
	p.repo.Commit("config", "one")
	p.pass(2 * time.Minute)
	n := p.loops[0].workload.deliver
	rev := p.repo.Commit("README", "changed")
	p.pass(2 * time.Minute)
	if s := p.loops[0].loop.Status(); s.Running != rev || p.loops[0].workload.deliver != n {
		t.Fatalf("runs %s after %d deliveries, want %s after %d", s.Running, p.loops[0].workload.deliver, rev, n)
	}
}
