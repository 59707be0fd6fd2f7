package fieldhint

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/grafana/regexp/syntax"
)

// Bounds on what is made of one regexp. Beyond each of them the query widens:
// it holds more often, and takes no more work.
const (
	maxPattern  = 64 << 10 // bytes of a regexp that is parsed
	maxLiterals = 1024     // values asked for one by one
	maxProduct  = 256      // strings made by concatenating sets
	maxSet      = 64       // prefixes, or suffixes, kept
	maxAffix    = 64       // bytes of a prefix or suffix kept
	maxClass    = 16       // characters of a class that are told apart
	maxGrams    = 1024     // atoms made of one set of strings
	maxBranches = 256      // top-level alternatives looked at one by one
	maxWork     = 1 << 18  // bytes of strings, and atoms, made for one regexp
	maxAtoms    = 4096     // atoms of one matcher
)

// shape is what is known of the strings that a part of a regexp matches. All of
// it is conservative: a string that the part matches
//   - is one of exact, if known is set, or else
//   - starts with one of prefix, ends with one of suffix, and its trigrams
//     satisfy match.
//
// The idea of an analysis bottom-up through the syntax tree, with exact sets,
// prefixes, suffixes and a query, is Russ Cox' ("Regular Expression Matching
// with a Trigram Index", 2012).
type shape struct {
	known          bool
	exact          []string
	prefix, suffix []string
	match          *expr
}

func exactly(values ...string) shape {
	return shape{known: true, exact: values, match: all}
}

// anything is the shape of what nothing is known about.
func anything() shape {
	return shape{prefix: []string{""}, suffix: []string{""}, match: all}
}

func (s shape) prefixes() []string {
	if s.known {
		return s.exact
	}
	return s.prefix
}

func (s shape) suffixes() []string {
	if s.known {
		return s.exact
	}
	return s.suffix
}

// analyzer turns the regexps of one matcher into expressions about its label.
type analyzer struct {
	label string
	name  uint64 // hash of label
	fold  bool   // letters match in either case
	work  int    // bytes of strings made so far
}

// valueSet is what a matcher asks of a label's value: to be one of exact, or to
// satisfy rest and start with one of starts.
type valueSet struct {
	exact  []string
	rest   *expr
	starts []string
	fold   bool
}

// analyze says what a value must be like to match a fully anchored regexp. It
// returns false if nothing can be said.
func analyze(label, pattern string) (valueSet, bool) {
	a := &analyzer{label: label, name: xxhash.Sum64String(label)}
	if !strings.ContainsAny(pattern, `\.+*?()[]{}^$`) {
		return a.literals(strings.Split(pattern, "|")), true
	}
	if len(pattern) > maxPattern {
		return valueSet{}, false
	}
	re, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
	if err != nil {
		return valueSet{}, false
	}
	// Prometheus matches some parts of a regexp without regard to case when
	// another part asks for that, so it is taken to hold for all of it.
	a.fold = folds(re)
	return a.branches(re), true
}

func folds(re *syntax.Regexp) bool {
	return re.Flags&syntax.FoldCase != 0 || slices.ContainsFunc(re.Sub, folds)
}

// literals is the set of values listed in a regexp without any operator but |.
func (a *analyzer) literals(values []string) valueSet {
	values = union(values)
	if len(values) <= maxLiterals {
		return valueSet{exact: values, rest: none}
	}
	start, end := shared(values)
	return valueSet{
		rest:   and(a.gramsOf([]string{start}, true, false), a.gramsOf([]string{end}, false, true)),
		starts: fit(values, firstBytes),
	}
}

// branches looks at the alternatives of a regexp one by one. Unlike those
// further inside, they are known to begin and end where the value does.
func (a *analyzer) branches(re *syntax.Regexp) valueSet {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpAlternate && len(re.Sub) <= maxBranches {
		parts = re.Sub
	}
	set := valueSet{rest: none, fold: a.fold}
	for _, part := range parts {
		s := a.shape(part)
		if s.known {
			set.exact = union(set.exact, s.exact)
			continue
		}
		set.rest = or(set.rest, and(a.gramsOf(s.prefix, true, false), s.match, a.gramsOf(s.suffix, false, true)))
		set.starts = append(set.starts, s.prefix...)
	}
	set.starts = fit(set.starts, firstBytes)
	if len(set.exact) > maxLiterals || set.rest.size > maxAtoms {
		return valueSet{rest: all, starts: fit(append(set.starts, set.exact...), firstBytes), fold: a.fold}
	}
	return set
}

