package wave

import (
	"fmt"
	"maps"
	"time"
)

// Fleet is what the tree tells of the clusters: all of it as Input.Fleet, or a part as
// Input.Heard.
type Fleet struct {
	// Clusters says which revision each cluster runs. A cluster that tells none
	// is missing; one that tells several has "".
	Clusters map[string]string
	// Moving says which revision is being delivered to a cluster, or returned to:
	// until that is done, Clusters has what ran there before.
	Moving map[string]string
	// Rejected says who rejects a revision, and why.
	Rejected map[string]string
	// Paused says who asks for a pause, "" for nobody.
	Paused string
}

// Input is all that a decision depends on, but for the Memory.
type Input struct {
	// Now is the loop's own clock.
	Now time.Time
	// Cluster is the loop's own.
	Cluster string
	// Waves are those of Effective.
	Waves []Wave
	// Newest is the revision that the followed reference names, "" if unknown.
	Newest string
	// Running is what the workload has confirmed to run, "" for nothing yet.
	Running string
	// Fresh says that nothing has ever run here, as far as anybody knows.
	Fresh bool
	// Good are the revisions that proved themselves here, newest first.
	Good []string
	// Rejected says of revisions why this cluster does not want them.
	Rejected map[string]string
	// Older are revisions known not to descend from Running.
	Older map[string]bool
	// Fleet is nil if the root could not be asked, FleetErr says why.
	Fleet    *Fleet
	FleetErr string
	// Heard is what a part of the tree tells while Fleet is nil, nil if nothing. Its
	// rejections count as any; nothing advances by it but where nothing ever ran: see
	// Fresh.
	Heard *Fleet
	// Pending is a revision that is being delivered here, "" for none. Then it is
	// only decided whether the gates of the own wave reject it, which they do if they
	// fail for Patience: what is being replaced may fail them for a moment.
	Pending  string
	Patience time.Duration
	// Gates are the answers to Decision.Need, by Gate key; nil before they were
	// asked.
	Gates map[string]Verdict
	// Paused, Promoted and Pinned are the operator's commands for this cluster.
	Paused           bool
	Promoted, Pinned string
}

