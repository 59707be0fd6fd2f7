package fieldhint

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// words are pieces of label values and of regexps: plain, short, repetitive,
// with operators, with other forms under case folding, and not UTF-8.
var words = []string{
	"a", "b", "A", "ab", "api", "Api", "API", "aaa", "abab", "prod", "prometheus", "eu-1", "10.0.0.1:9090", "x\ny",
	"^a", "b$", "$", "é", "É", "ﬁ", "fi", "FI", "K", "k", "K", "ſ", "s", "S", "①", "1", "Ａ", "世界", "İ", "ı", "i", "\uFFFD", "\xff", "\xc3", "a\xffb",
	strings.Repeat("long", 70), "ab\x80", "\\", ".", "|", "(", "*", "ß", "ss", "Σ", "σ", "ς", "Å", "Å", "å",
}

// operators are put between words to make random regexps.
var operators = []string{
	"", "", "|", "|", ".*", ".+", ".", "?", "*", "+", "(", ")", "(", ")", "(?i)", "(?i:", "(?s)", "(?-s)", "(?m)", "(?U)", "[a-c]", "[^a]",
	"[Aa]", "[ab]", "[a-z]", "[0-9]", "{2}", "{1,2}", "{2,}", "{0}", "^", "$", `\b`, `\B`, `\d`, `\w`, `\W`, `\pL`, `[\x{FFFD}]`, `\x{212A}`, "(?:", "(|", "|)",
	"[k]", "[^\\x00-\\x{10FFFF}]", "(?:a|b|c|d)", "(a|b)", "(A|b)", "(?i:a)|b",
}

// manyAlternatives makes Prometheus look values up in a map, where it compares
// Unicode compatibility forms if case does not matter.
func manyAlternatives(r *rand.Rand) string {
	alts := make([]string, 20)
	for i := range alts {
		alts[i] = regexp.QuoteMeta(randomValue(r, 2)) + pick(r, []string{"", "", "", ".*", ".+"})
	}
	return pick(r, []string{"", "(?i)"}) + strings.Join(alts, "|")
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomValue(r *rand.Rand, most int) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteString(pick(r, words))
	}
	return b.String()
}

// randomRegexp makes a regexp out of a value, or out of nothing but chance.
func randomRegexp(r *rand.Rand, value string) string {
	quoted := regexp.QuoteMeta(value)
	cut := 0
	if len(value) > 0 {
		cut = r.IntN(len(value) + 1)
	}
	head, tail := regexp.QuoteMeta(value[:cut]), regexp.QuoteMeta(value[cut:])
	switch r.IntN(14) {
	case 0:
		return quoted
	case 1:
		return head + ".*"
	case 2:
		return ".*" + tail
	case 3:
		return ".*" + head + ".*"
	case 4:
		return "(?i)" + strings.ToUpper(quoted)
	case 5:
		return "(?i)" + strings.ToLower(head) + ".*"
	case 6:
		return quoted + "|" + regexp.QuoteMeta(randomValue(r, 3))
	case 7:
		return head + "(" + tail + "|" + pick(r, operators) + pick(r, words) + ")"
	case 8:
		return head + pick(r, operators) + tail
	case 9:
		return manyAlternatives(r)
	case 10:
		return manyAlternatives(r) + "|" + quoted
	default:
		var b strings.Builder
		for range 1 + r.IntN(8) {
			b.WriteString(pick(r, operators))
			if r.IntN(2) == 0 {
				b.WriteString(pick(r, words))
			}
		}
		return b.String()
	}
}

func randomSeries(r *rand.Rand) labels.Labels {
	b := labels.NewScratchBuilder(4)
	for _, name := range []string{labels.MetricName, "instance", "job", "é"} {
		if v := randomValue(r, 3); v != "" {
			b.Add(name, v)
		}
	}
	b.Sort()
	return b.Labels()
}

