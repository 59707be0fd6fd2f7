package querytree

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// spying notes the times for which it is asked, by selector.
type spying map[string][]int64

func (s spying) RulesOutAll(children []string, ms []*labels.Matcher, mint, maxt int64) []bool {
	s[matchersText(ms)] = []int64{mint / 1000, maxt / 1000}
	return make([]bool, len(children))
}

// Hints are asked about the times that each selector looks at: offsets, ranges,
// subqueries, @ and lookback considered.
func TestSelectorsAreHeldAgainstTheirTimes(t *testing.T) {
	const start, end, lookback = 100_000, 110_000, 300 // in seconds
	for query, want := range map[string][]int64{
		`x`:                                    {start - lookback, end},
		`x offset 1h`:                          {start - lookback - 3600, end - 3600},
		`rate(x[10m])`:                         {start - 600, end},
		`rate(x[10m] offset 1h)`:               {start - 4200, end - 3600},
		`max_over_time(x[1h:1m])`:              {start - lookback - 3600, end},
		`max_over_time(x[1h:1m] offset 1h)`:    {start - lookback - 7200, end - 3600},
		`sum_over_time(rate(x[10m])[1h:1m])`:   {start - 4200, end},
		`x @ 5000`:                             {5000 - lookback, 5000},
		`x @ end()`:                            {end - lookback, end},
		`max_over_time(x[1h:1m] @ start())`:    {start - lookback - 3600, start},
		`sum(rate(y[1d])) + sum(x offset -1h)`: {start - lookback + 3600, end + 3600},
	} {
		spy := spying{}
		leaf := Description{Identity: Identity{Tier: TierLeaf, Labels: labels.FromStrings("cluster", "a")}}
		m := mixerOver(t, Identity{Tier: TierRoot}, func(cfg *MixerConfig) {
			cfg.Members = func() []Member { return []Member{{Child: saying(leaf), Description: leaf, Connected: true}} }
			cfg.Pruner = spy
		})
		_, err := m.newExecution(ExecRequest{Query: query, Start: start * 1000, End: end * 1000, Step: 60_000, Lookback: lookback * 1000}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := spy[`{__name__="x"}`]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got, in s):\n%s", query, diff)
		}
	}
}

// thenAndNow rules out x unless asked about more than the last hour.
type thenAndNow struct{}

func (thenAndNow) RulesOutAll(children []string, _ []*labels.Matcher, mint, _ int64) []bool {
	out := make([]bool, len(children))
	for i := range out {
		out[i] = mint > time.Now().Add(-time.Hour).UnixMilli()
	}
	return out
}

// Evidence tells when only the time decided.
func TestEvidenceOfTime(t *testing.T) {
	d := Description{Identity: Identity{Tier: TierLeaf, Labels: labels.FromStrings("cluster", "a")}}
	now := time.Now().UnixMilli()
	p := newPruning([]Member{{Description: d, Connected: true}}, thenAndNow{}, now, now)
	p.candidatesAt(matchersOf(t, `x{job="a"}`), now, now)
	report := p.report(true)
	if got := report.Children[d.Name()].Evidence; got != `__name__="x"`+heldThen && got != `job="a"`+heldThen {
		t.Errorf("evidence %q", got)
	}
}
