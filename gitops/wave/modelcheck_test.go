package wave_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// cameLast tells whether a revision came after another that fails gates, and before
// that showed: nobody can know that it is not to blame. Of two that the first wave began
// with, both go.
func (m *model) cameLast(c *modelCluster, revision string) bool {
	if c.wave == 0 && revision == c.in.Running && slices.ContainsFunc(m.all, func(o *modelCluster) bool { return o.wave == 0 && m.bad(o.runs) >= 0 }) {
		return true
	}
	first := m.now
	for _, c := range m.all {
		for _, t := range c.told {
			if (t.runs == revision || t.pending == revision) && t.at.Before(first) {
				first = t.at
			}
		}
	}
	return slices.ContainsFunc(m.all, func(c *modelCluster) bool {
		since, fails := m.failing[m.waves[c.wave].Name]
		return m.bad(c.runs) >= 0 && m.older(c.runs, revision) && fails && first.Before(since.Add(wave.LingerPatience))
	})
}

// advances checks that no cluster overtakes, and that none takes what was rejected.
func (m *model) advances(c *modelCluster, to string) {
	at := m.now.Sub(epoch)
	for _, o := range m.all {
		if since, ok := o.ever[to]; o.wave < c.wave && (!ok || m.now.Sub(since) < m.waves[c.wave-1].Bake) {
			m.t.Errorf("seed %d at %s: %s takes %s, which %s runs since %v", m.seed, at, c.name, to, o.name, since)
		}
		// Who has forgotten what it heard while the rejecter is silent cannot know.
		if when, ok := o.rejected[to]; ok && o.up() && c.in.Running != "" && m.now.Sub(when) > m.lag+5*time.Minute+time.Minute {
			m.t.Errorf("seed %d at %s: %s takes %s, which %s rejected %s before", m.seed, at, c.name, to, o.name, m.now.Sub(when))
		}
	}
}

func (c *modelCluster) up() bool { return len(c.told) > 0 && c.told[len(c.told)-1].up }

// forgotten tells whether a loop that has lost its state runs what does harm, and has
// no way back: that is for its operator.
func (m *model) forgotten() bool {
	return slices.ContainsFunc(m.all, func(c *modelCluster) bool { return m.bad(c.runs) >= 0 && len(c.in.Good) == 0 })
}

// watch checks how long gates fail: until who makes them fail has returned.
func (m *model) watch() {
	for w := range m.waves {
		key := m.waves[w].Name
		if !m.truly(w) || m.forgotten() {
			delete(m.failing, key)
			delete(m.followed, key)
			continue
		}
		if _, ok := m.failing[key]; !ok {
			m.failing[key] = m.now
		}
		m.followed[key] = m.followed[key] || m.follows()
		if d := m.now.Sub(m.failing[key]); d > m.returns(m.followed[key]) {
			m.t.Errorf("seed %d at %s: a gate of wave %s fails for %s: %v", m.seed, m.now.Sub(epoch), key, d, m.runs())
		}
	}
}

// follows tells whether somebody has or gets what is newer than what fails a gate.
func (m *model) follows() bool {
	return slices.ContainsFunc(m.all, func(c *modelCluster) bool {
		return slices.ContainsFunc(m.all, func(o *modelCluster) bool {
			return m.bad(c.runs) >= 0 && (m.older(c.runs, o.runs) || o.pending != "" && m.older(c.runs, o.pending))
		})
	})
}

// calm tells whether news are fresh and nothing fails but by what is run.
func (m *model) calm() bool {
	return m.kills == 0 && m.slow == 0 && m.lag <= 15*time.Second && m.unknown == 0 && m.wrongly == 0 && m.downFor == 0
}

// returns bounds the time in which all have returned from what fails a gate: two
// answers, 20 seconds or news of a rejection, a slow turn of an earlier wave, a load.
func (m *model) returns(followed bool) time.Duration {
	d := 45*time.Second + 15*time.Second + 72*time.Second + 5*time.Second
	if followed {
		d += wave.Linger
	}
	if !m.calm() {
		d += 15*time.Minute + 2*m.lag + m.downFor
	}
	return d
}

func (m *model) runs() map[string]string {
	out := map[string]string{}
	for _, c := range m.all {
		out[c.name] = c.runs
	}
	return out
}

// With fresh news a gate that fails returns what makes it fail, in time, and nothing
// else is rejected, whatever else is on its way.
func TestModelFreshNews(t *testing.T) {
	for seed := range uint64(120) {
		m := newModel(t, seed, 1+int(seed%4), 1+int(seed/4%3))
		m.lag, m.wide = 15*time.Second, seed%2 == 0
		m.run(3*time.Hour, 8, 2*time.Hour)
		if m.deliveries == 0 {
			t.Errorf("seed %d: nothing was delivered", seed)
		}
		if t.Failed() {
			return
		}
	}
}

// Whatever each loop hears late, and not in order; whatever is killed, forgets, is slow,
// flaps or is down: none overtakes a wave, takes what was rejected longer ago than news
// take, or leaves what fails a gate running.
func TestModelOldInformation(t *testing.T) {
	for seed := range uint64(150) {
		m := newModel(t, seed, 1+int(seed%4), 1+int(seed/4%3))
		m.lag = m.upTo(5 * time.Minute)
		m.kills, m.slow, m.unknown, m.wrongly = m.rng.IntN(4), m.rng.IntN(30), m.rng.IntN(20), m.rng.IntN(2)
		m.downFrom, m.downFor = m.upTo(2*time.Hour), m.upTo(20*time.Minute)
		m.wide = seed%2 == 0
		m.run(3*time.Hour, 10, 2*time.Hour)
		if t.Failed() {
			return
		}
	}
}
