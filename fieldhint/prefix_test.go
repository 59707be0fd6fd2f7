package fieldhint

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// people are series in which every trigram of what is asked below occurs, and
// every prefix, but not together in one value, or not with that metric.
func people() []labels.Labels {
	var out []labels.Labels
	for _, s := range [][2]string{
		{"http_requests_total", "social-core-api"},
		{"http_requests_total", "mail-retail-web"},
		{"queue_length", "social-retail-api"},
		{"queue_length", "mail-core-web"},
		{"http_requests_total", "kube-proxy"},
		{"queue_length", "node-exporter"},
	} {
		for pod := range 3 {
			out = append(out, labels.FromStrings(labels.MetricName, s[0], "job", s[1], "pod", fmt.Sprintf("%s-%d", s[1], pod)))
		}
	}
	return out
}

func TestPrefixesRuleOutWhatTrigramsDoNot(t *testing.T) {
	p := newParent(t, IndexConfig{})
	s := plannedSet(t, SetConfig{}, people())
	s.SetComplete()
	connect(t, s, p, "a").flow()
	p.expect(t, "a value's beginning", "a",
		`job=~"mail-api.*"`, `!job=~"mail-ret.*"`, `!job=~"social-retail-a.*"`, `job=~"kube-exporter.*"`, `job=~"social-web.*"`)
	p.expect(t, "with another metric", "a",
		`__name__="http_requests_total" job=~"social-re.*"`, `!__name__="queue_length" job=~"social-re.*"`,
		`__name__="queue_length" job=~"kube.*"`, `!__name__="http_requests_total" job=~"kube.*"`,
		`__name__="http_requests_total" job=~"n.*"`, `!__name__="queue_length" job=~"n.*"`,
		`__name__="queue_length" pod=~"mail-ret.*"`, `!__name__="queue_length" pod=~"mail-cor.*"`)
	p.expect(t, "with another label", "a",
		`job="mail-core-web" pod=~"mail-retail.*"`, `!job="mail-core-web" pod=~"mail-core.*"`,
		`job=~"kube-proxy|node-exporter" pod=~"(mail|social).*"`, `!job=~"kube-proxy|mail-core-web" pod=~"(mail|social).*"`)
	p.expect(t, "either case", "a",
		`__name__="queue_length" job=~"(?i)KUBE.*"`, `!__name__="queue_length" job=~"(?i)SOCIAL.*"`)
}

// A matcher of any value asks for the label on a series with the others' values.
func TestLabelsOnSeriesWithAValue(t *testing.T) {
	all := append(people(), labels.FromStrings(labels.MetricName, "up", "job", "kube-proxy", "path", "/"))
	p := newParent(t, IndexConfig{})
	s := plannedSet(t, SetConfig{}, all)
	s.SetComplete()
	connect(t, s, p, "a").flow()
	p.expect(t, "presence", "a",
		`!job="kube-proxy" path!=""`, `job="mail-core-web" path!=""`, `!__name__="up" path=~".+"`, `__name__="queue_length" path=~".+"`,
		`__name__="queue_length" path!~""`, `!__name__="queue_length" path!~"/"`)
}

// A child of the release before knows no prefixes, and does not say so: its parent
// does, to its own parents too.
func TestChildWithoutPrefixesIsAsked(t *testing.T) {
	zone := newSet(t, SetConfig{})
	p, root := newParent(t, IndexConfig{Union: zone}), newParent(t, IndexConfig{})
	before := undecided(nil)
	before.decided = true
	lset := labels.FromStrings(labels.MetricName, "up", "job", "social-core")
	fps := slices.DeleteFunc(before.AppendFingerprints(nil, lset), func(fp uint64) bool {
		// What it does say: presence, values, trigrams, pairs.
		return slices.Contains(newFacts(lset), fp)
	})
	f := p.Open("old")
	for i, fr := range []frame{
		{complete: true, first: true, epoch: 7, records: []record{{kind: recordOpen, id: 1, span: always}}},
		{complete: true, epoch: 7, seq: 1, records: []record{{kind: recordFingerprints, id: 1, fps: fps}}},
		{complete: true, epoch: 7, seq: 2, records: []record{{kind: recordOpen, id: 2, span: always}}}, // its next generation
		{complete: true, epoch: 7, seq: 3, records: []record{{kind: recordFingerprints, id: 2, fps: fps}, {kind: recordDrop, id: 1}}},
	} {
		if err := f.Apply(fr.append(nil)); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			p.expect(t, fmt.Sprint("frame ", i), "old", `!__name__="up" job=~"social-.*"`, `!job=~"social-co.*"`, `job=~"social-xo.*"`, `job="api"`)
		}
	}
	s := plannedSet(t, SetConfig{}, people())
	s.SetComplete()
	connect(t, s, p, "new").flow()
	p.expect(t, "of this release", "new", `__name__="http_requests_total" job=~"social-re.*"`)
	zone.SetComplete()
	connect(t, zone, root, "zone").flow()
	root.expect(t, "at the root", "zone", `!__name__="up" job=~"social-.*"`, `!job=~"social-co.*"`, `!__name__="http_requests_total" job=~"social-re.*"`, `job=~"x.*"`)
}

