package rollouts

import (
	"fmt"
	"slices"
)

// addWaves puts clusters into their waves. Where no loop tells of waves, the
// metrics name them, and not their order.
func (a asked) addWaves(o *Overview, clusters map[string]*Cluster) {
	placed := map[string]bool{}
	put := func(w *Wave, name string) {
		if c := clusters[name]; c != nil && !placed[name] {
			placed[name] = true
			w.Clusters = append(w.Clusters, *c)
		}
	}
	for _, s := range a.waves {
		w := Wave{Name: s.Name, Bake: s.Bake, Gates: a.gates(s.Name), Clusters: []Cluster{}}
		for _, name := range s.Members {
			put(&w, name)
		}
		w.Bakes = a.bake(s.Name, o.Target)
		o.Waves = append(o.Waves, w)
	}
	for _, t := range a.told.Clusters {
		if placed[t.Cluster] {
			continue
		}
		i := slices.IndexFunc(o.Waves, func(w Wave) bool { return w.Name == t.Wave })
		if i < 0 {
			o.Waves = append(o.Waves, Wave{Name: t.Wave, Gates: []Gate{}, Clusters: []Cluster{}})
			i = len(o.Waves) - 1
		}
		put(&o.Waves[i], t.Cluster)
	}
}

// gates returns those of a wave, each as it was answered last.
func (a asked) gates(wave string) []Gate {
	out := []Gate{}
	for _, s := range a.statuses {
		for _, g := range s.Gates {
			if g.Wave != wave {
				continue
			}
			now := Gate{GateStatus: g}
			if !g.At.IsZero() {
				now.Cluster = s.Cluster
			}
			i := slices.IndexFunc(out, func(o Gate) bool { return o.Name == g.Name })
			switch {
			case i < 0:
				out = append(out, now)
			case now.At.After(out[i].At):
				out[i] = now
			}
		}
	}
	return out
}

// bake returns the time that a wave bakes a revision: the longest that anybody
// counts.
func (a asked) bake(wave, revision string) *Bake {
	var out *Bake
	for _, s := range a.statuses {
		for _, b := range s.Bakes {
			if b.Wave == wave && b.Revision == revision && (out == nil || b.Until.After(out.Until)) {
				out = &Bake{Revision: b.Revision, Since: b.Since, Until: b.Until}
			}
		}
	}
	return out
}

// judge says how far each wave is, and all of it.
func (o *Overview) judge() {
	why := ""
	for _, r := range o.Rejected {
		if r.Revision == o.Target {
			why = "cluster " + r.Cluster + " rejects " + short(r.Revision) + ": " + r.Why
		}
	}
	later := false // a cluster of a later wave runs it
	for i := len(o.Waves) - 1; i >= 0; i-- {
		w := &o.Waves[i]
		w.State = w.judge(o.Target, why != "", later || w.Bakes == nil || !o.Time.Before(w.Bakes.Until), later)
		if w.State != Baking {
			w.Bakes = nil
		}
		later = later || slices.ContainsFunc(w.Clusters, func(c Cluster) bool { return o.Target != "" && c.Running == o.Target })
	}
	o.State, o.Doing = o.sum(why)
}

// judge says how far a wave is with a revision. baked says that nobody counts its
// bake time any more, later that a later wave runs it.
func (w *Wave) judge(target string, rejected, baked, later bool) string {
	runs, begun, good := 0, false, true
	for _, c := range w.Clusters {
		begun = begun || c.Running == target || c.Pending == target
		if c.Running == target {
			runs++
		}
		good = good && (c.Loop != Answers || slices.Contains(c.Good, target))
	}
	switch {
	case target == "":
		return Unknown
	case rejected && begun:
		return RollingBack
	case rejected:
		return Rejected
	case runs == len(w.Clusters) && baked && (later || good):
		return Done
	case runs == len(w.Clusters):
		return Baking
	case begun:
		return RollingOut
	}
	return Waiting
}

// sum says what is to be known first.
func (o *Overview) sum(rejected string) (state, doing string) {
	has := func(states ...string) bool {
		return slices.ContainsFunc(o.Waves, func(w Wave) bool { return slices.Contains(states, w.State) })
	}
	failing := o.find(func(c Cluster) bool { return c.State == Failing })
	switch {
	case o.Target == "":
		return Unknown, "no control loop tells of a revision"
	case has(RollingBack):
		return RollingBack, rejected
	case len(o.Paused) > 0:
		return Paused, fmt.Sprintf("paused by %v", o.Paused)
	case failing != nil:
		return Failing, "cluster " + failing.Cluster + ": " + failing.Doing
	case len(o.Refused) > 0:
		return Refused, o.Refused[0].Message
	case rejected != "":
		return Rejected, rejected
	case !has(Waiting, RollingOut, Baking):
		return Idle, "all clusters run " + short(o.Target)
	}
	state = Waiting
	if has(RollingOut, Baking, Done) {
		state = RollingOut
	}
	return state, o.waitsFor()
}

// waitsFor is what the next to do something says.
func (o *Overview) waitsFor() string {
	for _, states := range [][]string{{RollingOut, RollingBack}, {Waiting}, {Idle, ""}} {
		c := o.find(func(c Cluster) bool {
			return slices.Contains(states, c.State) && c.Running != o.Target && c.Doing != ""
		})
		if c != nil {
			return c.Doing
		}
	}
	for _, w := range o.Waves {
		if w.State == Baking && w.Bakes != nil {
			return fmt.Sprintf("wave %q bakes %s until %s", w.Name, short(o.Target), w.Bakes.Until.UTC().Format("15:04:05"))
		}
	}
	return "revision " + short(o.Target) + " is on its way"
}

// find returns the first cluster, wave by wave.
func (o *Overview) find(f func(Cluster) bool) *Cluster {
	for _, w := range o.Waves {
		if i := slices.IndexFunc(w.Clusters, f); i >= 0 {
			return &w.Clusters[i]
		}
	}
	return nil
}

func short(revision string) string { return fmt.Sprintf("%.12s", revision) }

// annotate says what became of a commit.
func (o *Overview) annotate(c *Commit) {
	c.State, c.Newest, c.Good = "past", c.Revision == o.Target, o.good[c.Revision]
	for _, w := range o.Waves {
		for _, cl := range w.Clusters {
			if cl.Running == c.Revision {
				c.Clusters = append(c.Clusters, cl.Cluster)
			}
		}
	}
	slices.Sort(c.Clusters)
	for _, r := range o.Rejected {
		if r.Revision == c.Revision {
			c.Rejected = append(c.Rejected, r)
		}
	}
	for i := range o.Refused {
		if o.Refused[i].Revision == c.Revision {
			c.Refused = &o.Refused[i]
		}
	}
	switch {
	case c.Refused != nil:
		c.State = Refused
	case len(c.Rejected) > 0:
		c.State = Rejected
	case c.Newest && slices.ContainsFunc(o.Waves, func(w Wave) bool { return w.State == RollingOut || w.State == Baking || w.State == Done }) &&
		slices.ContainsFunc(o.Waves, func(w Wave) bool { return w.State != Done }):
		c.State = RollingOut
	case len(c.Clusters) > 0:
		c.State = "running"
	case c.Newest:
		c.State = Waiting
	}
}
