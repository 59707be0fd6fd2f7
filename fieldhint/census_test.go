package fieldhint

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
)

func TestSketchIsCloseAndDeterministic(t *testing.T) {
	for _, n := range []int{0, 1, 7, 256, 257, 1000, 10_000, 1_000_000} {
		forth, back := newSketch(valueRegisters, exactValues), newSketch(valueRegisters, exactValues)
		for i := range n {
			forth.add(mix(uint64(i)))
			forth.add(mix(uint64(i / 2)))
			back.add(mix(uint64(n - 1 - i)))
		}
		if forth.count() != back.count() {
			t.Errorf("%d hashes: %d in one order, %d in the other", n, forth.count(), back.count())
		}
		off := math.Abs(float64(forth.count() - n))
		if n <= exactValues && off > 0 || off > 0.15*float64(n) { // five standard errors
			t.Errorf("%d hashes: estimate %d", n, forth.count())
		}
	}
}

// few makes the series of the tests below: jobs have namespaces of their own,
// every pod has every metric, and uid tells all series apart.
func few(uids int) []labels.Labels {
	var out []labels.Labels
	for i := range uids {
		out = append(out, labels.FromStrings(labels.MetricName, fmt.Sprintf("metric_%d", i%30),
			"job", fmt.Sprintf("job-%d", i/30%40), "ns", fmt.Sprintf("ns-%d", i/30%40/2),
			"pod", fmt.Sprintf("pod-%d", i/30%100), "uid", fmt.Sprintf("uid-%d", i)))
	}
	return out
}

func planOf(all []labels.Labels, b Budget) *Scheme {
	c := NewCensus(labels.EmptyLabels())
	for _, lset := range all {
		c.Add(lset)
	}
	return c.Plan(b)
}

// decided shows kinds and what was decided about them, but for numbers.
func decided(s *Scheme) (kept, dropped []string) {
	for _, d := range s.Decisions() {
		if d.Kept {
			kept = append(kept, d.kind())
		} else {
			dropped = append(dropped, d.kind()+": "+d.Reason)
		}
	}
	slices.Sort(kept)
	slices.Sort(dropped)
	return kept, dropped
}

// 60,000 series may take 60,000 bytes: too few for anything about uids.
func TestPlanSpendsTheBudget(t *testing.T) {
	const budget = 1.1
	s := planOf(few(60_000), Budget{BytesPerSeries: budget})
	kept, dropped := decided(s)
	want := []string{
		"infix pairs(__name__, pod)", "infixes(__name__)", "infixes(job)", "infixes(ns)", "infixes(pod)",
		"pairs(job, ns)", "pairs(job, pod)", "pairs(ns, pod)",
		"prefix pairs(__name__, ns)", "prefix pairs(__name__, pod)", "prefix pairs(job, __name__)", "prefix pairs(job, ns)",
		"prefix pairs(job, pod)", "prefix pairs(ns, job)", "prefix pairs(ns, pod)", "prefix pairs(ns, uid)",
		"prefix pairs(pod, job)", "prefix pairs(pod, ns)",
		"prefixes(__name__)", "prefixes(job)", "prefixes(ns)", "prefixes(pod)", "prefixes(uid)",
		"trigrams(__name__)", "trigrams(job)", "trigrams(ns)", "trigrams(pod)", "trigrams(uid)",
		"values(__name__)", "values(job)", "values(ns)", "values(pod)",
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s%s", diff, s)
	}
	wantDropped := []string{
		"infix pairs(__name__, job): nearly all combinations occur", "infix pairs(__name__, ns): nearly all combinations occur",
		"infix pairs(__name__, uid): beyond the budget", "infixes(uid): beyond the budget",
		"pairs(__name__, job): nearly all combinations occur", "pairs(__name__, ns): nearly all combinations occur",
		"pairs(__name__, pod): nearly all combinations occur", "pairs(__name__, uid): beyond the budget",
		"pairs(job, uid): beyond the budget", "pairs(ns, uid): beyond the budget", "pairs(pod, uid): beyond the budget",
		"prefix pairs(__name__, job): nearly all combinations occur", "prefix pairs(__name__, uid): beyond the budget",
		"prefix pairs(job, uid): beyond the prefixes' part of the budget",
		"prefix pairs(ns, __name__): nearly all combinations occur", "prefix pairs(pod, __name__): nearly all combinations occur",
		"prefix pairs(pod, uid): beyond the prefixes' part of the budget",
		"prefix pairs(uid, __name__): beyond the budget", "prefix pairs(uid, job): beyond the budget",
		"prefix pairs(uid, ns): beyond the budget", "prefix pairs(uid, pod): beyond the budget",
		"values(uid): beyond the budget",
	}
	if diff := cmp.Diff(wantDropped, dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s%s", diff, s)
	}
	bytes := 0
	for _, d := range s.Decisions() {
		if d.Kept {
			bytes += d.Bytes
		}
	}
	if limit := budget * float64(s.Series()); float64(bytes) > limit {
		t.Errorf("%d bytes, limit %.0f", bytes, limit)
	}
}