// newFacts are the fingerprints of a series that the release before did not make.
func newFacts(lset labels.Labels) (out []uint64) {
	hs := hashAll(lset)
	i := 0
	lset.Range(func(l labels.Label) {
		out = appendSure(appendPrefixes(out, hs[i].name, l.Value), hs[i].name, factUnprefixed)
		out = appendSure(appendInfixes(out, hs[i].name, l.Value, true), hs[i].name, factUninfixed)
		out = appendSure(out, hs[i].name, factUninfixedPair)
		for j := range hs {
			out = appendUnprefixedPair(appendUnprefixedPair(out, hs[i].name, hs[j].name, true), hs[i].name, hs[j].name, false)
		}
		i++
	})
	return out
}

// A parent of the release before ignores what a child says of itself.
func TestFactsMayBeIgnored(t *testing.T) {
	fr := frame{first: true, facts: factsInfixes}
	b := fr.append(nil)
	if kind := b[frameHeaderSize]; kind < recordOptional {
		t.Errorf("record of kind %d, which others may not ignore", kind)
	}
	got, _, err := decodeFrame(b, nil)
	if err != nil || got.facts != factsInfixes {
		t.Errorf("decoded %+v, %v", got, err)
	}
	st := newSet(t, SetConfig{}).newStream(Cursor{}, func(b []byte) error {
		if fr, _, err := decodeFrame(b, nil); err != nil || fr.first != (fr.facts == factsInfixes) {
			t.Errorf("frame %+v, %v", fr, err)
		}
		return nil
	})
	if sent, err := st.step(); !sent || err != nil {
		t.Errorf("sent %v, %v", sent, err)
	}
}

// A pair that seems to be there is believed only with the prefixes that come with it,
// unless they are not kept.
func TestPairNeedsItsPrefixes(t *testing.T) {
	name := func(s string) hashed { return hashAll(labels.FromStrings(s, "x"))[0] }
	up, job := hashAll(labels.FromStrings(labels.MetricName, "up"))[0], hashAll(labels.FromStrings("job", "api"))[0]
	pair := pairFact(pairBase(up.name, job.name), up, job)
	others := slices.DeleteFunc(AppendFingerprints(nil, labels.FromStrings(labels.MetricName, "up", "job", "api")), func(fp uint64) bool {
		return slices.Contains(appendUnprefixedPair(nil, up.name, job.name, true), fp) || slices.Contains(appendUnprefixedPair(nil, up.name, job.name, false), fp) ||
			slices.Contains(appendUnpaired(nil, up.name, job.name), fp)
	})
	q := Compile(selector(t, `__name__="up" job="api"`))
	for _, c := range []struct {
		what string
		fps  []uint64
		want bool
	}{
		{"pair alone", nil, false},
		{"pair with prefixes", appendPrefixPairs(nil, prefixBase(up.name, job.name), up.value, "api"), true},
		{"no prefixes with values of the metric's name", appendUnprefixedPair(nil, up.name, job.name, true), true},
		{"no prefixes with this label", appendUnprefixedPair(nil, up.name, job.name, false), true},
		{"no prefixes with another label", appendUnprefixedPair(nil, up.name, name("pod").name, false), false},
		{"no prefixes at all", AppendUnprefixedOfAll(nil), true},
	} {
		have := slices.Concat(others, []uint64{pair}, c.fps)
		if got := q.Holds(func(fp uint64) bool { return slices.Contains(have, fp) }); got != c.want {
			t.Errorf("%s: holds is %v, want %v", c.what, got, c.want)
		}
	}
}

// Prefixes that are asked for are told of: the two sides cut values alike.
func TestRungs(t *testing.T) {
	const long = "abcdefghijklmnopqrstuvwxyz0123456789"
	a, b := hashAll(labels.FromStrings("a", "v"))[0], hashAll(labels.FromStrings("b", "v"))[0]
	for n := range len(long) {
		s, want := long[:n], 0
		for _, r := range rungs {
			if r <= n {
				want = r
			}
		}
		if got := rung(s); len(got) != want {
			t.Errorf("rung of %d bytes has %d, want %d", n, len(got), want)
		}
		told := appendPrefixPairs(nil, prefixBase(a.name, b.name), a.value, s)
		for p, ok := rung(s), true; ok; p, ok = shorter(p) {
			if fp := hasPrefixPair(labels.Label{Name: "a", Value: "v"}, "b", p).atom.fp; !slices.Contains(told, fp) {
				t.Errorf("prefix %q of %q is not told of", p, s)
			}
		}
		if len(told) != 1+slices.IndexFunc(append(rungs[:], math.MaxInt), func(r int) bool { return r > n }) {
			t.Errorf("%d facts of %d bytes", len(told), n)
		}
	}
}

func TestCovering(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{nil, []string{}},
		{[]string{"a"}, []string{"a"}},
		{[]string{"abc", "abcde", "abd", "abe"}, []string{"abc", "abd", "abe"}},
		{[]string{"", "a"}, []string{""}},
		{[]string{"a\x00", "a\x00b", "a\xff"}, []string{"a\x00", "a\xff"}},
	} {
		if got := covering(slices.Clone(c.in)); !slices.Equal(got, c.want) {
			t.Errorf("covering(%q) is %q, want %q", c.in, got, c.want)
		}
	}
}
