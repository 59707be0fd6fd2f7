package fieldhint

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// randomScheme decides about labels by chance.
func randomScheme(r *rand.Rand, names []string) *Scheme {
	if r.IntN(8) == 0 {
		return nil
	}
	s := undecided(nil)
	s.decided, s.labels, s.pairs = r.IntN(8) > 0, map[string]labelKinds{}, map[[2]string]bool{}
	s.prefixPairs, s.prefixed, s.infixPairs = map[[2]string]bool{}, map[string]bool{}, map[string]bool{}
	for i, a := range names {
		s.labels[a] = labelKinds{values: r.IntN(4) > 0, trigrams: r.IntN(4) > 0, prefixes: r.IntN(4) > 0, infixes: r.IntN(2) > 0}
		s.infixPairs[a] = r.IntN(2) > 0
		for _, b := range names {
			if a != b && r.IntN(2) == 0 {
				s.prefixPairs[[2]string{a, b}], s.prefixed[a] = true, true
			}
		}
		for _, b := range names[:i] {
			s.pairs[pairKey(a, b)] = r.IntN(3) > 0
		}
	}
	if r.IntN(4) == 0 {
		s.drop[pick(r, names)] = true
	}
	return s
}

// world is some children's series, and what is known of them in one hint, as of
// a zone: each child has a scheme and external labels of its own.
type world struct {
	served []labels.Labels
	have   map[uint64]bool
}

var worldLabels = []string{labels.MetricName, "cluster", "job", "ns", "pod", "é.x"}

func worldValue(r *rand.Rand) string {
	return pick(r, []string{"a", "b", "c", "ab", "Ab", "ab-1", "ab-1-cd-2", "cd-2-ab-1", "é", "\u212a", "K", "k", strings.Repeat("long", 70)}) // 212a is the sign for kelvin
}

func worldSeries(r *rand.Rand) labels.Labels {
	b := labels.NewScratchBuilder(len(worldLabels))
	for _, name := range worldLabels {
		if r.IntN(4) > 0 {
			b.Add(name, worldValue(r))
		}
	}
	return b.Labels()
}

func newWorld(r *rand.Rand) world {
	w := world{have: map[uint64]bool{}}
	for range 1 + r.IntN(2) {
		external := labels.EmptyLabels()
		if r.IntN(2) == 0 {
			external = labels.FromStrings("cluster", worldValue(r), "zone", "z")
		}
		l := newLog(r.Uint64(), newRoom(1<<20), 64*r.IntN(2)).keep(randomScheme(r, worldLabels[:5]), external)
		l.addSeries(external)
		for range 1 + r.IntN(3) {
			own := worldSeries(r)
			served := labels.NewBuilder(own)
			external.Range(func(e labels.Label) { served.Set(e.Name, e.Value) })
			l.addSeries(own)
			l.addSeries(own)
			w.served = append(w.served, served.Labels())
			if r.IntN(2) == 0 {
				l.addSeries(served.Labels())
			}
		}
		for _, fp := range l.read(nil, 0, l.len()) {
			w.have[fp] = true
		}
	}
	return w
}

func worldMatcher(r *rand.Rand, near labels.Labels) *labels.Matcher {
	name := pick(r, append(worldLabels, "zone", "absent"))
	value := near.Get(name)
	if r.IntN(3) == 0 {
		value = worldValue(r)
	}
	kind := labels.MatchType(r.IntN(4))
	switch {
	case r.IntN(2) == 0:
		kind = labels.MatchEqual
	case kind == labels.MatchRegexp && r.IntN(4) == 0:
		value = "(?i)" + strings.ReplaceAll(value, "\u212a", "k")
	case kind == labels.MatchRegexp || kind == labels.MatchNotRegexp:
		value = pick(r, []string{"", "", "(?i)", "^", "(?i:a)|"}) + value + pick(r, []string{"", "|", "|c", "|a|b", "|(ab)+", "|ab.*", "$", ".*", "[a-z]?"})
	}
	return labels.MustNewMatcher(kind, name, value)
}

// TestJointHintsHaveNoFalseNegative holds random selectors against the hints of
// several series of several children, whose schemes differ: 210,000 look-ups.
func TestJointHintsHaveNoFalseNegative(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	matched, ruledOut, byPairs := 0, 0, 0
	const batches, worlds, selectors = 140, 10, 150
	for range batches {
		ws := make([]world, worlds)
		for i := range ws {
			ws[i] = newWorld(r)
		}
		for i := range selectors {
			near := pick(r, ws[i%worlds].served)
			ms := []*labels.Matcher{worldMatcher(r, near)}
			for range r.IntN(4) {
				ms = append(ms, worldMatcher(r, near))
			}
			q := Compile(ms)
			for _, w := range ws {
				match := slices.ContainsFunc(w.served, func(lset labels.Labels) bool { return matches(ms, lset) })
				holds := q.Holds(func(fp uint64) bool { return w.have[fp] })
				switch {
				case match && !holds:
					t.Fatalf("of series %s one matches %v, but query %s rules it out", w.served, ms, q)
				case match:
					matched++
				case !holds:
					ruledOut++
					pairless := AppendUnpairedOfAll(nil)
					if q.Holds(func(fp uint64) bool { return w.have[fp] || slices.Contains(pairless, fp) }) {
						byPairs++
					}
				}
			}
		}
	}
	const n = batches * worlds * selectors
	t.Logf("of %d: %d matched, %d ruled out, %d of them by pairs alone", n, matched, ruledOut, byPairs)
	// The test would be worth little if nothing matched, or nothing was ruled out.
	if matched < n/5 || ruledOut < n/5 || byPairs < n/200 {
		t.Errorf("of %d: %d matched, %d ruled out, %d of them by pairs alone; want at least 20%%, 20%% and 0.5%%", n, matched, ruledOut, byPairs)
	}
}

