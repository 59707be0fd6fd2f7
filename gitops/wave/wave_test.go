package wave_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/gitops/wave"
)

// Good commits reach everybody, wave after wave.
func TestCommitReachesAll(t *testing.T) {
	s := newSim(1, 4, 5, 5*time.Minute)
	s.settled("r1")
	s.commit("r2", time.Minute, -1)
	s.run(time.Hour)
	if got := s.runs(); got["r2"] != 20 {
		t.Fatalf("clusters run %v, want all r2", got)
	}
	for i, l := range s.loaded {
		if i > 0 && l.cluster.wave < s.loaded[i-1].cluster.wave {
			t.Fatalf("a cluster of wave %d loaded after one of wave %d", l.cluster.wave, s.loaded[i-1].cluster.wave)
		}
	}
}

// A planet on which nothing runs yet is filled wave by wave too.
func TestFirstCommit(t *testing.T) {
	s := newSim(2, 3, 4, time.Minute)
	s.commits = append(s.commits, simCommit{"r1", epoch, -1})
	s.run(time.Hour)
	if got := s.runs(); got["r1"] != 12 {
		t.Fatalf("clusters run %v, want all r1", got)
	}
}

// Commits that come faster than a wave bakes neither starve the later waves nor
// put more than two revisions on the planet.
func TestManyCommits(t *testing.T) {
	s := newSim(3, 4, 5, 5*time.Minute)
	s.settled("r0")
	for i := range 120 {
		s.commit(fmt.Sprintf("r%d", i+1), time.Duration(i+1)*time.Minute, -1)
	}
	for range 150 {
		s.run(time.Minute)
		// Those of the first wave may begin with different ones, and then agree.
		later := map[string]bool{}
		for _, c := range s.order[5:] {
			later[c.running] = true
		}
		if got := s.runs(); len(got) > 3 || len(later) > 2 {
			t.Fatalf("clusters run %v, later waves %v; want two revisions at most", got, later)
		}
	}
	s.run(time.Hour)
	if got := s.runs(); got["r120"] != 20 {
		t.Fatalf("clusters run %v, want all r120", got)
	}
	if n := len(s.loaded); n > 20*10 {
		t.Errorf("%d loads, want the commits to be taken in batches", n)
	}
}

// A rejected commit is returned from, and a fix is taken.
func TestFixForward(t *testing.T) {
	s := newSim(4, 4, 5, 5*time.Minute)
	s.settled("r1")
	s.commit("bad", time.Minute, 0)
	s.run(30 * time.Minute)
	if got := s.runs(); got["r1"] != 20 {
		t.Fatalf("clusters run %v, want all r1", got)
	}
	s.commit("fix", time.Minute, -1)
	s.run(time.Hour)
	if got := s.runs(); got["fix"] != 20 {
		t.Fatalf("clusters run %v, want all fix", got)
	}
}

// While the root cannot be asked nothing moves, and then it goes on.
func TestRootDown(t *testing.T) {
	s := newSim(5, 4, 5, 5*time.Minute)
	s.settled("r1")
	s.commit("r2", time.Minute, -1)
	s.run(10 * time.Minute)
	down := true
	s.rootDown = func(time.Time) bool { return down }
	s.run(10 * time.Second) // what was being loaded
	before := s.runs()
	s.run(3 * time.Hour)
	if diff := cmp.Diff(before, s.runs()); diff != "" {
		t.Fatalf("clusters moved while the root was down: %s", diff)
	}
	for _, c := range s.order {
		if c.running == "r1" && !strings.Contains(c.decision.Why, "root cannot be asked") {
			t.Fatalf("cluster %s says %q", c.name, c.decision.Why)
		}
	}
	down = false
	s.run(time.Hour)
	if got := s.runs(); got["r2"] != 20 {
		t.Fatalf("clusters run %v, want all r2", got)
	}
}

