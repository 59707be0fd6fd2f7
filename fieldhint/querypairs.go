package fieldhint

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// Bounds on the pairs that a query asks for. Beyond each of them it asks for
// fewer.
const (
	maxPairLabels  = 32   // labels that are paired, those with fewest values first
	maxPairProduct = 64   // pairs of values of two labels
	maxPairAtoms   = 1024 // of one query
)

// demand is what a selector asks of one label.
type demand struct {
	label string
	expr  *expr
	rank  int
	// values are all that the label may have, if listed is set; or any other
	// if wide is set too and the series says so.
	values       []string
	listed, wide bool
	// starts are prefixes, one of which the value has, if present is set; or
	// another if startsWide is set too and the series says so.
	starts              []string
	present, startsWide bool
	// infixes are what the value holds, if not nil; or any other value if infixesWide
	// is set too and the series says so.
	infixes     *expr
	infixesWide bool
}

// Ranks of demands: what rules out more is asked first, since the first answer
// of no ends the look-up.
const (
	rankValues   = iota // one of some values
	rankName            // the metric's name, which most children know
	rankTrigrams        // trigrams of a value
	rankPresence        // any value
)

func (d *demand) order() int {
	switch {
	case d.expr.op == opAtom && d.expr.atom.kind == factPresence:
		return rankPresence
	case !d.listed:
		return rankTrigrams
	case d.label == labels.MetricName:
		return rankName
	default:
		return rankValues
	}
}

// join makes a query of all that is asked: pairs, values, trigrams, presence.
func join(demands []demand) *expr {
	for i := range demands {
		demands[i].rank = demands[i].order()
	}
	slices.SortStableFunc(demands, func(a, b demand) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.expr.size, b.expr.size))
	})
	all := []*expr{askPairs(demands)}
	for i := range demands {
		all = append(all, demands[i].expr)
	}
	return and(all...)
}

// askPairs says what pairs of values a series that satisfies all demands
// implies: of each two labels whose values are listed, one of the pairs.
func askPairs(demands []demand) *expr {
	listed := make([]*demand, 0, len(demands))
	for i := range demands {
		if demands[i].listed {
			listed = append(listed, &demands[i])
		}
	}
	slices.SortStableFunc(listed, func(a, b *demand) int { return cmp.Compare(len(a.values), len(b.values)) })
	listed = listed[:min(len(listed), maxPairLabels)]
	pairs := all
	room := maxPairAtoms
	paired := map[[2]string]bool{}
	for j := range listed {
		for i := range j {
			n := len(listed[i].values) * len(listed[j].values)
			if n > maxPairProduct || n > room {
				continue
			}
			room -= n
			pairs = and(pairs, askPair(listed[i], listed[j]))
			paired[pairKey(listed[i].label, listed[j].label)] = true
		}
	}
	prefixes := and(askPrefixPairs(listed, demands, paired, room), askInfixPairs(demands, maxPairAtoms))
	if pairs.op == opAll || pairs.op == opNone {
		return and(pairs, prefixes)
	}
	return and(or(pairs, newSure(atom{kind: factUnpairedAll}, 0)), prefixes)
}

// witness has a pair come with facts about prefixes: values of the metric's name
// with prefixes of the other label, if it is one of the two, since these are kept
// first.
func (a *atom) witness() {
	v, w := labels.Label{Name: a.label, Value: a.value}, a.with
	if w.Name == labels.MetricName {
		v, w = w, v
	}
	base, value := prefixBase(xxhash.Sum64String(v.Name), xxhash.Sum64String(w.Name)), xxhash.Sum64String(v.Value)
	ofBoth, ofAny := unprefixedPair(v.Name, w.Name)
	a.proofs = []proof{{
		facts: prefixPairWitnesses(base, value, v, w.Name, rung(w.Value)),
		spare: []*atom{ofBoth.atom, ofAny.atom, unprefixedAll().atom},
	}}
	if p := infixProof(v, w); len(p.facts) > 0 {
		a.proofs = append(a.proofs, p)
	}
}

func askPair(a, b *demand) *expr {
	if b.label < a.label {
		a, b = b, a
	}
	first, second := xxhash.Sum64String(a.label), xxhash.Sum64String(b.label)
	base := pairBase(first, second)
	subs := make([]*expr, 0, len(a.values)*len(b.values)+3)
	for _, v := range a.values {
		x := hashed{first, xxhash.Sum64String(v)}
		for _, w := range b.values {
			fp := pairFact(base, x, hashed{second, xxhash.Sum64String(w)})
			pair := atom{kind: factPair, label: a.label, value: v, with: labels.Label{Name: b.label, Value: w}, fp: fp}
			pair.witness()
			subs = append(subs, atomOf(pair))
		}
	}
	if a.wide {
		subs = append(subs, hasWide(a.label))
	}
	if b.wide {
		subs = append(subs, hasWide(b.label))
	}
	subs = append(subs, newSure(atom{kind: factUnpaired, label: a.label, with: labels.Label{Name: b.label}}, pairName(first, second)))
	return or(subs...)
}
