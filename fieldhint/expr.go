package fieldhint

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

type op uint8

const (
	opAll  op = iota // holds always
	opNone           // holds never
	opAtom           // holds if the fingerprint is there
	opAnd
	opOr
)

// expr is a boolean expression over fingerprints. It is immutable. Rewriting
// may make it hold more often than what it was made from, never less often.
type expr struct {
	op   op
	atom *atom
	subs []*expr
	hash uint64 // equal for equal expressions
	size int    // number of atoms
}

// atom is one fact that is asked for.
type atom struct {
	kind  factKind
	label string
	value string       // of factValue, factPrefix, factPair and factPrefixPair
	gram  gram         // of factGram; of infixes, their marks
	with  labels.Label // the other label of pairs and of what is not paired
	fp    uint64
	echo  *atom // of the facts that are two fingerprints, the second
	// proofs are of what comes with this fact; all of them must hold for it to be
	// believed.
	proofs []proof
	locs   []uint64 // places to look at in a bloom filter, of any size
}

// proof is facts that come with another one, unless one of spare is there.
type proof struct{ facts, spare []*atom }

var (
	all  = &expr{op: opAll, hash: mix(1)}
	none = &expr{op: opNone, hash: mix(2)}
)

func newAtom(a atom, name, payload uint64) *expr {
	a.fp = fact(name, a.kind, payload)
	return atomOf(a)
}

// atomOf is newAtom for an atom that has its fingerprint.
func atomOf(a atom) *expr {
	return &expr{op: opAtom, atom: &a, hash: mix(a.fp), size: 1}
}

func hasLabel(label string) *expr {
	return newAtom(atom{kind: factPresence, label: label}, xxhash.Sum64String(label), 0)
}

func hasLong(label string) *expr {
	return newAtom(atom{kind: factLong, label: label}, xxhash.Sum64String(label), 0)
}

func hasWide(label string) *expr {
	return newAtom(atom{kind: factWide, label: label}, xxhash.Sum64String(label), 0)
}

func hasValue(label, value string) *expr {
	return newAtom(atom{kind: factValue, label: label, value: value}, xxhash.Sum64String(label), xxhash.Sum64String(value))
}

// maxWitnesses bounds the trigrams that stand witness for a value.
const maxWitnesses = 16

// hasValueSurely is hasValue, which a bloom filter takes to be there once in a
// hundred children that have it not. The trigrams that come with a value rarely
// are all there as well, and are looked up only if the value seems to be.
func hasValueSurely(label, value string) *expr {
	e := hasValue(label, value)
	if len(value) > maxGramValue {
		return e
	}
	name := xxhash.Sum64String(label)
	seen := map[gram]bool{}
	trigrams := proof{spare: []*atom{hasLong(label).atom}} // trigrams that are not kept
	for g := range grams(value, true, true) {
		if !seen[g] && len(seen) < maxWitnesses {
			seen[g] = true
			trigrams.facts = append(trigrams.facts, newAtom(atom{kind: factGram, label: label, gram: g}, name, uint64(g)).atom)
		}
	}
	e.atom.proofs = []proof{trigrams}
	if p := prefixProof(label, value); len(p.facts) > 0 {
		e.atom.proofs = append(e.atom.proofs, p)
	}
	return e
}

// found reports whether the atom's fact is there, and what comes with it.
func (a *atom) found(has func(*atom) bool) bool {
	if !a.there(has) {
		return false
	}
	return !slices.ContainsFunc(a.proofs, func(p proof) bool {
		return slices.ContainsFunc(p.facts, func(f *atom) bool { return !has(f) }) &&
			!slices.ContainsFunc(p.spare, func(s *atom) bool { return s.there(has) })
	})
}

func (a *atom) there(has func(*atom) bool) bool { return has(a) && (a.echo == nil || has(a.echo)) }

// locate works out where the atom, and what comes with it, is found in filters.
func (a *atom) locate() {
	if a == nil || a.locs != nil {
		return
	}
	a.locs = locations(a.fp)
	a.echo.locate()
	for _, p := range a.proofs {
		for _, f := range p.facts {
			f.locate()
		}
		for _, s := range p.spare {
			s.locate()
		}
	}
}

func hasUnvalued(label string) *expr {
	return newSure(atom{kind: factUnvalued, label: label}, xxhash.Sum64String(label))
}

// newSure makes an atom of a fact that is two fingerprints: see appendSure.
func newSure(a atom, name uint64) *expr {
	echo := a
	echo.fp = fact(name, a.kind, 1)
	a.echo = &echo
	return newAtom(a, name, 0)
}

func and(xs ...*expr) *expr { return combine(opAnd, all, none, xs) }

func or(xs ...*expr) *expr { return combine(opOr, none, all, xs) }

// combine joins expressions, neutral and absorbing being the constants that
// vanish in a join and that decide it. Nested joins of the same kind are
// flattened, duplicates dropped.
func combine(o op, neutral, absorbing *expr, xs []*expr) *expr {
	var flat []*expr
	seen := map[uint64][]*expr{}
	add := func(x *expr) {
		for _, y := range seen[x.hash] {
			if x.equal(y) {
				return
			}
		}
		seen[x.hash] = append(seen[x.hash], x)
		flat = append(flat, x)
	}
	for _, x := range xs {
		switch x.op {
		case neutral.op:
		case absorbing.op:
			return absorbing
		case o:
			for _, sub := range x.subs {
				add(sub)
			}
		default:
			add(x)
		}
	}
	switch len(flat) {
	case 0:
		return neutral
	case 1:
		return flat[0]
	}
	e := &expr{op: o, subs: flat, hash: uint64(o)}
	for _, sub := range flat {
		e.size += sub.size
		e.hash = mix(e.hash ^ sub.hash)
	}
	return e
}

