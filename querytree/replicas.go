package querytree

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"
)

// replicaSet is a Child made of the replicas of one shard, for one query: to
// the planner they are a single member. Exactly one of them answers, that which
// covers the query's time best; if none covers it, their raw series are merged
// before anything is evaluated. A replica that fails is replaced by another, as
// long as nothing that it said was handed out: one evaluation never mixes what
// two replicas make of the same series at the same time.
//
// It is safe for concurrent use, as all Children are.
type replicaSet struct {
	m        *Mixer
	desc     Description
	span     Interval
	replicas []*replica
	// lost takes the replicas that failed, over all attempts at the query; it
	// is nil if there is one attempt only.
	lost *lost

	mu   sync.Mutex
	view *view
}

var _ Child = (*replicaSet)(nil)

// switched says that a replica failed after answers of it were handed out: the
// query has to be evaluated again, without that replica.
type switched struct {
	name string
	err  error
}

func (e *switched) Error() string {
	return fmt.Sprintf("replica %q failed in the middle of a query: %v", e.name, e.err)
}

// joinReplicas puts the replicas of each set together into one member, for
// samples between mint and maxt. Replicas that are lost are not asked.
func (m *Mixer) joinReplicas(members []Member, mint, maxt int64, gone *lost) []Member {
	if !slices.ContainsFunc(members, func(m Member) bool { return m.Description.Replica != "" }) {
		m.latencies.keep(nil)
		return members
	}
	out := make([]Member, 0, len(members))
	var order []string
	sets := map[string][]Member{}
	names := map[string]bool{}
	for _, member := range members {
		if member.Description.Replica == "" {
			out = append(out, member)
			continue
		}
		key := setName(member.Description.Identity)
		if sets[key] == nil {
			order = append(order, key)
		}
		sets[key] = append(sets[key], member)
		names[member.Description.Name()] = true
	}
	for _, key := range order {
		if set := sets[key]; len(set) == 1 {
			out = append(out, set[0])
		} else {
			out = append(out, m.newReplicaSet(set, Interval{mint, maxt}, gone).member())
		}
	}
	m.latencies.keep(names)
	return out
}

// setName names a replica set.
func setName(id Identity) string {
	id.Replica = ""
	return id.Tier + " " + id.Name()
}

func (m *Mixer) newReplicaSet(members []Member, span Interval, gone *lost) *replicaSet {
	s := &replicaSet{m: m, span: span, lost: gone}
	for _, member := range members {
		r := &replica{Member: member, latency: m.latencies.of(member.Description.Name())}
		if r.latency == 0 {
			r.latency = member.RTT
		}
		if gone != nil {
			r.failed = gone.replica(member.Description.Name())
		}
		s.replicas = append(s.replicas, r)
	}
	findHoles(s.replicas, span)
	s.view = newView(s.replicas, span, nil)
	s.desc = s.describe()
	return s
}

// describe returns the description of the replica that is to answer, with what
// holds for all of them.
func (s *replicaSet) describe() Description {
	first := s.replicas[0]
	if len(s.view.order) > 0 {
		first = s.view.order[0]
	}
	d := first.Description
	d.Gaps = nil
	owns := false
	for _, r := range s.replicas {
		o := r.Description
		d.Mint, d.Maxt, d.Earliest = min(d.Mint, o.Mint), max(d.Maxt, o.Maxt), min(d.Earliest, o.Earliest)
		if !slices.Equal(d.ShardKey, o.ShardKey) {
			d.ShardKey = nil
		}
		if r.live() {
			d.Features = slices.DeleteFunc(slices.Clone(d.Features), func(f string) bool { return f != FeatureOwn && !o.Has(f) })
			owns = owns || o.Has(FeatureOwn)
		}
	}
	// What one of them holds itself must not be ruled out since another does not.
	if owns && !d.Has(FeatureOwn) {
		d.Features = append(slices.Clone(d.Features), FeatureOwn)
	}
	return d
}

// member returns the set as the planner sees it. It counts as stale unless the
// hints of all replicas that the answer may come from are fresh: what is to be
// told of as missing must not be pruned either.
func (s *replicaSet) member() Member {
	m := Member{Child: s, Description: s.desc, Connected: len(s.view.order) > 0}
	m.Stale = len(s.view.gone) > 0
	for _, r := range s.hinting() {
		m.Stale = m.Stale || r.Stale
	}
	return m
}

// hinting returns the replicas whose hints must rule out a series for the set
// not to have it.
func (s *replicaSet) hinting() []*replica {
	if len(s.view.order) == 0 || len(s.view.fill) > 0 {
		return s.view.order
	}
	return s.view.order[:1]
}

// setPruner asks the hints of all replicas that an answer of a set may come
// from.
type setPruner struct {
	Pruner
	sets map[string]*replicaSet
}

// overReplicas makes a pruner of children one of members.
func overReplicas(p Pruner, members []Member) Pruner {
	if p == nil {
		return nil
	}
	sets := map[string]*replicaSet{}
	for _, m := range members {
		if s, ok := m.Child.(*replicaSet); ok {
			sets[m.name()] = s
		}
	}
	if len(sets) == 0 {
		return p
	}
	return setPruner{p, sets}
}

