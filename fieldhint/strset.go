package fieldhint

import (
	"math"
	"slices"
	"strings"
)

// union merges sets of strings into one, sorted, each string once.
func union(sets ...[]string) []string {
	out := slices.Concat(sets...)
	slices.Sort(out)
	return slices.Compact(out)
}

// size is the number of bytes in a set, counting each string for one more.
func size(set []string) int {
	n := len(set)
	for _, s := range set {
		n += len(s)
	}
	return n
}

// trivial reports whether a set of prefixes or suffixes says nothing.
func trivial(set []string) bool { return len(set) == 1 && set[0] == "" }

func firstBytes(s string, n int) string { return s[:min(n, len(s))] }

func lastBytes(s string, n int) string { return s[max(0, len(s)-n):] }

// shortest is the length of the shortest string; of the empty set, more than any.
func shortest(set []string) int {
	n := math.MaxInt
	for _, s := range set {
		n = min(n, len(s))
	}
	return n
}

// cut shortens each string of a set of prefixes or suffixes to n bytes.
func cut(set []string, n int, keep func(string, int) string) []string {
	out := make([]string, 0, len(set))
	for _, s := range set {
		out = append(out, keep(s, n))
	}
	out = union(out)
	if len(out) > 0 && out[0] == "" {
		return out[:1] // every string starts, and ends, with the empty one
	}
	return out
}

// fit cuts a set of prefixes or suffixes down to at most maxSet strings of at
// most maxAffix bytes.
func fit(set []string, keep func(string, int) string) []string {
	for n := maxAffix; ; n /= 2 {
		if out := cut(set, n, keep); len(out) <= maxSet {
			return out
		}
	}
}

// shared returns the longest prefix and the longest suffix that all strings of
// a set have.
func shared(set []string) (prefix, suffix string) {
	prefix, suffix = set[0], set[0]
	for _, s := range set[1:] {
		for !strings.HasPrefix(s, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
		for !strings.HasSuffix(s, suffix) {
			suffix = suffix[1:]
		}
	}
	return prefix, suffix
}

// gramsOf asks for the trigrams of one of the strings, with marks for the start
// and the end of the value if the strings are known to stand there. There are
// two ways to ask. One string after the other is the sharper one. Place by
// place (one of the first trigrams, and one of the second ones …) takes fewer
// atoms when the strings are a product, such as a word in all mixes of case.
func (a *analyzer) gramsOf(set []string, start, end bool) *expr {
	grams := a.trigramsOf(set, start, end)
	if grams.op != opAnd && grams.op != opOr {
		return grams // too little for an infix
	}
	return and(grams, a.infixesOf(set, start, end))
}

func (a *analyzer) trigramsOf(set []string, start, end bool) *expr {
	if len(set) == 0 {
		return none
	}
	rows := make([][]gram, 0, len(set))
	total, shortest, longest := 0, len(set[0])+4, 0
	for _, s := range set {
		row := slices.Collect(grams(s, start, end))
		if len(row) == 0 {
			return all
		}
		rows = append(rows, row)
		total += len(row)
		shortest, longest = min(shortest, len(row)), max(longest, len(row))
	}
	places := make([][]gram, shortest)
	distinct := 0
	for i := range places {
		places[i] = place(rows, i, end && !start)
		distinct += len(places[i])
	}
	switch {
	case total <= maxGrams && (shortest < longest || total < 2*distinct) && a.spend(total):
		return a.join(or, and, rows)
	case distinct <= maxGrams && a.spend(distinct):
		return a.join(and, or, places)
	default:
		return all
	}
}

// place lists the trigrams that the rows have at place i, counted from the end
// if fromEnd is set.
func place(rows [][]gram, i int, fromEnd bool) []gram {
	out := make([]gram, 0, len(rows))
	for _, row := range rows {
		if fromEnd {
			out = append(out, row[len(row)-1-i])
		} else {
			out = append(out, row[i])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (a *analyzer) join(outer, inner func(...*expr) *expr, rows [][]gram) *expr {
	subs := make([]*expr, 0, len(rows))
	for _, row := range rows {
		atoms := make([]*expr, 0, len(row))
		for _, g := range row {
			atoms = append(atoms, newAtom(atom{kind: factGram, label: a.label, gram: g}, a.name, uint64(g)))
		}
		subs = append(subs, inner(atoms...))
	}
	return outer(subs...)
}
