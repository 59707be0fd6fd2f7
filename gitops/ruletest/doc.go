// Package ruletest runs the rule unit tests of a planet: those of one Prometheus as
// promtool does, and those of a tree over leaves, zones and root in this process.
//
//	problems := p.Check(planet.CheckOptions{Tests: ruletest.Runner{}})
//
// A test of a tree has a storage for each leaf, whose series have the leaf's
// identity, and a querytree.Mixer for each zone and the root. Rules of a leaf are
// evaluated over its storage, by the engine; those of zones and root are asked of
// the tree, strictly, as queries are. What a leaf's rules record is a series of the
// leaf; what a zone or root records is its own, by name, and those below are not
// asked for that name. At each step leaves are
// evaluated first, then zones, inner ones first, then the root.
//
// The invariant: a test without leaves finds what promtool finds.
//
// What it does not do: no network. Storages are in a temporary directory, which is
// removed when the test ends.
package ruletest