func (a *analyzer) shape(re *syntax.Regexp) shape {
	if !a.spend(1) {
		return anything()
	}
	switch re.Op {
	case syntax.OpNoMatch:
		return exactly()
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return exactly("")
	case syntax.OpLiteral:
		return a.literal(re.Rune)
	case syntax.OpCharClass:
		return a.class(re.Rune)
	case syntax.OpCapture:
		return a.shape(re.Sub[0])
	case syntax.OpPlus:
		return a.inexact(a.shape(re.Sub[0]))
	case syntax.OpQuest:
		return a.alternate([]shape{exactly(""), a.shape(re.Sub[0])})
	case syntax.OpRepeat:
		return a.repeat(a.shape(re.Sub[0]), re.Min, re.Max)
	case syntax.OpConcat:
		out := exactly("")
		for _, sub := range re.Sub {
			out = a.concat(out, a.shape(sub))
		}
		return out
	case syntax.OpAlternate:
		parts := make([]shape, 0, len(re.Sub))
		for _, sub := range re.Sub {
			parts = append(parts, a.shape(sub))
		}
		return a.alternate(parts)
	default: // any character, any number of something
		return anything()
	}
}

func (a *analyzer) spend(n int) bool {
	a.work += n
	return a.work <= maxWork
}

func (a *analyzer) literal(runes []rune) shape {
	out := exactly("")
	run := 0
	for i, r := range runes {
		if !a.fold && !doubtful(r) {
			continue
		}
		c := a.character(r)
		if c.known && len(c.exact) == 1 {
			continue
		}
		out = a.concat(a.concat(out, exactly(string(runes[run:i]))), c)
		run = i + 1
	}
	return a.concat(out, exactly(string(runes[run:])))
}

func (a *analyzer) class(ranges []rune) shape {
	var set []string
	for i := 0; i+1 < len(ranges); i += 2 {
		if int(ranges[i+1]-ranges[i])+len(set) >= maxClass {
			return anything()
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			c := a.character(r)
			if !c.known {
				return anything()
			}
			set = append(set, c.exact...)
		}
	}
	return exactly(union(set)...)
}

// character is the shape of one character of a regexp.
//
// When case does not matter, Prometheus compares not only letters of either
// case but, with many alternatives, Unicode compatibility forms: the ligature ﬁ
// then equals the letters fi. So a character beyond ASCII may stand for
// anything, and values beyond ASCII are let pass by the caller.
func (a *analyzer) character(r rune) shape {
	if doubtful(r) {
		return anything()
	}
	if !a.fold {
		return exactly(string(r))
	}
	switch r {
	case 'ſ':
		r = 's'
	case '\u212a': // the sign for kelvin
		r = 'k'
	}
	if r >= 0x80 {
		return anything()
	}
	lower, upper := strings.ToLower(string(r)), strings.ToUpper(string(r))
	if lower == upper {
		return exactly(lower)
	}
	return exactly(upper, lower)
}

// doubtful reports whether a character may match bytes other than its own
// encoding: the replacement character matches every byte that is not UTF-8.
func doubtful(r rune) bool {
	return r == '\uFFFD' || r < 0 || r > 0x10FFFF || 0xD800 <= r && r <= 0xDFFF
}

// repeat is the shape of at least lo times x, and at most hi if that is not
// negative.
func (a *analyzer) repeat(x shape, lo, hi int) shape {
	switch {
	case hi == 0:
		return exactly("")
	case lo == 0 && hi == 1:
		return a.alternate([]shape{exactly(""), x})
	case lo == 0:
		return anything()
	}
	const most = 4 // copies looked at when they are not few strings
	out := x
	n := 1
	for n < lo && (out.known || n < most) {
		out = a.concat(out, x)
		n++
	}
	if n < lo {
		return a.concat(a.concat(out, anything()), x)
	}
	if hi == lo {
		return out
	}
	return a.inexact(out)
}