func randomMatcher(r *rand.Rand, near labels.Labels) *labels.Matcher {
	name := pick(r, []string{labels.MetricName, "instance", "job", "é", "absent"})
	value := near.Get(name)
	if r.IntN(4) == 0 {
		value = randomValue(r, 3)
	}
	t := labels.MatchType(r.IntN(4))
	if t == labels.MatchRegexp || t == labels.MatchNotRegexp {
		value = randomRegexp(r, value)
	}
	m, err := labels.NewMatcher(t, name, value)
	if err != nil {
		return nil
	}
	return m
}

func matches(ms []*labels.Matcher, lset labels.Labels) bool {
	for _, m := range ms {
		if !m.Matches(lset.Get(m.Name)) {
			return false
		}
	}
	return true
}

// checkSound fails if the selector matches the series, but is ruled out for it.
func checkSound(t *testing.T, scheme *Scheme, lset labels.Labels, ms []*labels.Matcher) (matched, ruledOut bool) {
	t.Helper()
	have := map[uint64]bool{}
	for _, fp := range scheme.AppendFingerprints(nil, lset) {
		have[fp] = true
	}
	q := Compile(ms)
	holds := q.Holds(func(fp uint64) bool { return have[fp] })
	if matched = matches(ms, lset); matched && !holds {
		t.Fatalf("series %q matches %q, but query %s rules it out, by scheme\n%s", lset, fmt.Sprint(ms), q, scheme)
	}
	return matched, !holds
}

// soundLabels are those of the series below, but for one that schemes do not know.
var soundLabels = []string{labels.MetricName, "instance", "job"}

// TestNoFalseNegative holds random selectors against random series, many of
// them made from the series, under random schemes, with Prometheus' own matchers as judge.
func TestNoFalseNegative(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched, ruledOut := 0, 0
	for range 60_000 {
		lset := randomSeries(r)
		var ms []*labels.Matcher
		for range 1 + r.IntN(3) {
			if m := randomMatcher(r, lset); m != nil {
				ms = append(ms, m)
			}
		}
		m, o := checkSound(t, randomScheme(r, soundLabels), lset, ms)
		if m {
			matched++
		}
		if o {
			ruledOut++
		}
	}
	// The test would be worth little if nothing matched, or nothing was ruled out.
	if matched < 10_000 || ruledOut < 10_000 {
		t.Errorf("of 60,000 selectors %d matched and %d were ruled out; want at least 10,000 each", matched, ruledOut)
	}
}

// FuzzNoFalseNegative lets the fuzzer choose a value, a pattern, and the matcher.
func FuzzNoFalseNegative(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 400 {
		value := randomValue(r, 3)
		pattern := value
		if i%4 >= 2 {
			pattern = randomRegexp(r, value)
		}
		f.Add(value, pattern, byte(i%4))
	}
	f.Add("ﬁ", "(?i)a|b|c|d|e|f|g|h|fi|j|k|l|m|n|o|p|q|r", byte(2))
	f.Add("fi", "(?i)a|b|c|d|e|f|g|h|ﬁ|j|k|l|m|n|o|p|q|r", byte(2))
	f.Add("B", "(?i:a)|b", byte(2))
	f.Fuzz(func(t *testing.T, value, pattern string, kind byte) {
		m, err := labels.NewMatcher(labels.MatchType(kind%4), "l", pattern)
		if err != nil {
			return
		}
		for _, lset := range []labels.Labels{labels.FromStrings("l", value), labels.FromStrings("m", value)} {
			other, err := labels.NewMatcher(labels.MatchType(kind/4%4), "k", value)
			if err != nil {
				continue
			}
			for _, scheme := range []*Scheme{nil, randomScheme(rand.New(rand.NewPCG(5, uint64(kind))), []string{labels.MetricName, "k", "l", "m"})} {
				checkSound(t, scheme, lset, []*labels.Matcher{m})
				both := labels.NewBuilder(lset).Set("k", value).Labels()
				checkSound(t, scheme, both, []*labels.Matcher{m, other})
				named := labels.NewBuilder(both).Set(labels.MetricName, "up").Labels()
				checkSound(t, scheme, named, []*labels.Matcher{m, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, "up|down")})
			}
		}
	})
}
