package wave_test

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// sim is a planet whose clocks are fake. Its loops do as package gitops does:
// look at git and at the root now and then, decide, load.
type sim struct {
	rng      *rand.Rand
	now      time.Time
	queue    events
	waves    []wave.Wave
	clusters map[string]*simCluster
	order    []*simCluster
	commits  []simCommit
	// view is what the root tells: what each cluster said when it was scraped.
	view     wave.Fleet
	rootDown func(time.Time) bool
	// scrape is the time between two scrapes of a cluster.
	scrape time.Duration
	// symptom is how long a bad revision runs before the gate can see it.
	symptom time.Duration
	fast    time.Duration
	slow    time.Duration

	git, root map[int64]int // requests by second
	firstFail time.Time
	advanced  func(c *simCluster, to string)
	loaded    []simLoad
}

type simLoad struct {
	at       time.Time
	cluster  *simCluster
	revision string
}

// simCommit is bad from a wave on; -1 for good ones.
type simCommit struct {
	name string
	at   time.Time
	bad  int
}

type simCluster struct {
	name     string
	wave     int
	running  string
	since    time.Time
	good     []string
	rejected map[string]string
	rejectAt map[string]time.Time
	older    map[string]bool
	memory   wave.Memory
	busy     bool
	paused   bool
	skew     time.Duration // of its clock
	pinned   string
	promoted string
	newest   string
	gitAt    time.Time
	decision wave.Decision
	ever     map[string]time.Time // when it first ran a revision
}