// Time in which the root could not be asked does not count as bake time.
func TestBakeNeedsSight(t *testing.T) {
	fleet := &wave.Fleet{Clusters: map[string]string{"a": "r2", "b": "r1"}}
	in := wave.Input{
		Waves:   []wave.Wave{{Name: "v", Clusters: []string{"a"}, Bake: 10 * time.Minute}, {Name: "w", Clusters: []string{"b"}}},
		Cluster: "b", Running: "r1", Good: []string{"r1"}, Newest: "r2", FleetErr: "down",
	}
	var m wave.Memory
	at := func(minute int, f *wave.Fleet) (d wave.Decision) {
		in.Now, in.Fleet = epoch.Add(time.Duration(minute)*time.Minute), f
		d, m = wave.Decide(in, m)
		return d
	}
	at(0, fleet)
	at(5, nil)
	if d := at(15, fleet); d.Do != wave.Wait {
		t.Errorf("%+v, want it to bake anew after the root was down", d)
	}
	if d := at(25, fleet); d.Do != wave.Advance {
		t.Errorf("%+v, want it to advance after ten minutes in sight", d)
	}
}

// Without a root, a cluster begins only if nothing has ever run in it, nobody
// paused it, and it knows nothing bad of the revision.
func TestFresh(t *testing.T) {
	in := wave.Input{Now: epoch, Cluster: "a", Waves: []wave.Wave{{Name: "w", Clusters: []string{"z"}}, {Name: "v", Clusters: []string{"a"}}}, Newest: "r1", FleetErr: "down"}
	for name, c := range map[string]struct {
		change func(*wave.Input)
		want   wave.Action
	}{
		"fresh":      {func(in *wave.Input) { in.Fresh = true }, wave.Advance},
		"not fresh":  {func(*wave.Input) {}, wave.Wait},
		"paused":     {func(in *wave.Input) { in.Fresh, in.Paused = true, true }, wave.Wait},
		"rejected":   {func(in *wave.Input) { in.Fresh, in.Rejected = true, map[string]string{"r1": "no"} }, wave.Wait},
		"root is up": {func(in *wave.Input) { in.Fresh, in.Fleet = true, &wave.Fleet{} }, wave.Wait},
		"runs":       {func(in *wave.Input) { in.Fresh, in.Running = true, "r0" }, wave.Wait},
	} {
		in := in
		c.change(&in)
		if d, _ := wave.Decide(in, wave.Memory{}); d.Do != c.want {
			t.Errorf("%s: %+v, want %s", name, d, c.want)
		}
	}
}

// A cluster that is made anew begins with what the others run in the latest wave,
// not with what they have rejected, though the tree has no whole answer.
func TestFreshHears(t *testing.T) {
	waves := []wave.Wave{{Name: "one", Clusters: []string{"x", "y", "z"}}, {Name: "two", Clusters: []string{"a", "b", "c", "d"}}}
	in := wave.Input{Now: epoch, Cluster: "a", Waves: waves, Newest: "r9", FleetErr: "partial", Fresh: true}
	no := map[string]string{"r9": "by cluster x: no"}
	for name, c := range map[string]struct {
		heard *wave.Fleet
		want  string // "" is to wait
	}{
		"nobody":             {&wave.Fleet{}, "r9"},
		"the same":           {&wave.Fleet{Clusters: map[string]string{"x": "r9", "b": "r9"}}, "r9"},
		"a later wave":       {&wave.Fleet{Clusters: map[string]string{"x": "r9", "b": "r1"}}, "r1"},
		"only an earlier":    {&wave.Fleet{Clusters: map[string]string{"x": "r2"}}, "r2"},
		"most of a wave":     {&wave.Fleet{Clusters: map[string]string{"b": "r1", "c": "r2", "d": "r2"}}, "r2"},
		"what is rejected":   {&wave.Fleet{Clusters: map[string]string{"x": "r9", "y": "r1"}, Rejected: no}, "r1"},
		"nothing but that":   {&wave.Fleet{Clusters: map[string]string{"x": "r9"}, Rejected: no}, ""},
		"rejected, nobody's": {&wave.Fleet{Rejected: no}, ""},
		"several at once":    {&wave.Fleet{Clusters: map[string]string{"b": "", "x": "r1"}}, "r1"},
		"a pause":            {&wave.Fleet{Clusters: map[string]string{"b": "r1"}, Paused: "b"}, ""},
		"itself":             {&wave.Fleet{Clusters: map[string]string{"a": "r1"}}, "r9"},
	} {
		in := in
		in.Heard = c.heard
		d, _ := wave.Decide(in, wave.Memory{})
		if d.To != c.want || (d.Do == wave.Advance) != (c.want != "") {
			t.Errorf("%s: %+v, want %q", name, d, c.want)
		}
		in.Fresh = false
		if d, _ := wave.Decide(in, wave.Memory{}); d.Do != wave.Wait {
			t.Errorf("%s, and something ran here: %+v, want it to wait", name, d)
		}
	}
}

