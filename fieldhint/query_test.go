package fieldhint

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// regexpQueries lists regexps of a matcher l=~"…" and what is asked about them.
// In the right column, AND binds tighter than OR, and trigrams that follow one
// another must all be there.
var regexpQueries = [][2]string{
	// plain values
	{`abc`, `l="abc" OR unvalued(l)`},
	{`a`, `l="a" OR unvalued(l)`},
	{`abc|def`, `l="abc" OR l="def" OR unvalued(l)`},
	{`a|b|c`, `l="a" OR l="b" OR l="c" OR unvalued(l)`},
	{`(((abc)))`, `l="abc" OR unvalued(l)`},
	{`abc?`, `l="ab" OR l="abc" OR unvalued(l)`},
	{`a?b`, `l="ab" OR l="b" OR unvalued(l)`},
	{`a{3}`, `l="aaa" OR unvalued(l)`},
	{`(abc){2}`, `l="abcabc" OR unvalued(l)`},
	{`api\.example\.com`, `l="api.example.com" OR unvalued(l)`},
	{`x[ab]`, `l="xa" OR l="xb" OR unvalued(l)`},
	{`prod-(eu|us)`, `l="prod-eu" OR l="prod-us" OR unvalued(l)`},
	{`é`, `l="é" OR unvalued(l)`},

	// what can match the empty string never prunes
	{``, `ALL`},
	{`.*`, `ALL`},
	{`a?`, `ALL`},
	{`abc|`, `ALL`},
	{`|abc`, `ALL`},
	{`(a|)`, `ALL`},
	{`abc|.*`, `ALL`},
	{`(?:)`, `ALL`},
	{`$^`, `ALL`},
	{`(abc)*`, `ALL`},
	{`a{0,3}`, `ALL`},

	// no trigram, but there must be a value
	{`.+`, `has(l)`},
	{`.`, `has(l)`},
	{`..`, `has(l)`},
	{`.{3}`, `has(l)`},
	{`.*a.*`, `has(l)`},
	{`.*ab.*`, `has(l)`},
	{`[^a]`, `has(l)`},
	{`[a-z]+`, `has(l)`},
	{`\d+`, `has(l) AND ((l~"^^0" OR l~"^^1" OR l~"^^2" OR l~"^^3" OR l~"^^4" OR l~"^^5" OR l~"^^6" OR l~"^^7" OR l~"^^8" OR l~"^^9") AND (l~"0$$" OR l~"1$$" OR l~"2$$" OR l~"3$$" OR l~"4$$" OR l~"5$$" OR l~"6$$" OR l~"7$$" OR l~"8$$" OR l~"9$$") OR long(l))`},

	// the start and the end of the value are marked
	{`abc.*`, `(l~"^^a" "^ab" "abc" OR long(l)) AND (l^="abc" OR unprefixed(l) OR unprefixed(*))`},
	{`.*abc`, `l~"abc" "bc$" "c$$" OR long(l)`},
	{`.*abc.*`, `l~"abc" OR long(l)`},
	{`a.*`, `l~"^^a" OR long(l)`},
	{`.*a`, `l~"a$$" OR long(l)`},
	{`ab.*cd`, `l~"^^a" "^ab" "cd$" "d$$" OR long(l)`},
	{`a.c`, `l~"^^a" "c$$" OR long(l)`},
	{`a+`, `l~"^^a" "a$$" OR long(l)`},
	{`.+abc.+`, `l~"abc" OR long(l)`},
	{`http://.*:90`, `(l~"^^h" "^ht" "htt" "ttp" "tp:" "p:/" "://" AND (l~"^http" "http:" "ttp:/" "tp://" OR uninfixed(l) OR uninfixed(*)) AND l~":90" "90$" "0$$" OR long(l)) AND (l^="http:" OR unprefixed(l) OR unprefixed(*))`},

	// alternatives
	{`foo.*|bar.*`, `(l~"^^f" "^fo" "foo" OR l~"^^b" "^ba" "bar" OR long(l)) AND (l^="bar" OR l^="foo" OR unprefixed(l) OR unprefixed(*))`},
	{`foo.*|bar`, `has(l) AND (l="bar" OR unvalued(l) OR (l~"^^f" "^fo" "foo" OR long(l)) AND (l^="foo" OR unprefixed(l) OR unprefixed(*)))`},
	{`(foo|bar).*`, `(l~"^^b" "^ba" "bar" OR l~"^^f" "^fo" "foo" OR long(l)) AND (l^="bar" OR l^="foo" OR unprefixed(l) OR unprefixed(*))`},
	{`.*(foo|bar).*`, `l~"bar" OR l~"foo" OR long(l)`},
	{`.*(foo|bar)`, `l~"bar" "ar$" "r$$" OR l~"foo" "oo$" "o$$" OR long(l)`},
	{`(|abc)d.*`, `l~"^^a" "^ab" "abc" "bcd" OR l~"^^d" OR long(l)`},
	{`((abc|de.*))`, `l="abc" OR unvalued(l) OR l~"^^d" "^de" OR long(l)`},
	{`x(.*foo|bar.*)y`, `l~"^^x" AND (l~"foo" OR l~"bar") AND l~"y$$" OR long(l)`},
	{`foo|foo.*bar`, `(l~"^^f" "^fo" "foo" OR long(l)) AND (l^="foo" OR unprefixed(l) OR unprefixed(*))`},

	// what stands before or after a part makes trigrams with it
	{`(ab|cd)ef.*`, `((l~"^^a" "^ab" "abe" "bef" OR l~"^^c" "^cd" "cde" "def") AND (l~"^abef" OR l~"^cdef" OR uninfixed(l) OR uninfixed(*)) OR long(l)) AND (l^="abe" OR l^="cde" OR unprefixed(l) OR unprefixed(*))`},
	{`a(b.*|c.*)d`, `(l~"^^a" "^ab" OR l~"^^a" "^ac") AND l~"d$$" OR long(l)`},
	{`(ab)+c`, `l~"^^a" "^ab" "abc" "bc$" "c$$" OR long(l)`},
	{`a(bc)?d.*`, `l~"^^a" "^ab" "abc" "bcd" OR l~"^^a" "^ad" OR long(l)`},

	// repeats
	{`a{2,}`, `l~"^^a" "^aa" "aa$" "a$$" OR long(l)`},
	{`a{2,3}`, `l~"^^a" "^aa" "aa$" "a$$" OR long(l)`},
	{`(ab)*c`, `l~"c$$" OR long(l)`},
	{`(ab.){6}`, `l~"^^a" "^ab" OR long(l)`},
	{`.{3,}abc`, `l~"abc" "bc$" "c$$" OR long(l)`},
	{`(abc){2,}`, `(l~"^^a" "^ab" "abc" "bca" "cab" AND (l~"^abca" "abcab" "bcabc" OR uninfixed(l) OR uninfixed(*)) AND l~"bc$" "c$$" AND (l~"abcab" "bcabc" "cabc$" OR uninfixed(l) OR uninfixed(*)) OR long(l)) AND (l^="abcab" OR unprefixed(l) OR unprefixed(*))`},
	{`(.*ab.*){9}c`, `l~"c$$" OR long(l)`},
	{`a{0}b.*`, `l~"^^b" OR long(l)`},
	{`(foo-|bar-)+`, `((l~"^^b" "^ba" "bar" "ar-" OR l~"^^f" "^fo" "foo" "oo-") AND (l~"^bar-" OR l~"^foo-" OR uninfixed(l) OR uninfixed(*)) AND (l~"bar" "ar-" "r-$" "-$$" OR l~"foo" "oo-" "o-$" "-$$") AND (l~"bar-$" OR l~"foo-$" OR uninfixed(l) OR uninfixed(*)) OR long(l)) AND (l^="bar" OR l^="foo" OR unprefixed(l) OR unprefixed(*))`},

	// classes: small ones are spelled out
	{`[ab]c.*`, `l~"^^a" "^ac" OR l~"^^b" "^bc" OR long(l)`},
	{`[^a]bc`, `l~"bc$" "c$$" OR long(l)`},
	{`x[a-z]y.*`, `l~"^^x" OR long(l)`},
	{`foo[a-z]+bar`, `(l~"^^f" "^fo" "foo" "bar" "ar$" "r$$" OR long(l)) AND (l^="foo" OR unprefixed(l) OR unprefixed(*))`},
	{`x[0-2]`, `l="x0" OR l="x1" OR l="x2" OR unvalued(l)`},
	{`v\d\..*`, `(l~"^^v" "^v0" "v0." OR l~"^^v" "^v1" "v1." OR l~"^^v" "^v2" "v2." OR l~"^^v" "^v3" "v3." OR l~"^^v" "^v4" "v4." OR l~"^^v" "^v5" "v5." OR l~"^^v" "^v6" "v6." OR l~"^^v" "^v7" "v7." OR l~"^^v" "^v8" "v8." OR l~"^^v" "^v9" "v9." OR long(l)) AND (l^="v0." OR l^="v1." OR l^="v2." OR l^="v3." OR l^="v4." OR l^="v5." OR l^="v6." OR l^="v7." OR l^="v8." OR l^="v9." OR unprefixed(l) OR unprefixed(*))`},
	{`\pL+-abc`, `l~"-ab" "abc" "bc$" "c$$" AND (l~"-abc$" OR uninfixed(l) OR uninfixed(*)) OR long(l)`},

	// either case; other characters may then stand for anything, and values beyond ASCII pass
	{`(?i)ab`, `l="AB" OR l="Ab" OR l="aB" OR l="ab" OR unvalued(l) OR wide(l)`},
	{`(?i)k`, `l="K" OR l="k" OR unvalued(l) OR wide(l)`},
	{`(?i)a1-.*`, `has(l) AND ((l~"^^A" "^A1" "A1-" OR l~"^^a" "^a1" "a1-" OR long(l)) AND (l^="A1-" OR l^="a1-" OR unprefixed(l) OR unprefixed(*)) OR wide(l))`},
	{`(?i)é.*`, `has(l)`},
	{`(?i)abé.*`, `has(l) AND (l~"^^A" "^AB" OR l~"^^A" "^Ab" OR l~"^^a" "^aB" OR l~"^^a" "^ab" OR long(l) OR wide(l))`},
	{`[Aa]b`, `l="Ab" OR l="ab" OR unvalued(l) OR wide(l)`},
	{`(?i:a)b`, `l="Ab" OR l="ab" OR unvalued(l) OR wide(l)`},
	{`(?i)1.*`, `l~"^^1" OR long(l) OR wide(l)`},
	{`.*(?i)ab1`, `has(l) AND (l~"AB1" "B1$" "1$$" OR l~"Ab1" "b1$" "1$$" OR l~"aB1" "B1$" "1$$" OR l~"ab1" "b1$" "1$$" OR long(l) OR wide(l))`},

	// zero width
	{`^abc$`, `l="abc" OR unvalued(l)`},
	{`(?m)^abc$`, `l="abc" OR unvalued(l)`},
	{`abc$.*`, `(l~"^^a" "^ab" "abc" OR long(l)) AND (l^="abc" OR unprefixed(l) OR unprefixed(*))`},
	{`\babc\b.*`, `(l~"^^a" "^ab" "abc" OR long(l)) AND (l^="abc" OR unprefixed(l) OR unprefixed(*))`},
	{`a^b.*`, `l~"^^a" "^ab" OR long(l)`},

	// flags on the dot
	{`(?s)a.b.*`, `l~"^^a" OR long(l)`},
	{`(?-s)a.b.*`, `l~"^^a" OR long(l)`},
	{`(?U)abc.*`, `(l~"^^a" "^ab" "abc" OR long(l)) AND (l^="abc" OR unprefixed(l) OR unprefixed(*))`},

	// nothing matches
	{`[^\x00-\x{10FFFF}]`, `NONE`},
	{`abc[^\x00-\x{10FFFF}]|xyz`, `l="xyz" OR unvalued(l)`},
	{`.*[^\x00-\x{10FFFF}]`, `NONE`},

	// bytes, marks and replacement characters
	{`é.*`, `l~"^^\xc3" "^\xc3\xa9" OR long(l)`},
	{`.*\x{FFFD}ab.*`, `has(l)`},
	{`\^a\$.*`, `(l~"^^\^" "^\^a" "\^a\$" OR long(l)) AND (l^="^a$" OR unprefixed(l) OR unprefixed(*))`},
	{`"a\\b.*`, `(l~"^^\"" "^\"a" "\"a\\" "a\\b" AND (l~"^\"a\\b" OR uninfixed(l) OR uninfixed(*)) OR long(l)) AND (l^="\"a\\" OR unprefixed(l) OR unprefixed(*))`},
	{`\x{FFFD}`, `has(l)`},
	{`[\x{FFFD}]abc`, `l~"abc" "bc$" "c$$" OR long(l)`},
	{`\.\+.*`, `l~"^^." "^.+" OR long(l)`},
}

