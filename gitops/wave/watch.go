package wave

import (
	"slices"
	"time"
)

// A revision that has proved itself is watched until the next wave has taken it, for
// the time from a gate's failing to its being seen; that of the last wave for Linger,
// and none for longer than WatchLimit. Until a gate has failed for LingerPatience, it
// may be a newer revision in an earlier wave that fails it, of which the fleet does
// not tell yet. It must have failed for Linger, whether that has proved itself or not,
// where another revision may be what fails it: see Memory.Disturbed.
const (
	Linger         = 5 * time.Minute
	LingerPatience = 45 * time.Second
	WatchLimit     = 24 * time.Hour
)

// watch asks the gates of the own wave, i, while what runs is new. It is good when
// the wave's bake time is over and all gates hold, and watched for a while more: who
// takes it next has asked them before they may have failed.
func (s *decider) watch(i int) (good bool, failed string) {
	w := s.in.Waves[i]
	proven := slices.Contains(s.in.Good, s.in.Running)
	if s.in.Running != "" && !proven {
		s.m.Watched = s.in.Running
	}
	if s.m.Watched != "" && proven && s.taken(i) {
		s.m.Watched, s.m.Proven = "", time.Time{}
	}
	if s.m.Watched == "" {
		return false, ""
	}
	if s.following(i) {
		s.m.Disturbed = s.in.Now
	}
	if proven && !s.leads(i) {
		return false, ""
	}
	if s.in.Now.Sub(s.m.Disturbed) < Linger {
		s.patience = Linger
	} else if proven {
		s.patience = LingerPatience
	}
	defer func() { s.patience = 0 }()
	holding, why := s.gates(w)
	if s.in.Promoted == s.in.Running {
		why = "" // the operator knows
	}
	if good = !proven && holding && s.in.Now.Sub(s.m.LoadedAt) >= w.Bake; good {
		s.m.Proven = s.in.Now
	}
	return good, why
}

// leads tells whether nobody in wave i or an earlier one runs another revision, or is
// on its way from one to another, as far as is heard. Somebody who does may have a
// newer one, and that may be what fails a gate: it is theirs to reject, not the one
// that has proved itself.
func (s *decider) leads(i int) bool {
	fleet := s.told()
	if fleet == nil {
		return false
	}
	return !s.somebody(i, func(c string) bool {
		r, heard := fleet.Clusters[c]
		_, moves := fleet.Moving[c]
		return heard && r != s.in.Running || moves
	})
}

// following tells whether somebody in wave i or an earlier one has, gets or gives up
// a revision that is newer than what runs here: the next rollout begins when the last
// cluster has taken this one. What proved itself here is older. In the first wave
// nobody follows: there two that began with different revisions agree on one.
func (s *decider) following(i int) bool {
	fleet := s.told()
	if fleet == nil || s.before(i) < 0 {
		return false
	}
	newer := func(r string) bool { return r != "" && r != s.in.Running && !slices.Contains(s.in.Good, r) }
	return s.somebody(i, func(c string) bool {
		to, moves := fleet.Moving[c]
		return newer(fleet.Clusters[c]) || newer(to) || moves && fleet.Clusters[c] == s.in.Running
	})
}

// somebody tells whether another cluster of wave i or an earlier one does something.
func (s *decider) somebody(i int, does func(cluster string) bool) bool {
	return slices.ContainsFunc(s.in.Waves[:i+1], func(w Wave) bool {
		return slices.ContainsFunc(w.Clusters, func(c string) bool { return c != s.in.Cluster && does(c) })
	})
}

// told is what the whole fleet tells, or what there is of it; nil for nothing.
func (s *decider) told() *Fleet {
	if s.in.Fleet == nil {
		return s.in.Heard
	}
	return s.in.Fleet
}

// taken tells whether others watch what has proved itself in wave i, or nobody has
// to any more.
func (s *decider) taken(i int) bool {
	since := s.in.Now.Sub(s.m.Proven)
	next := slices.IndexFunc(s.in.Waves[i+1:], func(w Wave) bool { return len(w.Clusters) > 0 })
	if next < 0 {
		return since >= Linger
	}
	fleet := s.told()
	return since >= WatchLimit || fleet != nil && !slices.ContainsFunc(s.in.Waves[i+1+next].Clusters, func(c string) bool {
		return fleet.Clusters[c] != s.in.Running
	})
}
