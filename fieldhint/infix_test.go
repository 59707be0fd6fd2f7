package fieldhint

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

func TestInfixesRuleOutWhatTrigramsDoNot(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := plannedSet(t, SetConfig{}, people())
	s.SetComplete()
	connect(t, s, p, "a").flow()
	// All trigrams of what is ruled out are there, in one job or the other.
	p.expect(t, "a piece of a value", "a",
		`job=~".*il-core-api"`, `!job=~".*l-retail-a.*"`, `job=~".*al-core-web.*"`, `!job=~".*core-web"`, `job=~".*retail-node.*"`,
		`!job=~".*(retail|core)-a.*"`, `!job=~"(?i).*RETAIL-A.*"`, `job=~"(?i).*RETAIL-NODE.*"`)
	p.expect(t, "with a metric", "a",
		`__name__="http_requests_total" job=~".*al-ret.*"`, `!__name__="queue_length" job=~".*al-ret.*"`,
		`__name__="queue_length" job=~".*proxy"`, `!__name__="http_requests_total" job=~".*proxy"`,
		`__name__=~"queue_length|up" job=~".*proxy"`, `!__name__=~"queue_length|http_requests_total" job=~".*proxy"`,
		`!__name__="queue_length" job=~".*al-ret.*|kube-proxy"`, `__name__="http_requests_total" job=~".*al-ret.*|node-exporter"`)
}

// What lies between two other values has infixes as well, and long values none.
func TestInfixesOfLongAndShortValues(t *testing.T) {
	long := strings.Repeat("long", 70)
	p := newParent(t, IndexConfig{})
	s := plannedSet(t, SetConfig{}, append(people(),
		labels.FromStrings(labels.MetricName, "up", "job", "a", "path", long), labels.FromStrings(labels.MetricName, "up", "job", "a", "path", "/x")))
	s.SetComplete()
	connect(t, s, p, "a").flow()
	p.expect(t, "short", "a", `!__name__="up" job=~"a.*"`, `!__name__="up" job=~".*a"`, `!__name__="up" path=~".*/x"`)
	p.expect(t, "long", "a", `!__name__="up" path=~".*longlonglong.*"`, `!path=~".*other-text.*"`)
}

// A child of the release before says that it knows prefixes, but no infixes: its
// parent says so, to its own parents too.
func TestChildWithoutInfixesIsAsked(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p, root := newParent(t, IndexConfig{Union: zone}), newParent(t, IndexConfig{})
	lset := labels.FromStrings(labels.MetricName, "up", "job", "social-core-api")
	fps := slices.DeleteFunc(AppendFingerprints(nil, lset), func(fp uint64) bool {
		return slices.Contains(infixFacts(lset), fp)
	})
	f := p.Open("old")
	for _, fr := range []frame{
		{complete: true, first: true, epoch: 7, facts: factsPrefixes, records: []record{{kind: recordOpen, id: 1, span: always}}},
		{complete: true, epoch: 7, seq: 1, records: []record{{kind: recordFingerprints, id: 1, fps: fps}}},
	} {
		if err := f.Apply(fr.append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	p.expect(t, "of the release before", "old", `!job=~".*al-core.*"`, `!__name__="up" job=~".*al-core.*"`, `job=~"social-xo.*"`, `job=~".*xo-core.*"`)
	zone.SetComplete()
	connect(t, zone, root, "zone").flow()
	root.expect(t, "at the root", "zone", `!job=~".*al-core.*"`, `!__name__="up" job=~".*al-core.*"`, `job=~".*xo-core.*"`)
}

// infixFacts are the fingerprints of a series about infixes.
func infixFacts(lset labels.Labels) (out []uint64) {
	hs := hashAll(lset)
	i := 0
	lset.Range(func(l labels.Label) {
		out = appendInfixes(appendInfixes(out, hs[i].name, l.Value, true), hs[i].name, l.Value, false)
		out = appendInfixPairs(out, 0, hs[i].name, l.Value, false)
		i++
	})
	return out
}

// What is asked of any piece of a value is told of the value.
func TestInfixesAskedAreTold(t *testing.T) {
	const value = "social-core-api"
	told := slices.Collect(infixes(value))
	for from := range len(value) + 1 {
		for to := from; to <= len(value); to++ {
			for _, f := range askedInfixes(value[from:to], from == 0, to == len(value)) {
				if !slices.Contains(told, f) {
					t.Errorf("%s of %q is not told", f, value[from:to])
				}
			}
		}
	}
	if n := len(slices.Compact(told)); n != 2*len(value)+4-infixLens[0]-infixLens[1]+2 {
		t.Errorf("%d infixes: %v", n, told)
	}
	for _, other := range []string{"", "a", "ab", "abc"} {
		if got, want := len(askedInfixes(other, true, true)), max(0, len(other)-2); got != want {
			t.Errorf("%q: %d infixes, want %d", other, got, want)
		}
	}
}
