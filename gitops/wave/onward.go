package wave

import (
	"fmt"
	"slices"
)

// onward decides whether the cluster, of wave i, takes another revision.
func (s *decider) onward(i int) Decision {
	if s.in.Fleet == nil {
		s.m.Candidate = "" // what nobody saw does not count as baked
		if s.in.Running != "" && s.in.Running == s.in.Newest {
			return Decision{Do: Hold, Why: "runs the newest revision"}
		}
		return s.begin()
	}
	var d Decision
	var to string
	if i == first(s.in.Waves) {
		to, d = s.start(i)
	} else {
		to, d = s.follow(i)
	}
	if to == "" {
		s.m.Candidate = ""
		return d
	}
	if why, bad := s.bad(to); bad {
		s.m.Candidate = ""
		return Decision{Do: Wait, Why: fmt.Sprintf("revision %s is rejected: %s", short(to), why)}
	}
	if s.in.Older[to] {
		s.m.Candidate = ""
		return Decision{Do: Wait, Why: fmt.Sprintf("revision %s does not descend from %s, which runs here", short(to), short(s.in.Running))}
	}
	return s.turn(i, to)
}

// begin decides without a root. A cluster in which nothing ever ran has nothing
// to lose, and the first of a planet cannot wait for a root that answers: that
// needs the first leaf, which needs a configuration.
//
// A cluster that is made anew is missing from the tree itself, so that the answer
// is partial until it has begun. What the others tell then says what to begin with:
// the repository's newest may be what they have rejected.
func (s *decider) begin() Decision {
	wait := Decision{Do: Wait, Why: "the root cannot be asked: " + s.in.FleetErr}
	if !s.in.Fresh || s.in.Running != "" || s.in.Paused || s.in.Heard != nil && s.in.Heard.Paused != "" {
		return wait
	}
	to, why := s.in.Newest, "nothing has run here yet, and the root cannot be asked: "
	if r := s.furthest(); r != "" {
		to, why = r, "nothing has run here yet, others run this, and the root has no whole answer: "
	}
	if _, bad := s.bad(to); bad || to == "" {
		return wait
	}
	return Decision{Do: Advance, To: to, Soon: true, Why: why + s.in.FleetErr}
}

// furthest returns the revision that was heard of in the latest wave, and which
// nobody who was heard rejects: of what runs it has proved itself the longest. Of
// several it is the one of most clusters.
func (s *decider) furthest() string {
	if s.in.Heard == nil {
		return ""
	}
	for _, w := range slices.Backward(s.in.Waves) {
		count, to := map[string]int{}, ""
		for _, c := range w.Clusters {
			r := s.in.Heard.Clusters[c]
			if _, bad := s.bad(r); bad || r == "" || c == s.in.Cluster {
				continue
			}
			if count[r]++; to == "" || count[r] > count[to] || count[r] == count[to] && r < to {
				to = r
			}
		}
		if to != "" {
			return to
		}
	}
	return ""
}

// start returns the revision that the first wave should run.
func (s *decider) start(i int) (string, Decision) {
	first, later := s.running(i)
	if why := s.unclear(); why != "" {
		return "", Decision{Do: Wait, Why: why, Soon: true}
	}
	only := len(s.in.Waves[i].Clusters) == s.clusters()
	for _, r := range first {
		// A neighbour has begun with a revision: that is the rollout.
		if !only && r != s.in.Running && !slices.Contains(later, r) && !s.in.Older[r] {
			if _, bad := s.bad(r); !bad {
				if slices.Contains(first, s.in.Newest) && s.in.Newest != s.in.Running && !slices.Contains(later, s.in.Newest) {
					r = s.in.Newest
				}
				return r, Decision{}
			}
		}
	}
	if s.in.Newest == s.in.Running || s.in.Newest == "" {
		return "", Decision{Do: Hold, Why: "runs the newest revision", Soon: s.inFlight(later)}
	}
	if !only {
		if other := s.others(first, later); len(other) > 1 {
			return "", Decision{Do: Wait, Soon: s.inFlight(later), Why: fmt.Sprintf("a rollout is under way: clusters run %s and %s", short(other[0]), short(other[1]))}
		}
	}
	return s.in.Newest, Decision{}
}