// A gate that fails after a wave has proved itself, and before the next has taken
// the revision, or a while after the last has, returns it. Nothing that was returned
// to is returned from by the same gates, what all run is left alone, and so is what
// proved itself while an earlier wave runs another revision: the gate may fail by that.
func TestWatchedUntilTaken(t *testing.T) {
	waves := []wave.Wave{
		{Name: "one", Clusters: []string{"a"}, Bake: time.Minute, Gates: []wave.Gate{{Name: "g"}}},
		{Name: "two", Clusters: []string{"b"}, Bake: time.Minute, Gates: []wave.Gate{{Name: "g"}}},
	}
	for name, c := range map[string]struct {
		cluster, a, b string        // who decides, and what clusters run
		after         time.Duration // from the end of the bake time
		fails         bool          // whether a gate's failing counts then
		moving        map[string]string
	}{
		"the next wave has not taken it":       {"a", "r2", "r1", 3 * time.Minute, true, nil},
		"nor after hours":                      {"a", "r2", "r1", 5 * time.Hour, true, nil},
		"the next wave runs it":                {"a", "r2", "r2", 0, false, nil},
		"a day later":                          {"a", "r2", "r1", wave.WatchLimit, false, nil},
		"of the last wave, for a while":        {"b", "r2", "r2", wave.Linger - 2*time.Minute, true, nil},
		"of the last wave, after the while":    {"b", "r2", "r2", wave.Linger, false, nil},
		"of the last wave, the first is ahead": {"b", "r3", "r2", wave.Linger - 2*time.Minute, false, nil},
		"of the last wave, the first gets r3":  {"b", "r2", "r2", wave.Linger - 2*time.Minute, false, map[string]string{"a": "r3"}},
		"of the last wave, the first returns":  {"b", "r2", "r2", wave.Linger - 2*time.Minute, false, map[string]string{"a": "r2"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := wave.Input{Now: epoch, Cluster: c.cluster, Waves: waves, Newest: "r2", Running: "r2", Good: []string{"r1"}}
			in.Fleet = &wave.Fleet{Clusters: map[string]string{"a": c.a, "b": c.b}, Moving: c.moving}
			var m wave.Memory
			var d wave.Decision
			at := func(after time.Duration, v wave.Verdict) {
				in.Now, in.Gates = epoch.Add(after), nil
				if d, _ = wave.Decide(in, m); len(d.Need) > 0 {
					in.Gates = map[string]wave.Verdict{}
					for key := range d.Need {
						in.Gates[key] = v
					}
				}
				d, m = wave.Decide(in, m)
			}
			at(0, wave.Holds)
			if at(time.Minute, wave.Holds); !d.Good {
				t.Fatalf("%+v, want it good after the bake time", d)
			}
			in.Good = []string{"r2", "r1"}
			at(time.Minute+c.after, wave.Fails)
			if at(time.Minute+c.after+time.Second, wave.Fails); d.Reject != "" {
				t.Fatalf("%+v, want it to wait for news of what else runs", d)
			}
			at(time.Minute+c.after+wave.LingerPatience, wave.Fails)
			if (d.Reject == "r2" && d.To == "r1") != c.fails || !c.fails && d.Soon && c.after > 0 && c.cluster == "b" && c.a == "r2" && c.moving == nil {
				t.Fatalf("%+v, want it returned from: %v", d, c.fails)
			}
			if !c.fails {
				return
			}
			in.Running, in.Good, in.Rejected = "r1", []string{"r1"}, map[string]string{"r2": "no"}
			at(10*time.Minute+c.after, wave.Fails)
			if at(20*time.Minute+c.after, wave.Fails); d.Reject != "" {
				t.Fatalf("%+v, want what it returned to to stay", d)
			}
		})
	}
}