// A log adds what its scheme says of each series, no more and no less, whatever
// its caches remember.
func TestLogAddsWhatTheSchemeSays(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		scheme := randomScheme(r, worldLabels[:5])
		l := newLog(r.Uint64(), newRoom(1<<20), pick(r, []int{0, 2, 1 << 10})).keep(scheme, labels.EmptyLabels())
		want, got := map[uint64]bool{}, map[uint64]bool{}
		for range 40 {
			lset := worldSeries(r)
			l.addSeries(lset)
			for _, fp := range scheme.AppendFingerprints(nil, lset) {
				want[fp] = true
			}
		}
		for _, fp := range l.read(nil, 0, l.len()) {
			got[fp] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("log (-want +got):\n%s", diff)
		}
	}
}

// The same, of runs of series that have all but a few labels in common, as those of a
// target have, broken by others: of series of other labels, without any, or with those
// of the leaf.
func TestLogAddsRunsOfSeries(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	external := labels.FromStrings("cluster", "a")
	for range 40 {
		scheme := randomScheme(r, worldLabels[:5])
		l := newLog(r.Uint64(), newRoom(1<<20), pick(r, []int{2, 1 << 10})).keep(scheme, external)
		plain := newLog(r.Uint64(), newRoom(1<<20), 0).keep(scheme, external)
		for range 8 {
			first, changing := worldSeries(r), []string{pick(r, worldLabels), pick(r, worldLabels)}
			for range 12 {
				b := labels.NewBuilder(first)
				for _, name := range changing {
					b.Set(name, worldValue(r))
				}
				lset := b.Labels()
				if r.IntN(12) == 0 {
					lset = pick(r, []labels.Labels{worldSeries(r), labels.FromStrings("job", "a"), labels.EmptyLabels()})
				}
				l.addSeries(lset)
				// One that has seen no other series: it compares with none.
				fresh := newLog(1, newRoom(1<<20), 0).keep(scheme, external)
				fresh.addSeries(lset)
				plain.insertAll(fresh.read(nil, 0, fresh.len()))
			}
		}
		want, got := plain.read(nil, 0, plain.len()), l.read(nil, 0, l.len())
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("log (-want +got):\n%s", diff)
		}
	}
}

// A series with more labels than are paired, or a log with more kinds of pairs
// than it can tell of, is unpaired of everything.
func TestBoundsOnPairs(t *testing.T) {
	wide := labels.NewScratchBuilder(maxPaired + 1)
	for i := range maxPaired + 1 {
		wide.Add(fmt.Sprintf("l%03d", i), "v")
	}
	scheme := undecided(nil)
	all := AppendUnpairedOfAll(nil)[1]
	holds := func(l *fpLog) bool { return l.insert(all) == false }

	l := newLog(1, newRoom(1<<20), 64).keep(scheme, labels.EmptyLabels())
	l.addSeries(wide.Labels())
	if !holds(l) {
		t.Errorf("a series of %d labels is not unpaired of everything", maxPaired+1)
	}
	have := map[uint64]bool{}
	for _, fp := range scheme.AppendFingerprints(nil, wide.Labels()) {
		have[fp] = true
	}
	if !have[all] {
		t.Errorf("the fingerprints of a series of %d labels are not unpaired of everything", maxPaired+1)
	}

	l = newLog(1, newRoom(1<<20), 64).keep(scheme, labels.EmptyLabels())
	n := 0
	for i := 0; n <= maxUnpaired; i++ {
		b := labels.NewScratchBuilder(60)
		for j := range 60 {
			b.Add(fmt.Sprintf("l%03d-%02d", i, j), "v")
		}
		l.addSeries(b.Labels())
		n += 60 * 59 / 2
	}
	if !holds(l) {
		t.Errorf("a log with %d kinds of pairs is not unpaired of everything", n)
	}
	if got := int(l.pairs.unpaired.Load()); got > 2*(maxUnpaired+60*59/2) {
		t.Errorf("%d fingerprints of unpaired", got)
	}
}

