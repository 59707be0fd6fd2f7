package fieldhint

import (
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
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
	value string // of factValue
	gram  gram   // of factGram
	fp    uint64
	locs  []uint64 // places to look at in a bloom filter, of any size
}

var (
	all  = &expr{op: opAll, hash: mix(1)}
	none = &expr{op: opNone, hash: mix(2)}
)

func newAtom(a atom, name, payload uint64) *expr {
	a.fp = fact(name, a.kind, payload)
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
		return a.kind == b.kind && a.label == b.label && a.value == b.value && a.gram == b.gram
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
		return has(e.atom)
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
	if e.op == opAtom && e.atom.locs == nil {
		e.atom.locs = locations(e.atom.fp)
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
		case last != nil && sub.op == opAtom && sub.atom.kind == factGram && last.label == sub.atom.label:
			b.WriteString(` "` + sub.atom.gram.String() + `"`)
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
		if sub.op == opAtom && sub.atom.kind == factGram {
			last = sub.atom
		}
	}
}

func (a *atom) write(b *strings.Builder) {
	switch a.kind {
	case factPresence:
		b.WriteString("has(" + a.label + ")")
	case factLong:
		b.WriteString("long(" + a.label + ")")
	case factWide:
		b.WriteString("wide(" + a.label + ")")
	case factValue:
		b.WriteString(a.label + "=" + strconv.Quote(a.value))
	case factGram:
		b.WriteString(a.label + `~"` + a.gram.String() + `"`)
	}
}