// What bakes in a later wave is not rejected at once for a gate that a revision which
// follows may fail: one that an earlier wave runs, gets or has given up. It is if that
// goes on.
func TestFollowedWhileItBakes(t *testing.T) {
	waves := []wave.Wave{{Name: "one", Clusters: []string{"a"}}, {Name: "two", Clusters: []string{"b", "c"}, Bake: time.Hour, Gates: []wave.Gate{{Name: "g"}}}}
	for name, tc := range map[string]struct {
		a, c   string // what they run
		moving map[string]string
		waits  bool
	}{
		"nobody follows":              {"r2", "r2", nil, false},
		"the first runs r3":           {"r3", "r2", nil, true},
		"the first gets r3":           {"r2", "r2", map[string]string{"a": "r3"}, true},
		"the first returns from r3":   {"r2", "r2", map[string]string{"a": "r2"}, true},
		"r3 goes back to r2":          {"r3", "r2", map[string]string{"a": "r2"}, true},
		"a neighbour runs r1":         {"r2", "r1", nil, false},
		"a neighbour gets r2":         {"r2", "r1", map[string]string{"c": "r2"}, false},
		"what runs here is being got": {"r2", "r2", map[string]string{"b": "r2"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := wave.Input{Cluster: "b", Waves: waves, Newest: "r2", Running: "r2", Good: []string{"r1"}}
			var m wave.Memory
			var d wave.Decision
			at := func(after time.Duration, v wave.Verdict, f *wave.Fleet) bool {
				in.Now, in.Gates, in.Fleet = epoch.Add(after), map[string]wave.Verdict{"two/g": v}, f
				d, m = wave.Decide(in, m)
				return d.Reject == "r2"
			}
			now := &wave.Fleet{Clusters: map[string]string{"a": tc.a, "b": "r2", "c": tc.c}, Moving: tc.moving}
			at(0, wave.Holds, now)
			at(time.Minute, wave.Fails, now)
			at(75*time.Second, wave.Fails, now)
			if got := at(90*time.Second, wave.Fails, now); got == tc.waits {
				t.Fatalf("%+v, want it to wait: %t", d, tc.waits)
			}
			if !tc.waits {
				return
			}
			gone := &wave.Fleet{Clusters: map[string]string{"a": "r2", "b": "r2", "c": "r2"}}
			if at(2*time.Minute, wave.Fails, gone) || at(3*time.Minute, wave.Fails, gone) {
				t.Fatalf("%+v, want time for the gate to hold again", d)
			}
			if !at(7*time.Minute, wave.Fails, gone) {
				t.Fatalf("%+v, want it rejected if the gate goes on failing", d)
			}
		})
	}
}