type event struct {
	at time.Time
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any          { o := *e; x := o[len(o)-1]; *e = o[:len(o)-1]; return x }

func (s *sim) in(d time.Duration, do func()) { heap.Push(&s.queue, event{s.now.Add(d), do}) }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newSim(seed uint64, waves, perWave int, bake time.Duration) *sim {
	s := &sim{
		rng: rand.New(rand.NewPCG(seed, 1)), now: epoch, clusters: map[string]*simCluster{},
		view:   wave.Fleet{Clusters: map[string]string{}, Rejected: map[string]string{}},
		scrape: 15 * time.Second, symptom: 30 * time.Second, fast: 15 * time.Second, slow: time.Minute,
		git: map[int64]int{}, root: map[int64]int{},
	}
	for w := range waves {
		wv := wave.Wave{Name: fmt.Sprintf("w%d", w), Bake: bake, Gates: []wave.Gate{{Name: "up", Expr: "up"}, {Name: "errors", Expr: "errors"}}}
		for i := range perWave {
			c := &simCluster{name: fmt.Sprintf("c%d-%d", w, i), wave: w, rejected: map[string]string{}, rejectAt: map[string]time.Time{}, older: map[string]bool{}, ever: map[string]time.Time{}}
			wv.Clusters = append(wv.Clusters, c.name)
			s.clusters[c.name] = c
			s.order = append(s.order, c)
			s.in(s.upTo(s.slow), func() { s.loop(c) })
			s.in(s.upTo(s.scrape), func() { s.scraped(c) })
		}
		s.waves = append(s.waves, wv)
	}
	return s
}

func (s *sim) upTo(d time.Duration) time.Duration { return time.Duration(s.rng.Int64N(int64(d))) }

// jitter is between 0.8 and 1.2 of d.
func (s *sim) jitter(d time.Duration) time.Duration { return d*4/5 + s.upTo(d*2/5) }

// settled makes all clusters run a revision that is good.
func (s *sim) settled(revision string) {
	s.commits = append(s.commits, simCommit{revision, s.now, -1})
	for _, c := range s.order {
		c.running, c.good, c.since = revision, []string{revision}, s.now
		c.ever[revision] = s.now
		s.view.Clusters[c.name] = revision
	}
}

func (s *sim) commit(name string, after time.Duration, bad int) {
	s.in(after, func() { s.commits = append(s.commits, simCommit{name, s.now, bad}) })
}

func (s *sim) run(d time.Duration) {
	for end := s.now.Add(d); len(s.queue) > 0 && !s.queue[0].at.After(end); {
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	}
}

func (s *sim) index(revision string) int {
	return slices.IndexFunc(s.commits, func(c simCommit) bool { return c.name == revision })
}

// scraped makes what a cluster says now the root's view.
func (s *sim) scraped(c *simCluster) {
	if c.running != "" {
		s.view.Clusters[c.name] = c.running
	}
	for r, why := range c.rejected {
		s.view.Rejected[r] = c.name + ": " + why
	}
	if c.paused {
		s.view.Paused = c.name
	} else if s.view.Paused == c.name {
		s.view.Paused = ""
	}
	s.in(s.scrape, func() { s.scraped(c) })
}

// loop is one turn of a cluster's loop.
func (s *sim) loop(c *simCluster) {
	next := s.slow
	if !c.busy {
		s.decide(c)
		if c.decision.Soon {
			next = s.fast
		}
	}
	s.in(s.jitter(next), func() { s.loop(c) })
}

func (s *sim) decide(c *simCluster) {
	if !s.now.Before(c.gitAt) {
		s.git[s.now.Unix()]++
		c.newest, c.gitAt = s.commits[len(s.commits)-1].name, s.now.Add(s.jitter(s.slow))
	}
	in := wave.Input{
		Now: s.now.Add(c.skew), Cluster: c.name, Waves: s.waves, Newest: c.newest, Running: c.running, Good: c.good,
		Rejected: c.rejected, Older: c.older, Paused: c.paused, Pinned: c.pinned, Promoted: c.promoted, FleetErr: "down",
	}
	s.root[s.now.Unix()]++
	down := s.rootDown != nil && s.rootDown(s.now)
	if !down {
		in.Fleet = &s.view
	}
	d, m := wave.Decide(in, c.memory)
	for len(d.Need) > 0 {
		if in.Gates == nil {
			in.Gates = map[string]wave.Verdict{}
		}
		for key := range d.Need {
			s.root[s.now.Unix()]++
			in.Gates[key] = wave.Unknown
			if !down {
				in.Gates[key] = s.gate(key)
			}
		}
		d, m = wave.Decide(in, c.memory)
	}
	c.memory, c.decision = m, d
	s.obey(c, d)
}

func (s *sim) obey(c *simCluster, d wave.Decision) {
	if d.Reject != "" {
		c.rejected[d.Reject], c.rejectAt[d.Reject] = d.Why, s.now
	}
	if d.Good {
		c.good = append([]string{c.running}, slices.DeleteFunc(c.good, func(r string) bool { return r == c.running })...)
	}
	if (d.Do != wave.Advance && d.Do != wave.RollBack) || d.To == "" {
		return
	}
	if d.Do == wave.Advance && s.index(d.To) < s.index(c.running) {
		c.older[d.To] = true
		return
	}
	if d.Do == wave.Advance && s.advanced != nil {
		s.advanced(c, d.To)
	}
	c.busy = true
	s.in(time.Second+s.upTo(4*time.Second), func() {
		c.busy, c.running, c.since = false, d.To, s.now
		c.older = map[string]bool{}
		if _, ok := c.ever[d.To]; !ok {
			c.ever[d.To] = s.now
		}
		s.loaded = append(s.loaded, simLoad{s.now, c, d.To})
	})
}

// gate fails where a bad revision has run for long enough to be seen.
func (s *sim) gate(key string) wave.Verdict {
	var w int
	var name string
	_, _ = fmt.Sscanf(key, "w%d/%s", &w, &name)
	for _, c := range s.waves[w].Clusters {
		cl := s.clusters[c]
		i := s.index(cl.running)
		if i >= 0 && s.commits[i].bad >= 0 && w >= s.commits[i].bad && s.now.Sub(cl.since) > s.symptom {
			if s.firstFail.IsZero() {
				s.firstFail = s.now
			}
			return wave.Fails
		}
	}
	return wave.Holds
}

// runs counts clusters by the revision that they run.
func (s *sim) runs() map[string]int {
	out := map[string]int{}
	for _, c := range s.order {
		out[c.running]++
	}
	return out
}

// peak is the most requests in any window of n seconds, per second.
func peak(bySecond map[int64]int, n int64) float64 {
	most := 0
	for _, at := range slices.Sorted(maps.Keys(bySecond)) {
		sum := 0
		for i := range n {
			sum += bySecond[at+i]
		}
		most = max(most, sum)
	}
	return float64(most) / float64(n)
}