// inexact forgets that a shape is all there is: strings that start and end like
// it match, too.
func (a *analyzer) inexact(s shape) shape {
	if !s.known {
		return s
	}
	return a.settle(shape{prefix: s.exact, suffix: s.exact, match: all})
}

func (a *analyzer) concat(x, y shape) shape {
	if x.known && y.known {
		if set, ok := a.product(x.exact, y.exact, maxProduct); ok {
			return exactly(set...)
		}
	}
	z := shape{prefix: x.prefixes(), suffix: y.suffixes(), match: and(x.match, y.match)}
	joined := false
	if x.known {
		if set, ok := a.product(x.exact, y.prefixes(), maxSet); ok {
			z.prefix, joined = set, true
		}
	}
	if y.known {
		if set, ok := a.product(x.suffixes(), y.exact, maxSet); ok {
			z.suffix, joined = set, true
		}
	}
	if !joined {
		z.match = and(z.match, a.cross(x.suffixes(), y.prefixes()))
	}
	return a.settle(z)
}

// cross asks for the trigrams around the place where two parts meet.
func (a *analyzer) cross(left, right []string) *expr {
	if set, ok := a.product(left, right, maxSet); ok {
		return a.gramsOf(set, false, false)
	}
	out := and(a.gramsOf(left, false, false), a.gramsOf(right, false, false))
	left, right = cut(left, 2, lastBytes), cut(right, 2, firstBytes)
	if set, ok := a.product(left, right, maxProduct); ok {
		out = and(out, a.gramsOf(set, false, false))
	}
	return out
}

func (a *analyzer) alternate(parts []shape) shape {
	exact, known := []string{}, true
	var prefix, suffix []string
	for _, p := range parts {
		known = known && p.known
		exact = append(exact, p.exact...)
		prefix = append(prefix, p.prefixes()...)
		suffix = append(suffix, p.suffixes()...)
	}
	if known {
		if exact = union(exact); len(exact) <= maxLiterals && a.spend(size(exact)) {
			return exactly(exact...)
		}
	}
	z := shape{prefix: fit(prefix, firstBytes), suffix: fit(suffix, lastBytes), match: none}
	for _, p := range parts {
		match := p.match
		// What the union of the sets cannot say, each part says for itself.
		if len(prefix) > maxSet || trivial(z.prefix) {
			match = and(match, a.gramsOf(p.prefixes(), false, false))
		}
		if len(suffix) > maxSet || trivial(z.suffix) {
			match = and(match, a.gramsOf(p.suffixes(), false, false))
		}
		z.match = or(z.match, match)
		if z.match.op == opAll || z.match.size > maxGrams {
			z.match = all
			break
		}
	}
	return z
}

// settle cuts the prefixes and suffixes down to their bounds, putting what they
// say about trigrams into match first.
func (a *analyzer) settle(s shape) shape {
	if small := fit(s.prefix, firstBytes); !slices.Equal(small, s.prefix) {
		s.match = and(s.match, a.gramsOf(s.prefix, false, false))
		s.prefix = small
	}
	if small := fit(s.suffix, lastBytes); !slices.Equal(small, s.suffix) {
		s.match = and(s.match, a.gramsOf(s.suffix, false, false))
		s.suffix = small
	}
	if s.match.size > maxAtoms || !a.spend(s.match.size) {
		s.match = all
	}
	return s
}

// product concatenates each of xs with each of ys. It returns false if that
// would be too much.
func (a *analyzer) product(xs, ys []string, most int) ([]string, bool) {
	if len(xs)*len(ys) > most || !a.spend(size(xs)*len(ys)+size(ys)*len(xs)) {
		return nil, false
	}
	out := make([]string, 0, len(xs)*len(ys))
	for _, x := range xs {
		for _, y := range ys {
			out = append(out, x+y)
		}
	}
	return union(out), true
}
