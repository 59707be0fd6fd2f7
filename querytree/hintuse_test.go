package querytree

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
)

func TestSelectorKinds(t *testing.T) {
	for selector, want := range map[string]SelectorKind{
		`x`:                            KindEquality,
		`x{zone="eu"}`:                 KindEquality,
		`x{job=~".*",pod!="a"}`:        KindEquality,
		`x{job="api"}`:                 KindSeveral,
		`x{job="api",pod="a",q!="z"}`:  KindSeveral,
		`x{job=~"api|db"}`:             KindRegexp,
		`x{job="api",pod=~"a.+"}`:      KindRegexp,
		`x{job!=""}`:                   KindRegexp,
		`{job="api"}`:                  KindNameless,
		`{__name__=~"x.*",job="api"}`:  KindNameless,
		`{__name__!="x",job=~"api.+"}`: KindNameless,
	} {
		if got := kindOf(matchersOf(t, selector), set{"zone"}); got != want {
			t.Errorf("%s: %s, want %s", selector, got, want)
		}
	}
}

func TestTells(t *testing.T) {
	for query, want := range map[string]bool{
		`x`: true, `-(x)`: true, `rate(x[5m])`: true, `sum by (a) (rate(x[5m]))`: true, `x * 2`: true, `2 / x`: true, `x > bool 1`: true,
		`max_over_time(rate(x[1m])[5m:1m])`: true, `absent(x)`: true, `topk(3, x)`: true, `label_replace(x, "a", "b", "c", "d")`: true,
		`clamp_min(x, 1)`: true, `quantile(0.5, x)`: true, `count_values("v", x)`: true,
		`x > 1`: false, `x and y`: false, `x / y`: false, `topk(0, x)`: false, `limit_ratio(0.5, x)`: false, `histogram_quantile(0.9, x)`: false,
		`sum(x > 1)`: false, `vector(1)`: false, `1 + 1`: false, `x or vector(0)`: false, `clamp_min(x, scalar(y))`: false,
	} {
		e, err := NewParser().ParseExpr(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := tells(e); got != want {
			t.Errorf("%s: %t", query, got)
		}
	}
}

// Each child's hint is told how often it was asked, in vain and not at all.
func TestHintUses(t *testing.T) {
	reg := prometheus.NewRegistry()
	hints := hintFunc(func(child string, ms []*labels.Matcher) bool {
		// Those of eu-1 know all, those of eu-2 know no pairs.
		return child == euOne.Name() && slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Value == "y" })
	})
	m := mixerOver(t, Identity{Tier: TierZone, Labels: labels.FromStrings("zone", "eu")}, func(c *MixerConfig) { c.Pruner, c.Registerer = hints, reg },
		holding(t, euOne, point(1, "__name__", "x", "job", "a")), holding(t, euTwo, point(1, "__name__", "x", "job", "b"), point(1, "__name__", "y")))
	for _, query := range []string{
		`sum(x)`, `sum(x{job="a"})`, `x{job="a"}`, `x{job=~"b|c"}`, `count({job="a"})`, `x > 5`, `x and on (cluster) y`, `y`, `absent(x{job="b"})`,
	} {
		if got := askInstant(t.Context(), m, query, Options{}); got.Err != "" {
			t.Fatal(query, got.Err)
		}
	}
	for _, req := range []SelectRequest{{Maxt: 600_000, Matchers: matchersOf(t, `x{job="b"}`)}, {Maxt: 600_000, Matchers: matchersOf(t, `y`)}} {
		drain(m.Select(t.Context(), req))
	}
	if _, err := m.Names(t.Context(), NamesRequest{Label: "job", Maxt: 600_000, Matchers: matchersOf(t, `y`)}); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[SelectorKind]HintUse{
		euOne.Name(): {
			KindEquality: {Asked: 2, Told: 1, Spared: 3},
			KindSeveral:  {Asked: 4, Told: 4, Empty: 2},
			KindRegexp:   {Asked: 1, Told: 1, Empty: 1, Spared: 1},
			KindNameless: {Asked: 1, Told: 1},
		},
		euTwo.Name(): {
			KindEquality: {Asked: 6, Told: 3},
			KindSeveral:  {Asked: 4, Told: 4, Empty: 2},
			KindRegexp:   {Asked: 2, Told: 2},
			KindNameless: {Asked: 1, Told: 1, Empty: 1},
		},
	}
	if d := cmp.Diff(want, m.HintUses()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got := testutil.ToFloat64(m.uses.total.WithLabelValues("several", "empty")); got != 4 {
		t.Errorf("metric: %v", got)
	}
}

// An analysis marks the children that were asked in vain.
func TestExplainsWhoWasAskedInVain(t *testing.T) {
	m := rootOver(t, holding(t, euOne, point(1, "__name__", "x", "job", "a")), holding(t, euTwo, point(1, "__name__", "x", "job", "b")))
	for query, want := range map[string]string{`sum(x{job="a"})`: "several", `count({job="a"})`: "nameless", `x{job="a"} > 0`: "", `x`: ""} {
		set, err := m.Exec(t.Context(), ExecRequest{Query: query, Start: 600_000, End: 600_000, Options: Options{Explain: ExplainAnalyze}})
		if err != nil {
			t.Fatal(err)
		}
		rows := set.Report().Explanation.Fragments[0].Children
		set.Close()
		if len(rows) != 2 || rows[0].Empty != "" || string(rows[1].Empty) != want {
			t.Errorf("%s: %+v", query, rows)
		}
	}
}

// Counts of children that are gone are dropped.
func TestHintUsesAreBounded(t *testing.T) {
	u := newHintUses(nil)
	for i := range 1000 {
		members := []Member{{Description: leafOf("cluster", fmt.Sprint(i))}}
		u.add(members, map[useKey]HintUse{{members[0].Description.Name(), KindEquality}: {Asked: 1}}, labelSavings{})
		if len(u.children) > 18 {
			t.Fatalf("%d children are counted, there is one", len(u.children))
		}
	}
	if u.children["cluster=999"][KindEquality].Asked != 1 {
		t.Errorf("%v", u.children)
	}
}
