package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// maxTried bounds the members of a tier that are asked whether another is below
// them: replicas of one zone, for the most part.
const maxTried = 8

// pass passes a request on to the member itself or, if that is no child of this
// tier, through the children that it may be below, one after the other.
func (r *Relay) pass(ctx context.Context, req querytree.StatusRequest, self string, answer func(querytree.StatusAnswer) error) error {
	select {
	case r.passed <- struct{}{}:
		defer func() { <-r.passed }()
	default: // Whoever waits here may hold a turn in a tier above.
		return &querytree.StatusError{Kind: querytree.StatusBusy, Member: req.Member, Text: fmt.Sprintf("%q passes %d status requests on already: try again", self, cap(r.passed))}
	}
	r.metrics.inFlight.WithLabelValues(rolePassed).Inc()
	defer r.metrics.inFlight.WithLabelValues(rolePassed).Dec()

	members := r.cfg.Members()
	ways := waysTo(req.Member, members)
	worst := unknown(req.Member, self, members)
	for _, m := range ways[:min(len(ways), maxTried)] {
		err := r.passTo(ctx, m, req, self, answer)
		failure, known := errors.AsType[*querytree.StatusError](err)
		if !known || !another(failure.Kind) {
			return err // or nil
		}
		if failure.Kind == querytree.StatusUnknownMember && worst.Kind == failure.Kind {
			failure.Near = nearest(req.Member, slices.Concat(worst.Near, failure.Near))
			worst = failure
		}
		if severity(failure.Kind) > severity(worst.Kind) {
			worst = failure
		}
	}
	return worst
}

// severity orders failures by how much they tell of a member that several tiers
// may have: that one of them does not know it says least.
func severity(k querytree.StatusKind) int {
	return slices.Index([]querytree.StatusKind{
		querytree.StatusUnknownMember, querytree.StatusTooOld, querytree.StatusMissing, querytree.StatusBusy, querytree.StatusFailed,
	}, k)
}

// another reports whether another way to the member may lead there.
func another(k querytree.StatusKind) bool { return severity(k) >= 0 }

// passTo passes a request on to one child.
func (r *Relay) passTo(ctx context.Context, m querytree.Member, req querytree.StatusRequest, self string, answer func(querytree.StatusAnswer) error) error {
	name := nameOf(m)
	if !m.Connected {
		return r.missing(name, self)
	}
	reader, ok := m.Child.(querytree.StatusReader)
	if !ok || !m.Description.Has(querytree.FeatureStatus) {
		return &querytree.StatusError{
			Kind: querytree.StatusTooOld, Member: name,
			Text: fmt.Sprintf("%q (version %s) does not know status requests: upgrade it, or ask it at its own address", name, cmp.Or(m.Description.Version, "unknown")),
		}
	}
	delivered := false
	err := reader.Status(ctx, req, func(a querytree.StatusAnswer) error {
		if err := r.check(a, req.Member); err != nil {
			return &querytree.StatusError{Kind: querytree.StatusFailed, Member: req.Member, At: self, Text: fmt.Sprintf("answer of %q cannot be used: %v", name, err)}
		}
		delivered = true
		return answer(a)
	})
	if _, known := errors.AsType[*querytree.StatusError](err); err == nil || known || delivered {
		return err
	}
	return broken(ctx, err, name)
}

func (r *Relay) check(a querytree.StatusAnswer, member string) error {
	if a.Member != member {
		return fmt.Errorf("it is of %q", a.Member)
	}
	return a.Check()
}

// broken says what became of a request that failed on its way to a child.
func broken(ctx context.Context, err error, name string) error {
	switch {
	case errors.Is(context.Cause(ctx), errSlow), errors.Is(err, context.DeadlineExceeded):
		return slow(name)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &querytree.StatusError{Kind: querytree.StatusFailed, Member: name, Text: fmt.Sprintf("status request to %q: %v", name, err)}
}

func slow(name string) error {
	return &querytree.StatusError{Kind: querytree.StatusSlow, Member: name, Text: fmt.Sprintf("%q did not answer a status request in time", name)}
}

// missing says since when a child is not connected.
func (r *Relay) missing(name, self string) error {
	e := &querytree.StatusError{Kind: querytree.StatusMissing, Member: name, Text: fmt.Sprintf("%q is not connected to %q", name, self)}
	for _, n := range r.cfg.Nodes() {
		if n.Name() != name || n.Connected {
			continue
		}
		if !n.Since.IsZero() {
			e.Since = n.Since
			e.Text += " since " + n.Since.UTC().Format(time.RFC3339)
		}
		if n.Error != "" {
			e.Text += ": " + n.Error
		}
	}
	return e
}

func nameOf(m querytree.Member) string { return cmp.Or(m.Name, m.Description.Name()) }

// waysTo returns the child of that name or, if there is none, those that it may be
// below: the labels of a tier are on all that is below it, and so in the names.
// Those that are connected come first.
func waysTo(member string, members []querytree.Member) []querytree.Member {
	var out []querytree.Member
	for _, m := range members {
		switch {
		case nameOf(m) == member:
			return []querytree.Member{m}
		case m.Description.Tier != querytree.TierLeaf && mayBeBelow(member, m.Description.Labels):
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b querytree.Member) int {
		return cmp.Or(answers(b)-answers(a), cmp.Compare(a.RTT, b.RTT))
	})
	return out
}

// answers tells how likely it is that a child passes requests on.
func answers(m querytree.Member) int {
	n := 0
	for _, is := range []bool{m.Connected, m.Connected && !m.Stale, m.Description.Has(querytree.FeatureStatus)} {
		if is {
			n++
		}
	}
	return n
}

// mayBeBelow reports whether a name may be that of a member with all these labels.
// See querytree.Identity.Name: it joins them by commas, and what follows a slash is
// no label.
func mayBeBelow(member string, ls labels.Labels) bool {
	padded := "," + strings.ReplaceAll(member, "/", ",") + ","
	fits := true
	ls.Range(func(l labels.Label) {
		fits = fits && strings.Contains(padded, ","+strings.ReplaceAll(l.Name+"="+l.Value, "/", ",")+",")
	})
	return fits
}