func (e *expr) equal(f *expr) bool {
	if e == f {
		return true
	}
	if e.hash != f.hash || e.op != f.op || len(e.subs) != len(f.subs) {
		return false
	}
	if e.op == opAtom {
		a, b := e.atom, f.atom
		return a.kind == b.kind && a.label == b.label && a.value == b.value && a.gram == b.gram && a.with == b.with
	}
	for i := range e.subs {
		if !e.subs[i].equal(f.subs[i]) {
			return false
		}
	}
	return true
}

// holds evaluates the expression, asking has about each atom it needs.
func (e *expr) holds(has func(*atom) bool) bool {
	switch e.op {
	case opNone:
		return false
	case opAtom:
		return e.atom.found(has)
	case opAnd:
		for _, sub := range e.subs {
			if !sub.holds(has) {
				return false
			}
		}
		return true
	case opOr:
		for _, sub := range e.subs {
			if sub.holds(has) {
				return true
			}
		}
		return false
	default:
		return true
	}
}

// locate works out, once for all filters, where each atom is found in them.
func (e *expr) locate() {
	if e.op == opAtom {
		e.atom.locate()
	}
	for _, sub := range e.subs {
		sub.locate()
	}
}

// String gives the canonical text, for people and for tests.
func (e *expr) String() string {
	var b strings.Builder
	e.write(&b)
	return b.String()
}

func (e *expr) write(b *strings.Builder) {
	switch e.op {
	case opAll:
		b.WriteString("ALL")
	case opNone:
		b.WriteString("NONE")
	case opAtom:
		e.atom.write(b)
	case opAnd:
		e.writeAnd(b)
	case opOr:
		for i, sub := range e.subs {
			if i > 0 {
				b.WriteString(" OR ")
			}
			sub.write(b)
		}
	}
}

// writeAnd draws trigrams of the same label that follow one another together.
func (e *expr) writeAnd(b *strings.Builder) {
	var last *atom
	for i, sub := range e.subs {
		switch {
		case last != nil && sub.op == opAtom && sub.atom.kind == last.kind && last.label == sub.atom.label:
			b.WriteString(` "` + sub.atom.piece() + `"`)
			continue
		case i > 0:
			b.WriteString(" AND ")
		}
		last = nil
		if sub.op == opOr {
			b.WriteByte('(')
			sub.write(b)
			b.WriteByte(')')
			continue
		}
		sub.write(b)
		if sub.op == opAtom && (sub.atom.kind == factGram || sub.atom.kind == factInfix) {
			last = sub.atom
		}
	}
}

// piece is what a trigram or an infix shows.
func (a *atom) piece() string {
	if a.kind == factInfix {
		return infix{a.value, infixMarks(a.gram)}.String()
	}
	return a.gram.String()
}

func (a *atom) write(b *strings.Builder) {
	label := showName(a.label)
	switch a.kind {
	case factPresence:
		b.WriteString("has(" + label + ")")
	case factLong:
		b.WriteString("long(" + label + ")")
	case factWide:
		b.WriteString("wide(" + label + ")")
	case factValue:
		b.WriteString(label + "=" + strconv.Quote(a.value))
	case factGram, factInfix:
		b.WriteString(label + `~"` + a.piece() + `"`)
	case factUnvalued:
		b.WriteString("unvalued(" + label + ")")
	case factPair:
		b.WriteString("pair(" + label + "=" + strconv.Quote(a.value) + ", " + showName(a.with.Name) + "=" + strconv.Quote(a.with.Value) + ")")
	case factUnpaired:
		b.WriteString("unpaired(" + label + ", " + showName(a.with.Name) + ")")
	case factUnpairedAll:
		b.WriteString("unpaired(*)")
	case factPrefix:
		b.WriteString(label + "^=" + strconv.Quote(a.value))
	case factPrefixPair:
		b.WriteString("pair(" + label + "=" + strconv.Quote(a.value) + ", " + showName(a.with.Name) + "^=" + strconv.Quote(a.with.Value) + ")")
	case factUnprefixed:
		b.WriteString("unprefixed(" + label + ")")
	case factUnprefixedPair:
		b.WriteString("unprefixed(" + label + ", " + showName(a.with.Name) + ")")
	case factUnprefixedWith:
		b.WriteString("unprefixed(" + label + ", *)")
	case factUnprefixedAll:
		b.WriteString("unprefixed(*)")
	case factInfixPair:
		b.WriteString("pair(" + label + "=" + strconv.Quote(a.value) + ", " + showName(a.with.Name) + `~"` + infix{a.with.Value, infixMarks(a.gram)}.String() + `")`)
	case factUninfixed:
		b.WriteString("uninfixed(" + label + ")")
	case factUninfixedPair:
		b.WriteString("uninfixed(__name__, " + label + ")")
	case factUninfixedAll:
		b.WriteString("uninfixed(*)")
	}
}

// showName quotes the names of labels that PromQL wants quoted.
func showName(name string) string {
	if model.LegacyValidation.IsValidLabelName(name) {
		return name
	}
	return strconv.Quote(name)
}