// A pause of any cluster stops all, and a resume lets them go on.
func TestPauseAndResume(t *testing.T) {
	s := newSim(6, 4, 5, 5*time.Minute)
	s.settled("r1")
	s.commit("r2", time.Minute, -1)
	s.run(4 * time.Minute)
	s.clusters["c3-2"].paused = true
	s.run(time.Minute)
	before := s.runs()
	s.run(time.Hour)
	if diff := cmp.Diff(before, s.runs()); diff != "" || before["r2"] == 0 || before["r1"] == 0 {
		t.Fatalf("clusters run %v, after an hour of pause %s", before, diff)
	}
	s.clusters["c3-2"].paused = false
	s.run(time.Hour)
	if got := s.runs(); got["r2"] != 20 {
		t.Fatalf("clusters run %v, want all r2", got)
	}
}

// An abort at one cluster returns all, even after the rollout.
func TestAbort(t *testing.T) {
	for _, after := range []time.Duration{9 * time.Minute, 2 * time.Hour} {
		s := newSim(7, 4, 5, 5*time.Minute)
		s.settled("r1")
		s.commit("r2", time.Minute, -1)
		s.run(after)
		s.clusters["c0-1"].rejected["r2"] = "aborted by command"
		s.run(3 * time.Minute)
		if got := s.runs(); got["r1"] != 20 {
			t.Fatalf("after %s: clusters run %v, want all r1", after, got)
		}
	}
}

// A promoted cluster goes ahead alone; one that is pinned stays, and holds back
// new rollouts.
func TestPromoteAndPin(t *testing.T) {
	s := newSim(8, 3, 3, 10*time.Minute)
	s.settled("r1")
	s.commit("r2", time.Minute, -1)
	s.run(3 * time.Minute)
	s.clusters["c2-0"].promoted = "r2"
	s.run(3 * time.Minute)
	if got := s.runs(); s.clusters["c2-0"].running != "r2" || got["r2"] != 4 {
		t.Fatalf("clusters run %v, c2-0 %s; want it and the first wave to run r2", got, s.clusters["c2-0"].running)
	}
	s.run(2 * time.Hour)
	s.clusters["c1-0"].pinned = "r1"
	s.run(5 * time.Minute)
	s.commit("r3", time.Minute, -1)
	s.run(2 * time.Hour)
	if got := s.runs(); got["r1"] != 1 || got["r2"] != 8 {
		t.Fatalf("clusters run %v, want c1-0 to run r1 and to hold the others at r2", got)
	}
	s.clusters["c1-0"].pinned = ""
	s.run(3 * time.Hour)
	if got := s.runs(); got["r3"] != 9 {
		t.Fatalf("clusters run %v, want all r3", got)
	}
}

// Whatever the loops know late, whatever their clocks say, and whatever is
// committed: a cluster takes a
// revision only after all of the earlier waves ran it for the bake time, and
// nobody takes one that was rejected longer ago than news take.
func TestLateNewsNeverOvertake(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		bake := time.Duration(rng.IntN(10)) * time.Minute
		s := newSim(seed, 1+rng.IntN(5), 1+rng.IntN(3), bake)
		s.scrape = time.Duration(1+rng.IntN(300)) * time.Second
		outage := time.Duration(rng.IntN(100)) * time.Minute
		for _, c := range s.order {
			c.skew = time.Duration(rng.IntN(48)-24) * time.Hour
		}
		s.rootDown = func(at time.Time) bool { d := at.Sub(epoch) - outage; return d > 0 && d < 10*time.Minute }
		if rng.IntN(3) > 0 {
			s.settled("r0")
		}
		s.commits = append(s.commits, simCommit{"r1", epoch, -1})
		for i := range 8 {
			bad := -1
			if rng.IntN(3) == 0 {
				bad = rng.IntN(5)
			}
			s.commit(fmt.Sprintf("s%d", i), time.Duration(rng.IntN(120))*time.Minute, bad)
		}
		s.advanced = func(c *simCluster, to string) { overtakes(t, seed, s, bake, c, to) }
		s.run(4 * time.Hour)
		if t.Failed() {
			return
		}
	}
}