func TestPlanObeysOverrides(t *testing.T) {
	s := planOf(few(60_000), Budget{BytesPerSeries: 0.001, Keep: []string{"uid"}, Drop: []string{"job"}})
	kept, dropped := decided(s)
	for _, kind := range []string{"values(uid)", "trigrams(uid)", "pairs(pod, uid)", "pairs(__name__, uid)", "values(__name__)"} {
		if !slices.Contains(kept, kind) {
			t.Errorf("%s is not kept:\n%s", kind, s)
		}
	}
	for _, kind := range []string{"values(job)", "trigrams(job)", "pairs(job, ns)", "pairs(__name__, job)", "pairs(job, uid)"} {
		if !slices.Contains(dropped, kind+": dropped by configuration") {
			t.Errorf("%s is not dropped by configuration:\n%s", kind, s)
		}
	}
}

// With room for everything, only what says nothing is dropped; and the order of
// the series makes no difference.
func TestPlanIsDeterministic(t *testing.T) {
	all := productionSeries()
	s := planOf(all, Budget{})
	slices.Reverse(all)
	if diff := cmp.Diff(s.String(), planOf(slices.Concat(all, all), Budget{}).String()); diff != "" {
		t.Errorf("decisions (-forth +back):\n%s", diff)
	}
	const file = "testdata/scheme.txt"
	if *update {
		if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), s.String()); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

// Labels that a scheme does not know: values, trigrams, and pairs with the
// metric name are kept.
func TestUnknownLabels(t *testing.T) {
	s := planOf(few(1000), Budget{Drop: []string{"later"}})
	for pair, want := range map[[2]string]bool{
		{labels.MetricName, "new"}: true, {"new", labels.MetricName}: true, {"job", "new"}: false, {"new", "newer"}: false,
		{labels.MetricName, "later"}: false, {"job", "ns"}: true,
	} {
		if s.keepsPair(pair[0], pair[1]) != want {
			t.Errorf("pairs of %q kept: %v, want %v", pair, !want, want)
		}
	}
	if s.label("new") != (labelKinds{values: true, trigrams: true, prefixes: true}) || s.label("later") != (labelKinds{}) {
		t.Errorf("new label: %+v, one that is to be dropped: %+v", s.label("new"), s.label("later"))
	}
}

func TestCensusIsBounded(t *testing.T) {
	c := NewCensus(labels.EmptyLabels())
	for i := range maxCensusLabels {
		b := labels.NewScratchBuilder(20)
		for j := range 20 {
			b.Add(fmt.Sprintf("l%05d-%02d", i, j), "v")
		}
		c.Add(b.Labels())
	}
	if len(c.labels) > maxCensusLabels || len(c.pairs) > maxCensusPairs {
		t.Errorf("%d labels, %d pairs", len(c.labels), len(c.pairs))
	}
	s := c.Plan(Budget{})
	if s.label("l01000-00") != (labelKinds{values: true, trigrams: true, prefixes: true}) || s.keepsPair("l01000-00", "l01000-01") {
		t.Error("a label beyond the bound is not treated as unknown")
	}
}

