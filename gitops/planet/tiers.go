package planet

import (
	"cmp"
	"maps"
	"slices"
)

// ZonePlace is a zone, and where its own tier is.
type ZonePlace struct {
	Zone string
	// Parent is the zone that it is in, "" for none.
	Parent string
	// Identity are the labels of all series of its tier.
	Identity map[string]string
	// Hosts are the clusters that run the tier.
	Hosts []string
}

// Zones returns all zones, parents before those in them, otherwise by name.
func (p *Planet) Zones() []ZonePlace {
	zones := p.sortedZones()
	slices.SortStableFunc(zones, func(a, b *zone) int { return cmp.Compare(len(a.path), len(b.path)) })
	out := make([]ZonePlace, len(zones))
	for i, z := range zones {
		out[i] = ZonePlace{Zone: z.Name, Parent: z.Parent, Identity: z.identity(), Hosts: slices.Clone(z.Hosts)}
	}
	return out
}

// RootHosts returns the clusters that run the root.
func (p *Planet) RootHosts() []string { return slices.Clone(p.root.Hosts) }

// Identity returns the labels of all series of a cluster; nil if there is none of
// the name.
func (p *Planet) Identity(cluster string) map[string]string {
	c := p.byName[cluster]
	if c == nil {
		return nil
	}
	return maps.Clone(p.identity(c))
}