// TestPairsRuleOutForeignCombinations has children that know the same teams,
// jobs and metrics, in combinations of their own: by labels alone, nearly all
// would be asked. The zones' hints are unions, which one child without pairs
// would spoil.
func TestPairsRuleOutForeignCombinations(t *testing.T) {
	const zones, leaves, teams, jobs = 4, 8, 12, 30
	r := rand.New(rand.NewPCG(11, 12))
	type place struct{ zone, leaf int }
	holders := map[[2]int]map[place]bool{}
	build := func(planned bool) *parent {
		p := newParent(t, IndexConfig{})
		for zone := range zones {
			union := newSet(t, SetConfig{})
			for leaf := range leaves {
				var all []labels.Labels
				for c := range 40 {
					combination := [2]int{(c*7 + leaf*5 + zone*3) % teams, (c*11 + leaf*leaf + zone*2) % jobs}
					if holders[combination] == nil {
						holders[combination] = map[place]bool{}
					}
					holders[combination][place{zone, leaf}] = true
					for metric := range 5 {
						all = append(all, labels.FromStrings(labels.MetricName, fmt.Sprintf("metric_%d", metric),
							"job", fmt.Sprintf("job-%d", combination[1]), "team", fmt.Sprintf("team-%d", combination[0])))
					}
				}
				s := newSet(t, SetConfig{})
				if planned {
					s = plannedSet(t, SetConfig{}, all)
				}
				for _, lset := range all {
					s.AddSeries(lset)
				}
				s.SetComplete()
				connect(t, s, p, fmt.Sprintf("leaf-%d-%d", zone, leaf)).flow()
				for fp := range contents(s) {
					union.Add(fp)
				}
			}
			union.SetComplete()
			connect(t, union, p, fmt.Sprintf("zone-%d", zone)).flow()
		}
		return p
	}
	alone, paired := build(false), build(true)
	asked := map[*parent]int{}
	holding := 0
	for range 500 {
		combination := [2]int{r.IntN(teams), r.IntN(jobs)}
		ms := selector(t, fmt.Sprintf(`team="team-%d" job="job-%d" __name__="metric_1"`, combination[0], combination[1]))
		for zone := range zones {
			inZone := false
			for leaf := range leaves {
				holds := holders[combination][place{zone, leaf}]
				inZone = inZone || holds
				if holds {
					holding++
				}
				for _, p := range []*parent{alone, paired} {
					if !p.RulesOut(fmt.Sprintf("leaf-%d-%d", zone, leaf), ms, 0, 0) {
						asked[p]++
					} else if holds {
						t.Fatalf("a leaf that holds %v was ruled out", combination)
					}
				}
			}
			if inZone {
				holding++
			}
			for _, p := range []*parent{alone, paired} {
				if !p.RulesOut(fmt.Sprintf("zone-%d", zone), ms, 0, 0) {
					asked[p]++
				} else if inZone {
					t.Fatalf("a zone that holds %v was ruled out", combination)
				}
			}
		}
	}
	t.Logf("%d hold a match, %d are asked by labels alone, %d by pairs", holding, asked[alone], asked[paired])
	if asked[alone] < 2*holding || float64(asked[paired]) > 1.1*float64(holding) {
		t.Errorf("%d hold a match, %d are asked by labels alone, %d by pairs; want at least twice as many, and at most a tenth more", holding, asked[alone], asked[paired])
	}
}

// What a log remembers of series is found by the names of their labels; there
// may be more than it has places for.
func TestLogTellsManyNamesApart(t *testing.T) {
	scheme := planOf(few(1000), Budget{})
	l := newLog(1, newRoom(1<<20), 64).keep(scheme, labels.EmptyLabels())
	want, got := map[uint64]bool{}, map[uint64]bool{}
	for i := range 6000 { // together at most maxUnpaired kinds of pairs
		lset := labels.FromStrings(labels.MetricName, "m", fmt.Sprintf("a%d", i%3000), "v", "job", "v")
		l.addSeries(lset)
		for _, fp := range scheme.AppendFingerprints(nil, lset) {
			want[fp] = true
		}
	}
	for _, fp := range l.read(nil, 0, l.len()) {
		got[fp] = true
	}
	if !maps.Equal(want, got) {
		t.Errorf("the log has %d fingerprints, want %d: those of the scheme", len(got), len(want))
	}
}

// However many labels a selector names, it asks for a bounded number of pairs.
func TestPairsOfAQueryAreBounded(t *testing.T) {
	var ms []*labels.Matcher
	for i := range 300 {
		ms = append(ms, matcher(t, labels.MatchRegexp, fmt.Sprintf("l%d", i), "a|b|c|d"))
	}
	pairs, others := 0, 0
	var count func(*expr)
	count = func(e *expr) {
		if e.op == opAtom && e.atom.kind == factPair {
			pairs++
		} else if e.op == opAtom {
			others++
		}
		for _, sub := range e.subs {
			count(sub)
		}
	}
	count(Compile(ms).expr())
	if pairs == 0 || pairs > maxPairAtoms || others > 300*6+maxPairAtoms {
		t.Errorf("%d atoms of pairs, %d others", pairs, others)
	}
}
