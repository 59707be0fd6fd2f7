package wave

import (
	"maps"
	"slices"
	"time"
)

// A revision that has proved itself is watched until the next wave has taken it, for
// the time from a gate's failing to its being seen; that of the last wave for Linger,
// and none for longer than WatchLimit. Until a gate has failed for LingerPatience, it
// may be a newer revision in an earlier wave that fails it, of which the fleet does
// not tell yet. It must have failed for Linger, whether that has proved itself or not,
// where another revision may be what fails it: see Memory.Disturbed.
//
// What has not proved itself is given FollowPatience where all have taken it, which is
// when the next rollout may begin, so that news of that come first. Who has been on the
// way to a revision for MovingLimit is stuck.
const (
	Linger         = 5 * time.Minute
	LingerPatience = 45 * time.Second
	FollowPatience = 20 * time.Second
	MovingLimit    = 45 * time.Minute
	WatchLimit     = 24 * time.Hour
)

// watch asks the gates of the own wave, i, while what runs is new. It is good when
// the wave's bake time is over and all gates hold, and watched for a while more: who
// takes it next has asked them before they may have failed. Of a gate that fails, it
// says why, and which revision is to blame: the one that came last.
func (s *decider) watch(i int) (good bool, blamed, failed string) {
	w := s.in.Waves[i]
	s.notice(i)
	proven := slices.Contains(s.in.Good, s.in.Running)
	if s.in.Running != "" && !proven {
		s.m.Watched = s.in.Running
	}
	if s.m.Watched != "" && proven && s.taken(i) {
		s.m.Watched, s.m.Proven = "", time.Time{}
	}
	if s.m.Watched == "" {
		return false, "", ""
	}
	if s.following(i) {
		s.m.Disturbed = s.in.Now
	}
	if proven && !s.leads(i) {
		return false, "", ""
	}
	s.patience = s.waits(i, proven)
	defer func() { s.patience = 0 }()
	holding, why := s.gates(w)
	switch {
	case s.in.Promoted == s.in.Running:
		why = "" // the operator knows
	case why != "":
		blamed = s.in.Running
	case !proven:
		blamed, why = s.follower(i)
	}
	if good = !proven && holding && s.in.Now.Sub(s.m.LoadedAt) >= w.Bake; good {
		s.m.Proven = s.in.Now
	}
	return good, blamed, why
}

// waits is how long a gate must have failed before what runs here is blamed.
func (s *decider) waits(i int, proven bool) time.Duration {
	switch {
	case s.in.Now.Sub(s.m.Disturbed) < Linger:
		return Linger
	case proven:
		return LingerPatience
	case s.before(i) >= 0 && s.complete():
		return FollowPatience
	}
	return 0
}

// leads tells whether nobody in wave i or an earlier one runs a revision that may be
// newer, or is on its way from one to another, as far as is heard. That may be what
// fails a gate: it is theirs to reject, not the one that has proved itself.
func (s *decider) leads(i int) bool {
	fleet := s.told()
	if fleet == nil {
		return false
	}
	return !s.somebody(i, func(c string) bool {
		r, heard := fleet.Clusters[c]
		return heard && (r == "" || s.newer(r)) || s.moves(fleet, c)
	})
}

// following tells whether somebody in wave i or an earlier one has, gets or gives up
// a revision that is newer than what runs here: the next rollout begins when the last
// cluster has taken this one. In the first wave nobody follows: there two that began
// with different revisions agree on one.
func (s *decider) following(i int) bool {
	fleet := s.told()
	if fleet == nil || s.before(i) < 0 {
		return false
	}
	return s.somebody(i, func(c string) bool {
		to, moves := fleet.Moving[c], s.moves(fleet, c)
		away := fleet.Clusters[c] == s.in.Running && (to == "" || to == s.in.Running)
		return s.newer(fleet.Clusters[c]) || moves && (s.newer(to) || away)
	})
}

