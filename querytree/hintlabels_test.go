package querytree

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// Savings are told by the label that ruled children out, all of them, though few were
// looked at.
func TestHintSavings(t *testing.T) {
	has := func(ms []*labels.Matcher, value string) bool {
		return slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Value == value })
	}
	hints := hintFunc(func(child string, ms []*labels.Matcher) bool {
		switch {
		case child == leafOf("zone", "eu", "cluster", "0").Name():
			return has(ms, "nobody")
		case has(ms, "a") && has(ms, "b"): // of which each is there, but not together
			return true
		}
		return has(ms, "x") || has(ms, "c") || has(ms, "nobody")
	})
	var children []Child
	for i := range 41 {
		children = append(children, holding(t, leafOf("zone", "eu", "cluster", fmt.Sprint(i)), point(1, "__name__", "x", "job", "a")))
	}
	m := mixerOver(t, Identity{Tier: TierZone, Labels: labels.FromStrings("zone", "eu")}, func(c *MixerConfig) { c.Pruner = hints }, children...)
	for _, query := range []string{
		`x`,                                   // 40 by the name
		`x{job="c"}`,                          // 40 by the name, though the job would do
		`sum(y{job="c"}) + sum(y{zone="eu"})`, // 40 by job
		`y{job="a",pod="b"}`,                  // 40 by both together
		`y{job="nobody"}`,                     // all 41, so that nobody is asked
		`z{cluster="3"}`,                      // by no hint
	} {
		if got := askInstant(t.Context(), m, query, Options{}); got.Err != "" {
			t.Fatal(query, got.Err)
		}
	}
	want := HintSavings{Labels: []LabelSaving{{"job", 81}, {"__name__", 80}}, Together: 40}
	if d := cmp.Diff(want, m.HintSavings()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	spared := uint64(0)
	for _, by := range m.HintUses() {
		for _, u := range by {
			spared += u.Spared
		}
	}
	if spared != 201 {
		t.Errorf("%d requests were spared, want 201", spared)
	}
}

// Whoever makes labels up does not fill the memory.
func TestHintSavingsAreBounded(t *testing.T) {
	var s labelSavings
	for i := range 1000 {
		s.add(labelSavings{labels: map[string]float64{fmt.Sprint(i % 150): 2}, together: 1})
	}
	if len(s.labels) != maxSavingLabels {
		t.Errorf("%d labels", len(s.labels))
	}
	sum := s.others
	for _, n := range s.labels {
		sum += n
	}
	if sum != 2000 || s.others == 0 || s.together != 1000 {
		t.Errorf("%v in all, others %v, together %v", sum, s.others, s.together)
	}
}