// A rebuild scans twice only if it must.
func TestRebuildTakesACensus(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := newSet(t, SetConfig{Registerer: reg, External: labels.FromStrings("zone", "eu"), Budget: Budget{BytesPerSeries: 4}})
	if s.Scheme().pairsKept() {
		t.Error("pairs are kept before the first census")
	}
	rebuild := func(all []labels.Labels) (scans int) {
		t.Helper()
		err := s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
			scans++
			for _, lset := range all {
				add(lset, Span{0, math.MaxInt64})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := map[uint64]bool{}
		for _, fp := range s.Scheme().AppendFingerprints(nil, s.cfg.External) {
			want[fp] = true
		}
		for _, lset := range all {
			served := labels.NewBuilder(lset).Set("zone", "eu").Labels()
			for _, fp := range s.Scheme().AppendFingerprints(nil, served) {
				want[fp] = true
			}
		}
		if got := contents(s); !maps.Equal(want, got) {
			t.Errorf("the set has %d fingerprints, want %d: those of the scheme", len(got), len(want))
		}
		return scans
	}
	all := few(3000)
	if n := rebuild(all); n != 2 {
		t.Errorf("the first rebuild scanned %d times, want 2", n)
	}
	if n := rebuild(all[:2900]); n != 1 {
		t.Errorf("a rebuild of much the same scanned %d times, want 1", n)
	}
	if n := rebuild(productionSeries()); n != 2 {
		t.Errorf("a rebuild of other series scanned %d times, want 2", n)
	}
	if !s.Scheme().keepsPair("zone", "job") {
		t.Error("an external label is not paired")
	}
	text, err := testutil.GatherAndCount(reg, "pando_fieldhint_set_kinds", "pando_fieldhint_set_kind_bytes")
	if err != nil || text != 21 {
		t.Errorf("%d series of metrics, %v; want 21", text, err)
	}
}

// What is added between a scan's two passes is in the new log.
func TestRebuildLosesNothingBetweenPasses(t *testing.T) {
	s := newSet(t, SetConfig{})
	pass := 0
	var known []labels.Labels
	put := func(lset labels.Labels) { known = append(known, lset); s.AddSeries(lset) }
	err := s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
		pass++
		for _, lset := range known {
			add(lset, Span{0, math.MaxInt64})
		}
		put(labels.FromStrings(labels.MetricName, "m", "pass", fmt.Sprint(pass)))
		return nil
	})
	if err != nil || pass != 2 {
		t.Fatalf("%d passes, %v", pass, err)
	}
	got := contents(s)
	for _, lset := range known {
		for _, fp := range s.Scheme().AppendFingerprints(nil, lset) {
			if !got[fp] {
				t.Errorf("%s is missing", lset)
			}
		}
	}
	broken := errors.New("broken")
	second := 0
	before := s.Epoch()
	err = s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
		if second++; second == 2 {
			return broken
		}
		for _, lset := range productionSeries() {
			add(lset, Span{0, math.MaxInt64})
		}
		return nil
	})
	if !errors.Is(err, broken) || s.Epoch() != before {
		t.Errorf("second pass went wrong: %v, epoch changed: %v", err, s.Epoch() != before)
	}
	if err := s.Rebuild(today, func(func(labels.Labels, ...Span)) error { return nil }); err != nil {
		t.Errorf("rebuild after one that went wrong: %v", err)
	}
}

func TestBudgetIsValidated(t *testing.T) {
	for want, b := range map[string]Budget{
		"bytes per series":         {BytesPerSeries: -1},
		"use a positive number":    {BytesPerSeries: math.NaN()},
		"cannot be dropped":        {Drop: []string{labels.MetricName}},
		"to be kept and dropped":   {Keep: []string{"a", "b"}, Drop: []string{"b"}},
		"label \"b\" is to be kep": {Keep: []string{"b"}, Drop: []string{"b"}},
	} {
		if _, err := NewSet(SetConfig{Budget: b}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("budget %+v: error %v, want %q", b, err, want)
		}
	}
}

// A label name that is never the same twice does not fill the memory.
func TestCensusIsBoundedInNames(t *testing.T) {
	c := NewCensus(labels.EmptyLabels())
	for i := range 100_000 {
		c.Add(labels.FromStrings(fmt.Sprintf("l%d", i), "v"))
	}
	if n := len(c.outlines); n > maxOutlined/5 {
		t.Errorf("%d outlines", n)
	}
}