// others returns the revisions other than the newest that clusters run, this
// one included, rejected ones left out.
func (s *decider) others(sets ...[]string) []string {
	var out []string
	for _, r := range append(slices.Concat(sets...), s.in.Running) {
		if _, bad := s.bad(r); !bad && r != "" && r != s.in.Newest && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

// inFlight tells whether later waves have yet to take what runs here.
func (s *decider) inFlight(later []string) bool {
	return s.in.Running != "" && slices.ContainsFunc(later, func(r string) bool { return r != s.in.Running })
}

// running returns the revisions that run in wave i, this cluster left out, and
// in later ones, each once and sorted.
func (s *decider) running(i int) (here, later []string) {
	for j := i; j < len(s.in.Waves); j++ {
		to := &later
		if j == i {
			to = &here
		}
		for _, c := range s.in.Waves[j].Clusters {
			if r := s.in.Fleet.Clusters[c]; r != "" && c != s.in.Cluster && !slices.Contains(*to, r) {
				*to = append(*to, r)
			}
		}
	}
	slices.Sort(here)
	slices.Sort(later)
	return here, later
}

// unclear names a cluster that tells of several revisions.
func (s *decider) unclear() string {
	for _, w := range s.in.Waves {
		for _, c := range w.Clusters {
			if r, ok := s.in.Fleet.Clusters[c]; ok && r == "" && c != s.in.Cluster {
				return fmt.Sprintf("cluster %q of wave %q tells of several revisions at once", c, w.Name)
			}
		}
	}
	return ""
}

func (s *decider) clusters() int {
	n := 0
	for _, w := range s.in.Waves {
		n += len(w.Clusters)
	}
	return n
}

// follow returns the revision that all earlier waves run.
func (s *decider) follow(i int) (string, Decision) {
	to := ""
	for j := i - 1; j >= 0; j-- { // the one before is the likeliest to differ
		for _, c := range s.in.Waves[j].Clusters {
			r := s.in.Fleet.Clusters[c]
			if to == "" {
				to = r
			}
			if r == "" || r != to {
				return "", s.notYet(j, c, r, to)
			}
		}
	}
	if to == s.in.Running {
		d := Decision{Do: Hold, Why: "runs what the earlier waves run", Soon: s.inFlight(s.after(i))}
		if s.in.Newest != "" && s.in.Newest != to {
			d.Do, d.Why = Wait, fmt.Sprintf("no earlier wave runs %s yet", short(s.in.Newest))
		}
		return "", d
	}
	return to, Decision{}
}

func (s *decider) after(i int) []string {
	here, later := s.running(i)
	return append(here, later...)
}

func (s *decider) notYet(j int, cluster, runs, to string) Decision {
	d := Decision{Do: Wait}
	switch {
	case runs == "":
		d.Why = fmt.Sprintf("cluster %q of wave %q does not tell which revision it runs", cluster, s.in.Waves[j].Name)
	default:
		d.Why = fmt.Sprintf("cluster %q of wave %q runs %s, others %s", cluster, s.in.Waves[j].Name, short(runs), short(to))
	}
	// Who runs what is on its way, or was left behind, has to hear of a rejection.
	d.Soon = s.in.Running != "" && !slices.Contains(s.in.Good, s.in.Running)
	return d
}

// turn lets the cluster take a revision when the wave before has baked and the
// gates hold: those of that wave, and those of its own, for a gate that fails
// before could not tell a bad revision from a good one.
func (s *decider) turn(i int, to string) Decision {
	if s.m.Candidate != to {
		s.m.Candidate, s.m.Since = to, s.in.Now
	}
	if s.in.Paused || s.in.Fleet.Paused != "" {
		by := "by command"
		if s.in.Fleet.Paused != "" {
			by = "by cluster " + s.in.Fleet.Paused
		}
		return Decision{Do: Wait, Why: "paused " + by, Soon: true}
	}
	var asked []Wave
	if !s.stuck { // else the own gates fail for what is to be replaced
		asked = append(asked, s.in.Waves[i])
	}
	if before := s.before(i); before >= 0 {
		w := s.in.Waves[before]
		if until := s.m.Since.Add(w.Bake); s.in.Now.Before(until) {
			return Decision{Do: Wait, Until: until, Soon: true, Why: fmt.Sprintf("wave %q bakes %s until %s", w.Name, short(to), until.UTC().Format("15:04:05"))}
		}
		asked = append(asked, w)
	}
	for _, w := range asked {
		if holding, failed := s.gates(w); !holding {
			why := fmt.Sprintf("gates of wave %q have not held for long enough, or cannot be asked", w.Name)
			if failed != "" {
				why = failed + " already, before " + short(to) + " is taken"
			}
			if len(s.need) == 0 {
				return Decision{Do: Wait, Why: why, Soon: true}
			}
		}
	}
	return Decision{Do: Advance, To: to, Why: "its turn", Soon: true}
}

// before returns the nearest earlier wave that has clusters, or -1.
func (s *decider) before(i int) int {
	for j := i - 1; j >= 0; j-- {
		if len(s.in.Waves[j].Clusters) > 0 {
			return j
		}
	}
	return -1
}

func short(revision string) string {
	if len(revision) > 12 {
		return revision[:12]
	}
	if revision == "" {
		return "nothing"
	}
	return revision
}