// follower returns the revision that follows, if gates of wave i fail, and it came
// after what runs here and before they failed, or not longer after than news are late.
// Its own wave has other gates, and may not see what it does. While it is being
// delivered they must fail for longer, for what is being replaced may fail them.
func (s *decider) follower(i int) (revision, why string) {
	fleet, w := s.told(), s.in.Waves[i]
	if fleet == nil || s.before(i) < 0 {
		return "", ""
	}
	for _, g := range w.Gates {
		key := w.Name + "/" + g.Name
		since := s.m.Failing[key]
		if s.m.Failed[key] < FailAfter {
			continue
		}
		blame := func(r string, patience time.Duration) {
			seen := s.m.Seen[r]
			_, bad := s.bad(r)
			if s.newer(r) && !bad && s.in.Now.Sub(since) >= patience && !seen.After(since.Add(LingerPatience)) && (revision == "" || seen.After(s.m.Seen[revision])) {
				revision, why = r, failing(g, w)+" since "+short(r)+" follows "+short(s.in.Running)
			}
		}
		s.somebody(i, func(c string) bool {
			blame(fleet.Clusters[c], LingerPatience)
			if s.moves(fleet, c) {
				blame(fleet.Moving[c], 2*LingerPatience)
			}
			return false
		})
	}
	return revision, why
}

// newer tells whether a revision may be newer than what runs here: not one that
// proved itself here, nor one that others had before this one was loaded.
func (s *decider) newer(r string) bool {
	if r == "" || r == s.in.Running || slices.Contains(s.in.Good, r) {
		return false
	}
	seen, ok := s.m.Seen[r]
	return r == s.in.Newest || !ok || !seen.Before(s.m.LoadedAt)
}

// moves tells whether a cluster is on its way to a revision, and has not been for
// longer than that takes: who is stuck on it disturbs nobody any more.
func (s *decider) moves(fleet *Fleet, cluster string) bool {
	to, moves := fleet.Moving[cluster]
	since, ok := s.m.Moving[to]
	return moves && ok && s.in.Now.Sub(since) < MovingLimit
}

// complete tells whether the rollout of what runs here is over, as far as is heard:
// all run it, so that the first wave may have begun with the next.
func (s *decider) complete() bool {
	fleet := s.told()
	return fleet != nil && !s.somebody(len(s.in.Waves)-1, func(c string) bool {
		r := fleet.Clusters[c]
		_, bad := s.bad(r)
		return r != "" && r != s.in.Running && !bad
	})
}

// remembered bounds Memory.Seen and Memory.Moving: there are a few at a time.
const remembered = 16

// notice remembers when revisions were first heard of in wave i and earlier ones, and
// since when somebody there is on the way to one.
func (s *decider) notice(i int) {
	fleet := s.told()
	if fleet == nil {
		return
	}
	moving, last := map[string]time.Time{}, ""
	s.somebody(i, func(c string) bool {
		to, moves := fleet.Moving[c]
		if moves && len(moving) < remembered {
			moving[to] = s.in.Now
			if since, ok := s.m.Moving[to]; ok {
				moving[to] = since
			}
		}
		if r := fleet.Clusters[c]; r != last { // most run the same
			s.see(r)
			last = r
		}
		s.see(to)
		return false
	})
	s.m.Moving = moving
}

// see remembers a revision. Where there are too many, it forgets the oldest.
func (s *decider) see(r string) {
	if _, ok := s.m.Seen[r]; ok || r == "" {
		return
	}
	if len(s.m.Seen) >= remembered {
		delete(s.m.Seen, slices.MinFunc(slices.Sorted(maps.Keys(s.m.Seen)), func(a, b string) int { return s.m.Seen[a].Compare(s.m.Seen[b]) }))
	}
	if s.m.Seen == nil {
		s.m.Seen = map[string]time.Time{}
	}
	s.m.Seen[r] = s.in.Now
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
		// What fails already is waited for: by then it may have been disturbed.
		return since >= 2*Linger || since >= Linger && len(s.m.Failed) == 0
	}
	fleet := s.told()
	return since >= WatchLimit || fleet != nil && !slices.ContainsFunc(s.in.Waves[i+1+next].Clusters, func(c string) bool {
		return fleet.Clusters[c] != s.in.Running
	})
}