func TestRegexpQueries(t *testing.T) {
	for _, c := range regexpQueries {
		q := Compile([]*labels.Matcher{matcher(t, labels.MatchRegexp, "l", c[0])})
		if diff := cmp.Diff(c[1], q.String()); diff != "" {
			t.Errorf("query of %q (-want +got):\n%s", c[0], diff)
		}
	}
}

func matcher(t testing.TB, kind labels.MatchType, name, value string) *labels.Matcher {
	t.Helper()
	m, err := labels.NewMatcher(kind, name, value)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// selector makes matchers of text such as `job="api" pod=~"a.*"`.
func selector(t testing.TB, text string) []*labels.Matcher {
	t.Helper()
	var ms []*labels.Matcher
	re := regexp.MustCompile(`^\s*(\w+)(=~|!~|!=|=)("(?:[^"\\]|\\.)*")`)
	kinds := map[string]labels.MatchType{"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp}
	for strings.TrimSpace(text) != "" {
		p := re.FindStringSubmatch(text)
		if p == nil {
			t.Fatalf("bad selector %q", text)
		}
		value, err := strconv.Unquote(p[3])
		if err != nil {
			t.Fatal(err)
		}
		ms = append(ms, matcher(t, kinds[p[2]], p[1], value))
		text = text[len(p[0]):]
	}
	return ms
}

var selectorQueries = [][2]string{
	// nothing asked
	{``, `ALL`},

	// equality
	{`job="api"`, `job="api" OR unvalued(job)`},
	{`job="api" __name__="up"`, `(pair(__name__="up", job="api") OR unpaired(__name__, job) OR unpaired(*)) AND (job="api" OR unvalued(job)) AND __name__="up"`},
	{`job=""`, `ALL`},

	// negation implies the label only if it excludes the empty string
	{`job!="api"`, `ALL`},
	{`job!=""`, `has(job)`},
	{`job!~"api|web"`, `ALL`},
	{`job!~"api|"`, `has(job)`},
	{`job!~".*"`, `has(job)`},
	{`job!~".+"`, `ALL`},

	// all matchers of a label speak of one value
	{`job=~"api|web" job!="web"`, `job="api" OR unvalued(job)`},
	{`job=~"api|web|db" job=~"a.*|d.*"`, `(job="api" OR job="db" OR unvalued(job)) AND (job~"^^a" OR job~"^^d" OR long(job))`},
	{`job="api" job="web"`, `NONE`},
	{`job="api" job=""`, `NONE`},
	{`job="api" job!~"a.*"`, `NONE`},
	{`job=~"(?i)api" job!~".*[A-Z].*"`, `job="api" OR unvalued(job) OR wide(job)`},

	// labels are conjunctive
	{`job="api" pod=~"api-.*" zone=~".*"`, `(pair(job="api", pod^="api") OR unprefixed(job, pod) OR unprefixed(job, *) OR unprefixed(*)) AND (job="api" OR unvalued(job)) AND (pod~"^^a" "^ap" "api" "pi-" AND (pod~"^api-" OR uninfixed(pod) OR uninfixed(*)) OR long(pod)) AND (pod^="api" OR unprefixed(pod) OR unprefixed(*))`},
}

func TestSelectorQueries(t *testing.T) {
	for _, c := range selectorQueries {
		if diff := cmp.Diff(c[1], Compile(selector(t, c[0])).String()); diff != "" {
			t.Errorf("query of {%s} (-want +got):\n%s", c[0], diff)
		}
	}
}

// Matchers that were not made by labels.NewMatcher cannot be asked anything.
func TestUnusableMatchersPruneNothing(t *testing.T) {
	for _, m := range []*labels.Matcher{
		nil,
		{Type: labels.MatchRegexp, Name: "l", Value: "abc"},
		{Type: labels.MatchNotRegexp, Name: "l"},
		{Type: 99, Name: "l", Value: "abc"},
	} {
		if got := Compile([]*labels.Matcher{m}).String(); got != "ALL" {
			t.Errorf("query of %#v is %s, want ALL", m, got)
		}
	}
	if got := (Query{}).String(); got != "ALL" {
		t.Errorf("zero query is %s, want ALL", got)
	}
}

// Whatever the regexp, the query stays small. The test fails by its time-out if
// the work does not.
func TestHugeRegexpsAreBounded(t *testing.T) {
	words := func(n int, sep, suffix string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteString(sep)
			}
			b.WriteString("pod-" + strconv.Itoa(i*7919) + suffix)
		}
		return b.String()
	}
	for name, re := range map[string]string{
		"50,000 literals":        words(50_000, "|", ""),
		"1,000 literals":         words(1000, "|", ""),
		"3,000 prefixes":         words(3000, "|", ".*"),
		"200 prefixes":           words(200, "|", ".*"),
		"literals within":        "x(" + words(2000, "|", "") + ").*y",
		"nested repeats":         `((((a|b){1,9}(c|d){1,9}){1,3}){1,3}x?){1,3}y`,
		"repeats of classes":     `[a-f]{1,200}[0-9]{5,300}z`,
		"many groups":            strings.Repeat("(ab|cd|.x)", 2000),
		"many dots":              strings.Repeat("abc.", 8000),
		"either case, long":      "(?i)" + strings.Repeat("kubernetes-", 500),
		"either case, many":      "(?i)" + words(3000, "|", ""),
		"alternatives of gaps":   strings.Repeat("a.*b|", 5000) + "c",
		"deep":                   strings.Repeat("(a", 150) + "|b" + strings.Repeat(")+", 150) + "c",
		"products":               strings.Repeat("(a|b|c|d|e|f|g|h)", 30),
		"products with distance": strings.Repeat("(aaa|bbb|ccc|ddd|eee|fff|ggg|hhh).*", 300),
	} {
		q := Compile([]*labels.Matcher{matcher(t, labels.MatchRegexp, "l", re)})
		if n := q.expr().size; n > maxAtoms+maxLiterals+3 {
			t.Errorf("%s: %d atoms", name, n)
		}
	}
}

