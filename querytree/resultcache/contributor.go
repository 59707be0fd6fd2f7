package resultcache

import (
	"maps"
	"slices"
	"unique"

	"github.com/pandometrics/pando/querytree"
)

// contributor is a child that contributed to an extent. All extents share the
// one name.
type contributor struct {
	unique.Handle[childName]
}

type childName struct{ name, tier string }

// contributors lists the children that answered.
func contributors(r querytree.Report) []contributor {
	var out []contributor
	for _, name := range slices.Sorted(maps.Keys(r.Children)) {
		if c := r.Children[name]; c.Verdict == querytree.Asked {
			out = append(out, contributor{unique.Make(childName{name, c.Tier})})
		}
	}
	return out
}

// union returns those of either list.
func union(a, b []contributor) []contributor {
	if slices.Equal(a, b) || len(b) == 0 {
		return a
	}
	have := make(map[contributor]bool, len(a))
	for _, c := range a {
		have[c] = true
	}
	out := slices.Clip(a)
	for _, c := range b {
		if !have[c] {
			out = append(out, c)
		}
	}
	return out
}

// cachedReport tells of the children whose earlier answers were used.
func cachedReport(who []contributor) querytree.Report {
	var r querytree.Report
	for _, c := range who {
		n := c.Value()
		r.Add(n.name, querytree.ChildReport{Tier: n.tier, Verdict: querytree.Asked, Cached: true})
	}
	return r
}