func overtakes(t *testing.T, seed uint64, s *sim, bake time.Duration, c *simCluster, to string) {
	for _, o := range s.order {
		if o.wave < c.wave {
			if at, ok := o.ever[to]; !ok || s.now.Sub(at) < bake {
				t.Errorf("seed %d at %s: %s takes %s, which %s runs since %v", seed, s.now.Sub(epoch), c.name, to, o.name, at)
			}
		}
		if at, ok := o.rejectAt[to]; ok && s.now.Sub(at) > s.scrape+time.Second {
			t.Errorf("seed %d at %s: %s takes %s, which %s rejected %s before", seed, s.now.Sub(epoch), c.name, to, o.name, s.now.Sub(at))
		}
	}
}

// In the end all clusters run one revision, the newest that is not bad.
func TestSettles(t *testing.T) {
	for seed := range uint64(50) {
		s := newSim(seed, 3, 3, 2*time.Minute)
		s.settled("r0")
		for i := range 6 {
			s.commit(fmt.Sprintf("s%d", i), s.upTo(30*time.Minute), []int{-1, 0, 2}[s.rng.IntN(3)])
		}
		s.commit("last", 40*time.Minute, -1)
		s.run(4 * time.Hour)
		if got := s.runs(); got["last"] != 9 {
			t.Fatalf("seed %d: clusters run %v, want all last; c0-0 says %q, c1-0 %q", seed, got, s.clusters["c0-0"].decision.Why, s.clusters["c1-0"].decision.Why)
		}
	}
}

// drill is a bad commit that shows in the third of ten waves of 100 clusters.
func drill(seed uint64) (s *sim, touched map[int]int, back time.Duration) {
	s = newSim(seed, 10, 100, 10*time.Minute)
	s.settled("r1")
	s.commit("bad", time.Minute, 2)
	s.run(time.Hour)
	touched = map[int]int{}
	last := time.Time{}
	for _, l := range s.loaded {
		if l.revision == "bad" {
			touched[l.cluster.wave]++
		} else {
			last = l.at
		}
	}
	return s, touched, last.Sub(s.firstFail)
}

// Of 1,000 clusters in ten waves, a commit that is bad in the third touches the
// first three, and is gone within a minute of the gate's first failing.
func TestDrill(t *testing.T) {
	for seed := range uint64(2) {
		s, touched, back := drill(seed)
		if got := s.runs(); got["r1"] != 1000 {
			t.Fatalf("seed %d: clusters run %v, want all r1", seed, got)
		}
		if len(touched) != 3 || touched[0] != 100 || touched[1] != 100 || touched[2] > 100 {
			t.Errorf("seed %d: the bad commit touched %v, want the first three waves", seed, touched)
		}
		if back > time.Minute {
			t.Errorf("seed %d: the last cluster was back %s after the gate failed first, want a minute at most", seed, back)
		}
		if git, root := peak(s.git, 10), peak(s.root, 10); git > 25 || root > 100 {
			t.Errorf("seed %d: at most %.1f requests to git and %.1f to the root a second, want 25 and 100", seed, git, root)
		}
	}
}

// A revision that is bad in the last wave is gone from there as soon, though all have
// taken it when that shows, so that the next rollout could have begun.
func TestDrillInLastWave(t *testing.T) {
	for seed := range uint64(3) {
		s := newSim(seed, 3, 100, 10*time.Minute)
		s.symptom = 90 * time.Second
		s.settled("r1")
		s.commit("bad", time.Minute, 2)
		s.run(time.Hour)
		if got := s.runs(); got["r1"] != 300 || len(s.loaded) != 600 {
			t.Fatalf("seed %d: clusters run %v after %d loads, want all r1 after 600", seed, got, len(s.loaded))
		}
		for _, l := range s.loaded[300:] {
			if back := l.at.Sub(s.firstFail); back > time.Minute && l.cluster.wave == 2 {
				t.Fatalf("seed %d: cluster %s was back %s after the gate failed first, want a minute at most", seed, l.cluster.name, back)
			}
		}
	}
}

