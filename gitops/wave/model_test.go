package wave_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// model is a planet in which every cluster has a view of its own of the others, each
// part of it as old as chance has it, and now and then older than the one before.
// Loops are killed, forget, and are slow to deliver; gates flap; commits come at random.
type model struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	now     time.Time
	waves   []wave.Wave
	all     []*modelCluster
	commits []simCommit // the newest last
	// lag is how old news may be, unknown how often of a hundred a gate cannot be
	// asked, false how often it fails for nothing, kills how many loops are in an hour.
	lag                    time.Duration
	unknown, wrongly       int
	kills, slow            int
	downFrom, downFor      time.Duration // the root
	symptom                time.Duration
	wide                   bool // gates fail for what a cluster of any wave runs
	failing                map[string]time.Time
	followed               map[string]bool
	rejections, deliveries int
}

// modelCluster is one loop with its workload.
type modelCluster struct {
	name     string
	wave     int
	runs     string // the workload
	since    time.Time
	ever     map[string]time.Time
	told     []telling
	in       wave.Input // what the loop knows by itself
	m        wave.Memory
	pending  string
	back     bool
	ready    time.Time // when what is pending is loaded
	next     time.Time
	fetch    time.Time
	rejected map[string]time.Time
	heard    map[string]string // rejections of others, which hold when those fall silent
}

// telling is what a cluster's loop says from a time on.
type telling struct {
	at            time.Time
	up            bool
	runs, pending string
	rejected      map[string]string
}

func newModel(t *testing.T, seed uint64, waves, perWave int) *model {
	m := &model{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 23)), now: epoch, symptom: 30 * time.Second, failing: map[string]time.Time{}, followed: map[string]bool{}}
	m.commits = []simCommit{{"r0", epoch, -1}}
	for w := range waves { // what does harm shows it within the bake time
		wv := wave.Wave{Name: fmt.Sprintf("w%d", w), Bake: time.Minute + m.upTo(7*time.Minute), Gates: []wave.Gate{{Name: "up"}}}
		for i := range perWave {
			name := fmt.Sprintf("c%d-%d", w, i)
			wv.Clusters = append(wv.Clusters, name)
			m.all = append(m.all, &modelCluster{
				name: name, wave: w, runs: "r0", since: epoch, ever: map[string]time.Time{"r0": epoch}, rejected: map[string]time.Time{}, heard: map[string]string{},
				in: wave.Input{Cluster: name, Running: "r0", Good: []string{"r0"}}, next: epoch.Add(m.upTo(time.Minute)),
			})
		}
		m.waves = append(m.waves, wv)
	}
	return m
}

func (m *model) upTo(d time.Duration) time.Duration { return time.Duration(m.rng.Int64N(int64(d) + 1)) }

func (m *model) one(inHundred int) bool { return m.rng.IntN(100) < inHundred }

// bad tells from which wave on a revision does harm, -1 for nowhere.
func (m *model) bad(revision string) int {
	for _, c := range m.commits {
		if c.name == revision {
			return c.bad
		}
	}
	return -1
}

// older tells whether a does not descend from b.
func (m *model) older(a, b string) bool {
	index := func(r string) int {
		return slices.IndexFunc(m.commits, func(c simCommit) bool { return c.name == r })
	}
	return index(a) < index(b)
}

// run lets time pass, a second at a time. until is when the last commit comes.
func (m *model) run(d time.Duration, commits int, until time.Duration) {
	at := map[int]int{}
	for range commits {
		at[m.rng.IntN(int(until/time.Second))]++
	}
	for s := range int(d / time.Second) {
		m.now = epoch.Add(time.Duration(s) * time.Second)
		for range at[s] {
			bad := -1
			if m.one(35) {
				bad = m.rng.IntN(len(m.waves))
			}
			m.commits = append(m.commits, simCommit{fmt.Sprintf("r%d", len(m.commits)), m.now, bad})
		}
		m.watch()
		for _, c := range m.all {
			m.loop(c)
		}
		if m.t.Failed() {
			return
		}
	}
}

// loop does what a cluster's loop does in this second.
func (m *model) loop(c *modelCluster) {
	if m.kills > 0 && m.rng.IntN(3600*len(m.all)) < m.kills {
		m.kill(c)
	}
	if m.now.Before(c.next) {
		return
	}
	switch {
	case c.pending == "":
		m.decide(c)
	case !m.now.Before(c.ready):
		c.settle(m)
	}
	m.tell(c, true)
}

// kill ends a loop for a while, and what it delivers is loaded or not. It may forget all.
func (m *model) kill(c *modelCluster) {
	if c.pending != "" && m.one(50) {
		c.load(m, c.pending)
	}
	c.next = m.now.Add(m.upTo(5 * time.Minute))
	c.ready = c.next.Add(m.upTo(10 * time.Second))
	m.tell(c, false)
	if m.one(20) {
		c.pending, c.m, c.in, c.rejected, c.heard = "", wave.Memory{}, wave.Input{Cluster: c.name}, map[string]time.Time{}, map[string]string{}
	}
}

func (c *modelCluster) load(m *model, revision string) {
	if c.runs == revision {
		return
	}
	c.runs, c.since = revision, m.now
	if _, ok := c.ever[revision]; !ok {
		c.ever[revision] = m.now
	}
}

