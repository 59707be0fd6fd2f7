package planet

import (
	"cmp"
	"maps"
	"slices"
)

// recordings are where a metric name is recorded, by tier: of each tier the first
// place. Guarded by checker.mu.
type recordings map[string]map[Tier]place

// record notes the names that a group of rules records, at a tier.
func (c *checker) record(t Tier, f *fragment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recorded == nil {
		c.recorded = recordings{}
	}
	for _, n := range items(f.tree(), "rules") {
		name := text(n, "record")
		if name == "" {
			continue
		}
		if c.recorded[name] == nil {
			c.recorded[name] = map[Tier]place{}
		}
		at := place{f.item.at.file, n.Line, n.Column}
		if old, ok := c.recorded[name][t]; !ok || at.before(old) {
			c.recorded[name][t] = at
		}
	}
}

func (p place) before(other place) bool {
	return cmp.Or(cmp.Compare(p.file, other.file), cmp.Compare(p.line, other.line), cmp.Compare(p.col, other.col)) < 0
}

// levels warns of names that several tiers record: the highest answers for them alone,
// and hides what those below it record.
func (c *checker) levels() {
	for _, name := range slices.Sorted(maps.Keys(c.recorded)) {
		top, tiers := place{}, []Tier(nil)
		for _, t := range []Tier{Root, Zone, Leaf} {
			if at, ok := c.recorded[name][t]; ok {
				if tiers = append(tiers, t); len(tiers) == 1 {
					top = at
				}
			}
		}
		if len(tiers) < 2 {
			continue
		}
		below := c.recorded[name][tiers[1]]
		c.r.warnf(top, "tier %s records %s, and so does tier %s (%s:%d): whoever asks tier %s gets what that records alone; let the name begin with that of the tier",
			tiers[0], shortened(name), tiers[1], below.file, below.line, tiers[0])
	}
}
