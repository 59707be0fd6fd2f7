package treetest

import (
	"math/rand"
	"regexp/syntax"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// example returns a value that all the matchers match, or ok false if none was
// found; the value is preferred if it does.
func example(rnd *rand.Rand, prefer string, ms []*labels.Matcher) (v string, ok bool) {
	candidates := []string{prefer}
	for _, m := range ms {
		switch m.Type {
		case labels.MatchEqual:
			candidates = append(candidates, m.Value)
		case labels.MatchRegexp:
			for range 4 {
				candidates = append(candidates, exampleOf(rnd, m.Value))
			}
		default:
			candidates = append(candidates, prefer+"x", "")
		}
	}
	for _, c := range candidates {
		if matchesAll(ms, c) {
			return c, true
		}
	}
	return "", false
}

func matchesAll(ms []*labels.Matcher, v string) bool {
	for _, m := range ms {
		if !m.Matches(v) {
			return false
		}
	}
	return true
}

// exampleOf returns a string that a regular expression likely matches.
func exampleOf(rnd *rand.Rand, re string) string {
	parsed, err := syntax.Parse(re, syntax.Perl)
	if err != nil {
		return ""
	}
	var b strings.Builder
	writeExample(rnd, &b, parsed)
	return b.String()
}

func writeExample(rnd *rand.Rand, b *strings.Builder, re *syntax.Regexp) {
	repeat := func(n int) {
		for range n {
			writeExample(rnd, b, re.Sub[0])
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(exampleRune(rnd, re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte("xyz"[rnd.Intn(3)])
	case syntax.OpStar:
		repeat(rnd.Intn(3))
	case syntax.OpPlus:
		repeat(1 + rnd.Intn(3))
	case syntax.OpQuest:
		repeat(rnd.Intn(2))
	case syntax.OpRepeat:
		repeat(re.Min)
	case syntax.OpCapture:
		repeat(1)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			writeExample(rnd, b, sub)
		}
	case syntax.OpAlternate:
		writeExample(rnd, b, re.Sub[rnd.Intn(len(re.Sub))])
	}
}

// exampleRune prefers letters and digits to whatever else a class holds.
func exampleRune(rnd *rand.Rand, class []rune) rune {
	const nice = "a1bc234x"
	from := rnd.Intn(len(nice))
	for i := range len(nice) {
		r := rune(nice[(from+i)%len(nice)])
		for j := 0; j+1 < len(class); j += 2 {
			if class[j] <= r && r <= class[j+1] {
				return r
			}
		}
	}
	if len(class) == 0 {
		return 'x'
	}
	return class[0]
}
