package treetest

import (
	"fmt"

	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// Outages make a test tree one of replicas: every leaf is there as often as
// there are functions in it, and each of them says when the replica of that leaf
// was down. What it tells of its gaps is Slack milliseconds larger at both ends.
type Outages struct {
	Down  []func(leaf int) []querytree.Interval
	Slack int64
}

// replicas is how many replicas each leaf has, at least one.
func (o Outages) replicas() int { return max(1, len(o.Down)) }

// identity names a replica of a leaf.
func (o Outages) identity(l Leaf, replica int) Leaf {
	if len(o.Down) > 0 {
		l.Replica = string(rune('a' + replica))
	}
	return l
}

// gaps are what a replica tells of its outages.
func (o Outages) gaps(leaf, replica int) []querytree.Interval {
	if len(o.Down) == 0 {
		return nil
	}
	var out []querytree.Interval
	for _, d := range o.Down[replica](leaf) {
		out = append(out, querytree.Interval{Mint: d.Mint - o.Slack, Maxt: d.Maxt + o.Slack})
	}
	return out
}

// took reports whether a replica was up at a time.
func (o Outages) took(leaf, replica int, t int64) bool {
	if len(o.Down) == 0 {
		return true
	}
	for _, d := range o.Down[replica](leaf) {
		if d.Mint <= t && t <= d.Maxt {
			return false
		}
	}
	return true
}

// Alternating are outages of two replicas that are never down at the same time:
// in each period of so many milliseconds, first the one is for a fifth of it and
// later the other. Leaves differ by when.
func Alternating(period, until, slack int64) Outages {
	at := func(from int64) func(int) []querytree.Interval {
		return func(leaf int) []querytree.Interval {
			var out []querytree.Interval
			for t := int64(leaf) * period / 7; t < until; t += period {
				out = append(out, querytree.Interval{Mint: t + from, Maxt: t + from + period/5})
			}
			return out
		}
	}
	return Outages{Down: []func(int) []querytree.Interval{at(period / 10), at(period / 2)}, Slack: slack}
}

// append appends one sample to the replicas of a leaf that were up.
func (a *appender) append(leaf int, t int64, add func(storage.AppenderV2) error) error {
	o := a.p.cfg.Outages
	n := o.replicas()
	some := false
	for r := range n {
		if !o.took(leaf, r, t) {
			continue
		}
		some = true
		if err := add(a.leaves[leaf*n+r]); err != nil {
			return err
		}
	}
	if !some {
		return fmt.Errorf("treetest: all replicas of leaf %d are down at %d", leaf, t)
	}
	return nil
}