// Memory is what a loop has to remember from decision to decision. It belongs
// to the state that survives a restart; a zero Memory is safe, and begins to
// bake anew.
type Memory struct {
	// Candidate was seen to run in all earlier waves since Since.
	Candidate string    `json:"candidate,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	// Loaded runs here since LoadedAt.
	Loaded   string    `json:"loaded,omitempty"`
	LoadedAt time.Time `json:"loadedAt,omitzero"`
	// Held says since when gates hold, Failed how often in a row they failed, and
	// Failing since when.
	Held    map[string]time.Time `json:"held,omitempty"`
	Failed  map[string]int       `json:"failed,omitempty"`
	Failing map[string]time.Time `json:"failing,omitempty"`
	// Watched runs here, was new, and has not been taken by the next wave yet. Proven
	// is when it proved itself.
	Watched string    `json:"watched,omitempty"`
	Proven  time.Time `json:"proven,omitzero"`
	// Disturbed is when another revision may last have been what fails gates: one from
	// whose delivery was returned to Loaded, or that follows in an earlier wave.
	Disturbed time.Time `json:"disturbed,omitzero"`
	// Seen says when revisions were first heard of in the own wave and earlier ones,
	// Moving since when clusters there have been on their way to one.
	Seen   map[string]time.Time `json:"seen,omitempty"`
	Moving map[string]time.Time `json:"moving,omitempty"`
}

// Return notes that a delivery has ended without success, so that the workload runs
// what it ran before, which has proved itself or not. What gates said meanwhile is of
// what was being delivered. What has not proved itself bakes anew.
func (m *Memory) Return(at time.Time, proven bool) {
	m.Failed, m.Failing = nil, nil
	if proven {
		m.Watched, m.Proven = "", time.Time{}
		return
	}
	m.LoadedAt, m.Disturbed = at, at
}

// Action is what to do.
type Action string

// The actions.
const (
	// Hold: nothing is to be done.
	Hold Action = "hold"
	// Wait: there is something, but not yet.
	Wait Action = "wait"
	// Advance to To.
	Advance Action = "advance"
	// RollBack to To; "" if there is nothing to go back to.
	RollBack Action = "rollback"
)

// Decision says what to do, and why.
type Decision struct {
	Do  Action
	To  string
	Why string
	// Until is the earliest time at which it may change, if that is known.
	Until time.Time
	// Reject is a revision that this cluster has to reject from now on.
	Reject string
	// Good says that Running has proved itself.
	Good bool
	// Soon says that the next decision should not wait for a long interval: this
	// cluster is part of a rollout, or its turn is near.
	Soon bool
	// Need are gates to be asked before Decide is called again with the same
	// input and memory. If it is not empty, all else is to be ignored.
	Need map[string]Gate
}

// FailAfter is how many answers in a row must say that a gate fails before a
// revision is rejected for it: one may be of the moment of a reload.
const FailAfter = 2

// Decide returns what to do, and what to remember.
func Decide(in Input, m Memory) (Decision, Memory) {
	m.Held, m.Failed, m.Failing = maps.Clone(m.Held), maps.Clone(m.Failed), maps.Clone(m.Failing)
	m.Seen, m.Moving = maps.Clone(m.Seen), maps.Clone(m.Moving)
	if m.Loaded != in.Running {
		m.Loaded, m.LoadedAt, m.Watched, m.Proven = in.Running, in.Now, "", time.Time{}
		m.Failed, m.Failing, m.Disturbed = nil, nil, time.Time{} // of what ran before
	}
	s := decider{in: in, m: &m}
	d := s.decide()
	if len(s.need) > 0 {
		d = Decision{Do: Wait, Need: s.need}
	}
	s.forget()
	return d, m
}

// decider is one decision in the making.
type decider struct {
	in   Input
	m    *Memory
	need map[string]Gate
	used map[string]bool // gates that were looked at
	// patience is how long a gate must have failed.
	patience time.Duration
	// stuck says that what runs here is bad, and that there is no way back.
	stuck bool
}

func (s *decider) decide() Decision {
	if s.in.Pending != "" {
		return s.underWay()
	}
	if d, ok := s.commanded(); ok {
		return d
	}
	if why, bad := s.bad(s.in.Running); bad && s.in.Running != "" && s.in.Promoted != s.in.Running {
		return s.away(why)
	}
	i := find(s.in.Waves, s.in.Cluster)
	if i < 0 {
		return Decision{Do: Wait, Why: fmt.Sprintf("cluster %q is in no wave", s.in.Cluster)}
	}
	good, blamed, failed := s.watch(i)
	if failed != "" && blamed == s.in.Running {
		return s.back(blamed, failed)
	}
	d := s.onward(i)
	if d.Good = good; failed != "" {
		d = Decision{Do: Wait, Why: failed, Reject: blamed, Good: good}
	}
	d.Soon = d.Soon || s.m.Watched != ""
	return d
}

// underWay decides while a revision is being delivered.
func (s *decider) underWay() Decision {
	d := Decision{Do: Wait, Why: "revision " + short(s.in.Pending) + " is being delivered", Soon: true}
	i := find(s.in.Waves, s.in.Cluster)
	if i < 0 {
		return d
	}
	s.patience = s.in.Patience
	if _, failed := s.gates(s.in.Waves[i]); failed != "" {
		d.Do, d.Reject, d.Why = RollBack, s.in.Pending, failed+" while it is delivered"
	}
	return d
}

// away leaves what runs here and is rejected: back to a good revision, or where
// there is none, as for the first of a planet, on to a newer one.
func (s *decider) away(why string) Decision {
	d := s.back("", why)
	i := find(s.in.Waves, s.in.Cluster)
	if d.To != "" || i < 0 {
		return d
	}
	s.stuck = true
	next := s.onward(i)
	if next.Do != Advance {
		next.Why, next.Soon = d.Why+"; "+next.Why, true
	}
	return next
}

// commanded obeys the operator.
func (s *decider) commanded() (Decision, bool) {
	switch {
	case s.in.Pinned != "" && s.in.Pinned != s.in.Running:
		return Decision{Do: RollBack, To: s.in.Pinned, Why: "rolled back by command", Soon: true}, true
	case s.in.Pinned != "":
		return Decision{Do: Hold, Why: "rolled back by command: resume to go on"}, true
	case s.in.Promoted != "" && s.in.Promoted != s.in.Running:
		return Decision{Do: Advance, To: s.in.Promoted, Why: "promoted by command", Soon: true}, true
	}
	return Decision{}, false
}

// bad says who rejects a revision and why.
func (s *decider) bad(revision string) (string, bool) {
	if why, ok := s.in.Rejected[revision]; ok {
		return why, true
	}
	for _, f := range []*Fleet{s.in.Fleet, s.in.Heard} {
		if f != nil && f.Rejected[revision] != "" {
			return f.Rejected[revision], true
		}
	}
	return "", false
}

// back returns to the newest good revision that nobody rejects.
func (s *decider) back(reject, why string) Decision {
	d := Decision{Do: RollBack, Why: why, Reject: reject, Soon: true}
	for _, r := range s.in.Good {
		if _, bad := s.bad(r); !bad && r != s.in.Running && r != reject {
			d.To = r
			return d
		}
	}
	d.Why += "; there is no earlier good revision to return to"
	return d
}

// gates tells whether all gates of a wave have held for as long as they should,
// and which failed.
func (s *decider) gates(w Wave) (holding bool, failed string) {
	holding = true
	for _, g := range w.Gates {
		key := w.Name + "/" + g.Name
		if s.used == nil {
			s.used = map[string]bool{}
		}
		first := !s.used[key]
		s.used[key] = true
		v, asked := s.in.Gates[key]
		if !asked {
			if s.need == nil {
				s.need = map[string]Gate{}
			}
			s.need[key] = g
			holding = false
			continue
		}
		if first {
			s.note(key, v)
		}
		since, held := s.m.Held[key]
		if !held || s.in.Now.Sub(since) < g.For {
			holding = false
		}
		if s.m.Failed[key] >= FailAfter && s.in.Now.Sub(s.m.Failing[key]) >= s.patience && failed == "" {
			failed = failing(g, w)
		}
	}
	return holding, failed
}

func failing(g Gate, w Wave) string { return fmt.Sprintf("gate %q of wave %q fails", g.Name, w.Name) }

// note remembers an answer.
func (s *decider) note(key string, v Verdict) {
	switch v {
	case Holds:
		delete(s.m.Failed, key)
		delete(s.m.Failing, key)
		if _, ok := s.m.Held[key]; !ok {
			if s.m.Held == nil {
				s.m.Held = map[string]time.Time{}
			}
			s.m.Held[key] = s.in.Now
		}
	case Fails:
		delete(s.m.Held, key)
		if s.m.Failed == nil {
			s.m.Failed = map[string]int{}
		}
		if s.m.Failing == nil {
			s.m.Failing = map[string]time.Time{}
		}
		if s.m.Failed[key]++; s.m.Failed[key] == 1 {
			s.m.Failing[key] = s.in.Now
		}
	default:
		// Not known to have held all the time; what failed before may still.
		delete(s.m.Held, key)
	}
}

// forget drops what was remembered of gates that were not looked at: their
// answers would be of another time.
func (s *decider) forget() {
	for key := range s.m.Held {
		if !s.used[key] {
			delete(s.m.Held, key)
		}
	}
	for key := range s.m.Failed {
		if !s.used[key] {
			delete(s.m.Failed, key)
			delete(s.m.Failing, key)
		}
	}
}
