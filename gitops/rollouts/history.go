package rollouts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
)

// history returns what loops did, at most maxEvents, newest first. It is kept as
// an Overview is.
func (v *View) history(ctx context.Context) *History {
	return v.histories.get(v.cfg.Now, func() *History { return v.askHistory(context.WithoutCancel(ctx)) })
}

func (v *View) askHistory(ctx context.Context) *History {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	out := &History{Events: []Event{}}
	var mu sync.Mutex
	each(ctx, v.loops, func(ctx context.Context, _ int, l *remote) {
		s, err := l.status(ctx, false)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("the control loop %s does not answer: %v", cmp.Or(l.name(), l.base), err))
			return
		}
		for _, e := range s.History {
			if len(out.Events) == 2*maxEvents {
				out.newest()
			}
			out.Events = append(out.Events, Event{e.At, s.Cluster, e.Revision, e.What, e.Why})
		}
	})
	out.newest()
	slices.Sort(out.Warnings)
	return out
}

// newest sorts events, and drops those that nobody can ask for.
func (h *History) newest() {
	slices.SortStableFunc(h.Events, func(a, b Event) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Cluster, b.Cluster)) })
	keep := min(len(h.Events), maxEvents)
	clear(h.Events[keep:])
	h.Events = h.Events[:keep]
}