func BenchmarkDrill(b *testing.B) {
	for i := range b.N {
		s, touched, back := drill(uint64(i))
		n := 0
		for _, c := range touched {
			n += c
		}
		seconds := s.now.Sub(epoch).Seconds()
		total := func(m map[int64]int) (n int) {
			for _, v := range m {
				n += v
			}
			return n
		}
		b.ReportMetric(float64(n), "clusters-touched")
		b.ReportMetric(back.Seconds(), "s-to-return")
		b.ReportMetric(float64(total(s.git))/seconds, "git-req/s")
		b.ReportMetric(float64(total(s.root))/seconds, "root-req/s")
		b.ReportMetric(peak(s.git, 10), "git-req/s-peak")
		b.ReportMetric(peak(s.root, 10), "root-req/s-peak")
	}
}

func BenchmarkDecide(b *testing.B) {
	s := newSim(1, 10, 100, time.Minute)
	s.settled("r1")
	in := wave.Input{Now: s.now, Cluster: "c9-99", Waves: s.waves, Newest: "r2", Running: "r1", Good: []string{"r1"}, Fleet: &s.view}
	for b.Loop() {
		wave.Decide(in, wave.Memory{})
	}
}

// A commit that moves all clusters into one wave without gates is itself rolled
// out by the waves before it.
func TestEffective(t *testing.T) {
	old := []wave.Wave{{Name: "canary", Clusters: []string{"a", "gone"}, Gates: []wave.Gate{{Name: "up"}}}, {Name: "rest", Clusters: []string{"b", "c"}}}
	next := []wave.Wave{{Name: "all", Clusters: []string{"a", "b", "c", "new"}}}
	want := []wave.Wave{{Name: "canary", Clusters: []string{"a"}, Gates: []wave.Gate{{Name: "up"}}}, {Name: "rest", Clusters: []string{"b", "c", "new"}}}
	if diff := cmp.Diff(want, wave.Effective(old, next)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(next, wave.Effective(nil, next)); diff != "" {
		t.Fatal(diff)
	}
}

// A commit that takes all clusters of the first waves out does not begin in all
// of a later one at once.
func TestEffectiveFirstGone(t *testing.T) {
	up := []wave.Gate{{Name: "up"}}
	old := []wave.Wave{
		{Name: "canary", Clusters: []string{"a"}, Bake: time.Hour, Gates: []wave.Gate{{Name: "a"}}},
		{Name: "few", Clusters: []string{"b"}},
		{Name: "rest", Clusters: []string{"c", "d", "e"}, Bake: time.Minute, Gates: up},
	}
	want := []wave.Wave{
		{Name: "canary", Clusters: []string{"c"}, Bake: time.Hour, Gates: up},
		{Name: "few"},
		{Name: "rest", Clusters: []string{"d", "e"}, Bake: time.Minute, Gates: up},
	}
	if diff := cmp.Diff(want, wave.Effective(old, []wave.Wave{{Name: "rest", Clusters: []string{"c", "d", "e"}}})); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]string{"c", "d", "e"}, old[2].Clusters); diff != "" {
		t.Fatalf("the waves that run were changed: %s", diff)
	}
}

func TestValidate(t *testing.T) {
	for says, waves := range map[string][]wave.Wave{
		"in waves \"a\" and \"b\"": {{Name: "a", Clusters: []string{"x"}}, {Name: "b", Clusters: []string{"x"}}},
		"wave \"a\": give":         {{Name: "a"}, {Name: "a"}},
		"negative":                 {{Name: "a", Bake: -1}},
		"gate a name":              {{Name: "a", Gates: []wave.Gate{{Name: "g"}, {Name: "g"}}}},
	} {
		if err := wave.Validate(waves); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
}
