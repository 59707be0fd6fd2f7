package tier

import (
	"math"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// Final returns the time up to which the samples of all children are final, in
// milliseconds; zero if that is not known.
func (t *Tier) Final() int64 { return final(t.Roster.Members()) }

// emptyGrace is how long a tier that has lost what it knew of its children, or never
// knew any, waits for some: they come back within half a minute.
const emptyGrace = 5 * time.Minute

// toldFinal is what parents are told of Final. A tier that has no child, connected
// or missing, owes them nothing, so that it does not hold them up. Should a child
// come after all, what was made without it is restated.
func (t *Tier) toldFinal() int64 {
	if t.childless() {
		return time.Now().UnixMilli()
	}
	return final(t.Roster.Members())
}

// childless reports whether the tier is known to have no child, rather than not to
// know of one that is merely not back yet. A root is never: a planet has zones.
func (t *Tier) childless() bool {
	return t.cfg.Identity.Tier != querytree.TierRoot && len(t.Roster.Members()) == 0 &&
		(t.remembers || time.Since(t.started) >= emptyGrace)
}

// final is the oldest of what the children say, also of those that are missing:
// what they have taken in since is not known. A replica that is missing does not
// count while another of its shard is there.
func final(members []querytree.Member) int64 {
	type shard struct{ labels, name string }
	there := map[shard]bool{}
	of := func(m querytree.Member) shard { return shard{m.Description.Labels.String(), m.Description.Shard} }
	for _, m := range members {
		if m.Connected && m.Description.Replica != "" {
			there[of(m)] = true
		}
	}
	out := int64(math.MaxInt64)
	for _, m := range members {
		if !m.Connected && m.Description.Final == 0 {
			continue // it has not been here since the tier was started: strict answers lack it
		}
		if m.Connected || !there[of(m)] {
			out = min(out, m.Description.Final)
		}
	}
	if out == math.MaxInt64 {
		return 0 // there are no children
	}
	return out
}

// Children describes the children that are connected.
func (t *Tier) Children() (out []querytree.Description) {
	for _, m := range t.Roster.Members() {
		if m.Connected {
			out = append(out, m.Description)
		}
	}
	return out
}

// Known names all children that are not forgotten.
func (t *Tier) Known() (out []string) {
	for _, m := range t.Roster.Members() {
		out = append(out, m.Description.Name())
	}
	return out
}

// Missing names the leaves and zones below that are known but not connected, so
// far as the children tell of theirs.
func (t *Tier) Missing() (out []string) {
	for _, m := range t.Roster.Members() {
		if !m.Connected {
			out = append(out, m.Description.Name())
		}
		out = append(out, m.Description.Missing...)
	}
	return out
}