// Fingerprints travel between releases: these must never change while
// frameVersion stays.
func TestFingerprintsAreStable(t *testing.T) {
	got := AppendFingerprints(nil, labels.FromStrings("job", "aé"))
	want := cutAll([]uint64{
		10063263969910409946, 5923419369696322565, 4899536485089312838, 264248638990640, 229991604840631, 156262828414266, 12031327774206962920,
		708960302820677010, 9179174286424451952, 17878250349547847945, 16289666231871135857,
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fingerprints (-want +got):\n%s", diff)
	}
}

func TestFingerprintsOfValues(t *testing.T) {
	trigrams := func(s string) (out []string) {
		for g := range grams(s, true, true) {
			out = append(out, g.String())
		}
		return out
	}
	for _, c := range [][2]string{
		{"m", `^^m ^m$ m$$`},
		{"monarch", `^^m ^mo mon ona nar arc rch ch$ h$$`},
		{"^$", `^^\^ ^\^\$ \^\$$ \$$$`},
	} {
		if diff := cmp.Diff(c[1], strings.Join(trigrams(c[0]), " ")); diff != "" {
			t.Errorf("trigrams of %q (-want +got):\n%s", c[0], diff)
		}
	}
	if n := len(AppendFingerprints(nil, labels.FromStrings("l", strings.Repeat("x", maxGramValue+1)))); n != 5+len(rungs)-1 {
		t.Errorf("a long value has %d fingerprints, want 14: presence, value, long, uninfixed, prefixes but for the shortest", n)
	}
	if n := len(AppendFingerprints(nil, labels.FromStrings("l", ""))); n != 0 {
		t.Errorf("an empty value has %d fingerprints, want none", n)
	}
}
