package rollouts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pandometrics/pando/gitops"
)

// asked is all that loops and the tree said at one moment.
type asked struct {
	now      time.Time
	statuses []gitops.Status // of those that answer
	silent   map[string]error
	unasked  map[string]error // for want of time
	waves    []gitops.WaveStatus
	told     Told
	warnings []string
}

// ask asks everybody.
func (v *View) ask(ctx context.Context) asked {
	a := asked{now: v.cfg.Now(), silent: map[string]error{}, unasked: map[string]error{}}
	statuses, errs := make([]gitops.Status, len(v.loops)), make([]error, len(v.loops))
	v.askLoopsAndTree(ctx, &a, statuses, errs)
	for i, r := range v.loops {
		if errs[i] == nil {
			a.statuses = append(a.statuses, statuses[i])
			continue
		}
		if name := r.name(); errors.Is(errs[i], errNoTime) {
			a.unasked[name] = errs[i]
		} else {
			a.silent[name] = errs[i]
		}
		a.warnings = append(a.warnings, fmt.Sprintf("the control loop %s does not answer: %v", cmp.Or(r.name(), r.base), errs[i]))
	}
	delete(a.silent, "") // those that never told their name
	delete(a.unasked, "")
	var err error
	if a.waves, err = v.askWaves(ctx, errs); err != nil {
		a.warnings = append(a.warnings, fmt.Sprintf("no control loop tells of waves: %v", err))
	}
	return a
}

// askLoopsAndTree asks both at the same time, for neither may take the other's.
func (v *View) askLoopsAndTree(ctx context.Context, a *asked, statuses []gitops.Status, errs []error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if v.cfg.Tree == nil {
			return
		}
		told, err := v.cfg.Tree(ctx)
		if err != nil {
			a.warnings = append(a.warnings, err.Error())
		}
		a.told = told
		a.warnings = append(a.warnings, told.Warnings...)
	})
	each(ctx, v.loops, func(ctx context.Context, i int, r *remote) { statuses[i], errs[i] = r.status(ctx, true) })
	wg.Wait()
}

// askWaves asks one of those that answer, for all tell the same. It has time of its
// own: the silent ones have used up that of the others.
func (v *View) askWaves(ctx context.Context, errs []error) (_ []gitops.WaveStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, askingWaves)
	defer cancel()
	for i, r := range v.loops {
		if errs[i] != nil {
			continue
		}
		var s gitops.Status
		if s, err = r.status(ctx, false); err == nil {
			return s.Waves, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// overview joins what was said.
func (a asked) overview() *Overview {
	o := &Overview{Time: a.now.UTC(), Running: map[string]int{}, Waves: []Wave{}, Warnings: a.warnings, good: map[string][]string{}}
	a.target(o)
	clusters := a.clusters()
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		c := clusters[name]
		if c.Running != "" {
			o.Running[c.Running]++
		}
		for _, g := range c.Good {
			o.good[g] = append(o.good[g], name)
		}
		if c.Paused || c.Pinned != "" {
			o.Paused = append(o.Paused, name)
		}
	}
	o.Paused = slices.Compact(slices.Sorted(slices.Values(append(o.Paused, a.told.Paused...))))
	o.Rejected, o.Refused = a.rejections(), a.refusals()
	a.addWaves(o, clusters)
	o.judge()
	return o
}

// target finds the newest valid revision.
func (a asked) target(o *Overview) {
	var newest *gitops.Seen
	for _, s := range a.statuses {
		if s.Newest != nil && (newest == nil || s.Newest.When.After(newest.When)) {
			newest = s.Newest
		}
	}
	if newest != nil {
		o.Target, o.Ref = newest.Revision, newest.Ref
	}
}

// clusters returns what is known of each, by name.
func (a asked) clusters() map[string]*Cluster {
	out := map[string]*Cluster{}
	at := func(name string) *Cluster {
		if out[name] == nil {
			out[name] = &Cluster{Cluster: name, Loop: Unknown}
		}
		return out[name]
	}
	for _, w := range a.waves {
		for _, name := range w.Members {
			at(name)
		}
	}
	for _, t := range a.told.Clusters {
		c := at(t.Cluster)
		c.Zone, c.Running, c.RunningAt = t.Zone, t.Revision, t.Since.UTC()
	}
	for name, err := range a.silent {
		c := at(name)
		c.Loop, c.Error = Silent, err.Error()
	}
	for name, err := range a.unasked {
		at(name).Error = err.Error()
	}
	for _, s := range a.statuses {
		c := at(s.Cluster)
		c.Loop, c.State, c.Doing, c.Until = Answers, s.State, s.Doing, s.Until
		c.Running, c.RunningAt, c.Good = s.Running, s.RunningAt, s.Good
		c.Paused, c.Promoted, c.Pinned = s.Paused, s.Promoted, s.Pinned
		if len(s.Problems) > 0 {
			c.Problems = s.Problems
		}
		if s.Pending != nil {
			c.Pending, c.PendingSince = s.Pending.Revision, s.Pending.Since
		}
	}
	return out
}

// rejections lists what loops say, and of those that do not answer what their
// metrics say.
func (a asked) rejections() []Rejection {
	var out []Rejection
	has := func(r Rejection) bool {
		return slices.ContainsFunc(out, func(o Rejection) bool { return o.Revision == r.Revision && o.Cluster == r.Cluster })
	}
	for _, s := range a.statuses {
		for _, r := range s.Rejected {
			out = append(out, Rejection{r.Revision, s.Cluster, r.Why, r.At})
		}
	}
	for _, r := range a.told.Rejected {
		answers := slices.ContainsFunc(a.statuses, func(s gitops.Status) bool { return s.Cluster == r.Cluster })
		if !answers && !has(r) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(x, y Rejection) int {
		return cmp.Or(y.At.Compare(x.At), cmp.Compare(x.Cluster, y.Cluster))
	})
	return out
}

// refusals lists revisions that loops say cannot be used.
func (a asked) refusals() (out []Refusal) {
	for _, s := range a.statuses {
		p := s.Stalled
		if p == nil {
			continue
		}
		i := slices.IndexFunc(out, func(r Refusal) bool {
			return r.Revision == p.Revision && r.Reason == p.Reason && r.Message == p.Message
		})
		if i < 0 {
			out = append(out, Refusal{Revision: p.Revision, Reason: p.Reason, Message: p.Message, At: p.At, Clusters: []string{s.Cluster}})
			continue
		}
		out[i].Clusters = append(out[i].Clusters, s.Cluster)
		if p.At.Before(out[i].At) {
			out[i].At = p.At
		}
	}
	for i := range out {
		slices.Sort(out[i].Clusters)
	}
	slices.SortStableFunc(out, func(x, y Refusal) int { return y.At.Compare(x.At) })
	return out
}