// RulesOutAll implements Pruner.
func (p setPruner) RulesOutAll(children []string, ms []*labels.Matcher, mint, maxt int64) []bool {
	var names []string
	var owner []int
	for i, child := range children {
		set := p.sets[child]
		if set == nil {
			names, owner = append(names, child), append(owner, i)
			continue
		}
		for _, r := range set.hinting() {
			names, owner = append(names, r.Description.Name()), append(owner, i)
		}
	}
	out := make([]bool, len(children))
	for _, i := range owner {
		out[i] = true
	}
	for k, ruledOut := range p.Pruner.RulesOutAll(names, ms, mint, maxt) {
		out[owner[k]] = out[owner[k]] && ruledOut
	}
	return out
}

// Describe implements Child.
func (s *replicaSet) Describe() Description { return s.desc }

// current returns the view to ask under, or an error if no replica is left.
func (s *replicaSet) current() (*view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view, s.nobody(s.view)
}

// nobody returns why there is no replica to ask, if so.
func (s *replicaSet) nobody(v *view) error {
	if len(v.order) > 0 {
		return nil
	}
	var errs []string
	for _, r := range s.replicas {
		why := "not connected"
		if r.failed != nil {
			why = r.failed.Error()
		}
		errs = append(errs, fmt.Sprintf("%q: %s", r.Description.Name(), why))
	}
	err := fmt.Errorf("%w: no replica is left: %s", ErrUnavailable, strings.Join(errs, "; "))
	for _, r := range s.replicas {
		if errors.Is(r.failed, ErrLate) {
			return fmt.Errorf("%w (%w)", err, ErrLate)
		}
	}
	return err
}

// accept notes that an answer under a view is handed out, unless the set has
// moved on.
func (s *replicaSet) accept(v *view) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != v {
		return false
	}
	v.used = true
	return true
}

// settled reports whether answers under a view were handed out.
func (s *replicaSet) settled(v *view) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return v.used
}

// prefer moves on to a view in which r comes first, if nothing was handed out
// under v yet.
func (s *replicaSet) prefer(v *view, r *replica) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != v || v.used {
		return false
	}
	s.view = newView(s.replicas, s.span, r)
	s.view.used = true
	close(v.stale)
	return true
}

// failure is what a replica failed with.
type failure struct {
	*replica
	err error
}

// fail notes that replicas failed under a view. It returns an error if the query
// cannot go on without them.
func (s *replicaSet) fail(v *view, failures ...failure) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		for _, f := range failures {
			s.lost.addReplica(f.Description.Name(), f.err)
		}
	}
	if s.view != v || len(failures) == 0 {
		return nil
	}
	if v.used {
		return s.midway(failures[0].replica, failures[0].err)
	}
	for _, f := range failures {
		f.failed = f.err
	}
	s.view = newView(s.replicas, s.span, nil)
	close(v.stale)
	return nil
}

// midway is the error of a replica that failed after answers of it were handed
// out: if the query can be evaluated again, it shall be.
func (s *replicaSet) midway(r *replica, err error) error {
	if s.lost != nil && s.lost.retry() {
		return &switched{r.Description.Name(), err}
	}
	if childsFault(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// maxSwitches bounds how often a query is evaluated again because replicas
// failed in the middle of it.
const maxSwitches = 4

// addReplica notes that a replica failed; the others of its set may still
// answer.
func (l *lost) addReplica(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.replicas == nil {
		l.replicas = map[string]error{}
	}
	l.replicas[name] = err
}

// replica returns what a replica failed with, if it did.
func (l *lost) replica(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.replicas[name]
}

// retry takes leave to evaluate the query again.
func (l *lost) retry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.switches++
	return l.switches <= maxSwitches
}

// absent tells of replicas that are not there and alone hold samples of a span:
// as an error if the request is strict, or else by a warning and a report.
func (v *view) absent(span Interval, strict bool) (annotations.Annotations, Report, error) {
	var warn annotations.Annotations
	var report Report
	for _, g := range v.gone {
		if !g.times.touch(span) {
			continue
		}
		d, why := g.Description, g.failed
		if why == nil {
			why = fmt.Errorf("%w: not connected", ErrUnavailable)
		}
		told := fmt.Errorf("%w; no other replica took samples at all times that it did", why)
		if strict {
			return nil, Report{}, noAnswer(d.Tier, d.Name(), told)
		}
		warn.Add(partialAnswer(d.Tier, d.Name(), told))
		report.Add(d.Name(), ChildReport{Tier: d.Tier, Verdict: Asked, Failed: why.Error(), Late: errors.Is(why, ErrLate)})
	}
	return warn, report, nil
}

// Tree implements Child. The live tree is made of the replicas themselves.
func (s *replicaSet) Tree(ctx context.Context) ([]Node, error) {
	v, err := s.current()
	if err != nil {
		return nil, err
	}
	return v.order[0].Child.Tree(ctx)
}

// clip bounds a span to times whose distances do not overflow.
func clip(mint, maxt int64) Interval {
	if mint == math.MinInt64 && maxt == math.MaxInt64 {
		return Interval{beginning, endOfTime}
	}
	return Interval{max(mint, beginning), min(maxt, endOfTime)}
}