// settle is the end of a delivery.
func (c *modelCluster) settle(m *model) {
	c.load(m, c.pending)
	if c.back {
		c.m.Return(m.now, slices.Contains(c.in.Good, c.pending))
	}
	c.in.Running, c.in.Older, c.pending, c.next = c.pending, nil, "", m.now
}

// tell makes what a loop says known, to whoever asks late enough.
func (m *model) tell(c *modelCluster, up bool) {
	now := telling{m.now, up, c.in.Running, c.pending, c.in.Rejected}
	if n := len(c.told); n > 0 {
		if last := c.told[n-1]; last.up == up && last.runs == now.runs && last.pending == now.pending && len(last.rejected) == len(now.rejected) {
			return
		}
	}
	now.rejected = maps.Clone(c.in.Rejected)
	c.told = append(c.told, now)
}

// view is what one cluster sees of the others.
func (m *model) view(of *modelCluster, part bool) *wave.Fleet {
	f := &wave.Fleet{Clusters: map[string]string{}, Moving: map[string]string{}, Rejected: map[string]string{}}
	for _, o := range m.all {
		at := m.now.Add(-m.upTo(m.lag))
		i := len(o.told) - 1
		for i >= 0 && o.told[i].at.After(at) {
			i--
		}
		if o == of || i < 0 || !o.told[i].up || part && m.one(50) {
			continue
		}
		if o.told[i].runs != "" {
			f.Clusters[o.name] = o.told[i].runs
		}
		if o.told[i].pending != "" {
			f.Moving[o.name] = o.told[i].pending
		}
		for r, why := range o.told[i].rejected {
			f.Rejected[r] = o.name + ": " + why
		}
	}
	return f
}

func (m *model) decide(c *modelCluster) {
	if !m.now.Before(c.fetch) {
		c.in.Newest, c.fetch = m.commits[len(m.commits)-1].name, m.now.Add(48*time.Second+m.upTo(24*time.Second))
	}
	in := c.in
	in.Now, in.Waves, in.FleetErr = m.now, m.waves, "down"
	down := m.now.After(epoch.Add(m.downFrom)) && m.now.Before(epoch.Add(m.downFrom+m.downFor))
	if down {
		in.Heard = m.view(c, true)
	} else {
		in.Fleet = m.view(c, false)
	}
	for _, f := range []*wave.Fleet{in.Fleet, in.Heard} {
		if f != nil {
			maps.Copy(c.heard, f.Rejected)
		}
	}
	in.Rejected = maps.Clone(c.heard)
	maps.Copy(in.Rejected, c.in.Rejected)
	d, next := wave.Decide(in, c.m)
	for len(d.Need) > 0 {
		if in.Gates == nil {
			in.Gates = map[string]wave.Verdict{}
		}
		for key := range d.Need {
			in.Gates[key] = m.gate(key, down)
		}
		d, next = wave.Decide(in, c.m)
	}
	c.m = next
	m.obey(c, d)
	if c.next = m.now.Add(12*time.Second + m.upTo(6*time.Second)); !d.Soon && c.pending == "" {
		c.next = m.now.Add(48*time.Second + m.upTo(24*time.Second))
	}
}

func (m *model) obey(c *modelCluster, d wave.Decision) {
	if d.Reject != "" {
		m.reject(c, d)
	}
	if d.Good {
		c.in.Good = append([]string{c.in.Running}, slices.DeleteFunc(slices.Clone(c.in.Good), func(r string) bool { return r == c.in.Running })...)
	}
	if d.To == "" || d.Do != wave.Advance && d.Do != wave.RollBack {
		return
	}
	if d.Do == wave.Advance {
		if c.in.Running != "" && m.older(d.To, c.in.Running) {
			c.in.Older = map[string]bool{d.To: true}
			return
		}
		m.advances(c, d.To)
	}
	m.deliveries++
	c.pending, c.back = d.To, d.Do == wave.RollBack
	c.ready = m.now.Add(time.Second + m.upTo(4*time.Second))
	if m.one(m.slow) {
		c.ready = m.now.Add(m.upTo(3 * time.Minute))
	}
}

func (m *model) reject(c *modelCluster, d wave.Decision) {
	m.rejections++
	in := maps.Clone(c.in.Rejected)
	if in == nil {
		in = map[string]string{}
	}
	in[d.Reject] = d.Why
	c.in.Rejected, c.in.Good = in, slices.DeleteFunc(slices.Clone(c.in.Good), func(r string) bool { return r == d.Reject })
	c.rejected[d.Reject] = m.now
	if m.bad(d.Reject) < 0 && m.calm() && !m.cameLast(c, d.Reject) {
		m.t.Errorf("seed %d at %s: %s rejects %s, which does no harm: %s", m.seed, m.now.Sub(epoch), c.name, d.Reject, d.Why)
	}
}

// truly tells whether a gate fails by what is run.
func (m *model) truly(w int) bool {
	return slices.ContainsFunc(m.all, func(c *modelCluster) bool {
		bad := m.bad(c.runs)
		return bad >= 0 && c.wave >= bad && (c.wave == w || m.wide) && m.now.Sub(c.since) > m.symptom
	})
}

func (m *model) gate(key string, down bool) wave.Verdict {
	w := 0
	_, _ = fmt.Sscanf(key, "w%d/", &w)
	switch {
	case down || m.one(m.unknown):
		return wave.Unknown
	case m.truly(w) || m.one(m.wrongly):
		return wave.Fails
	}
	return wave.Holds
}
