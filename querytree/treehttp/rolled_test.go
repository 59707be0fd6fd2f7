package treehttp

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// always is a Rewriter by which every sum at multiples of a minute is 42.
type always struct{}

func (always) Distance(n *parser.AggregateExpr, _ querytree.RewriteAt) int64 {
	if n.Op != parser.SUM {
		return 0
	}
	return 60_000
}

func (always) Rewrite(n *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	if n.Op != parser.SUM || at.Start%60_000 != 0 || at.Step%60_000 != 0 {
		return nil, "the times are no multiples of 60s"
	}
	last := at.Start
	if at.Step > 0 {
		last += (at.End - at.Start) / at.Step * at.Step
	}
	return &querytree.Rollup{
		Rule: "always", Covered: []querytree.Interval{{Mint: at.Start, Maxt: last}}, Until: last, Ops: []string{"sum"},
		Read: func(_ context.Context, _ string, add func(promql.Series) error) (annotations.Annotations, error) {
			var s promql.Series
			for t := at.Start; t <= last; t += max(at.Step, 1) {
				s.Floats = append(s.Floats, promql.FPoint{T: t, F: 42})
			}
			return nil, add(s)
		},
	}, ""
}

// rolledLeaf is a leaf with rollups.
func rolledLeaf(t *testing.T) Config {
	t.Helper()
	st := promqltest.LoadedStorage(t, `
load 1m
  up{job="api"} 1x60
  up{job="db"} 1x60`)
	describe := func() querytree.Description {
		return querytree.Description{Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("cluster", "eu-1")}, Maxt: 3600_000, Leaves: 1}
	}
	opts := querytree.EngineOpts(querytree.MixerConfig{Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute}, querytree.NewParser())
	local, err := querytree.NewLocal(querytree.LocalConfig{
		Engine: promql.NewEngine(opts), EngineOpts: &opts, Samples: st, Chunks: st, Limits: querytree.DefaultLimits(), Describe: describe,
	})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := querytree.NewRolled(local, always{})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	return Config{
		Engine: leaf.Engine(), Queryable: leaf.Reads(), Metadata: leaf.Metadata, Describe: describe,
		Limits: querytree.DefaultLimits(), Gatherer: reg, Registerer: reg, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now },
	}
}

// What a leaf's users ask is answered from its rollups, and says so; ranges are
// moved to where these have points, for who asks for it.
func TestRollupsOfALeafOverHTTP(t *testing.T) {
	f := build(t, rolledLeaf(t))
	for _, c := range []struct {
		target string
		want   []string
		not    string
	}{
		{"/api/v1/query?time=600&query=sum(up)%2B1&stats=all", []string{`[600,"43"]`, `"rollups":[{"tier":"cluster=eu-1","rule":"always","steps":1,"of":1,"until":600000}]`}, `"aligned"`},
		{"/api/v1/query?time=601&query=sum(up)&stats=all", []string{`[601,"2"]`}, `"rollups"`},
		{"/api/v1/query?time=600&query=sum(up)&rollup=off&stats=all", []string{`[600,"2"]`}, `"rollups"`},
		{"/api/v1/query?time=600&query=count(up)", []string{`[600,"2"]`}, `"42"`},
		{"/api/v1/query?time=601&query=sum(up)&align=on", []string{`[601,"2"]`}, `"42"`},
		{"/api/v1/query_range?start=60&end=120&step=60&query=sum(up)", []string{`[[60,"42"],[120,"42"]]`}, "aligned"},
		{"/api/v1/query_range?start=67&end=187&step=60&query=sum(up)", []string{`[[67,"2"],[127,"2"],[187,"2"]]`}, "aligned"},
		{"/api/v1/query_range?start=67&end=187&step=60&query=sum(up)&align=on&stats=all", []string{
			`[[60,"42"],[120,"42"],[180,"42"]]`,
			`"aligned":{"start":60000,"end":180000,"step":60000,"askedStart":67000,"askedEnd":187000,"askedStep":60000}`,
		}, ""},
		{"/api/v1/query_range?start=67&end=187&step=60&query=sum(up)&align=on&rollup=off", []string{`[[60,"2"],[120,"2"],[180,"2"]]`}, `"42"`},
		{"/api/v1/query_range?start=67&end=187&step=60&query=count(up)&align=on&stats=all", []string{`[[67,"2"],[127,"2"],[187,"2"]]`, `"why":"there is no rollup for any part of it in the rules that this tier has"`}, `"42"`},
		{"/pando/api/v1/explain?start=67&end=187&step=60&query=sum(up)&align=on", []string{`"rule":"always"`, `"askedStart":67000`, `"start":60000`}, ""},
		{"/pando/api/v1/analyze?start=60&end=180&step=60&query=sum(up)", []string{`"rule":"always"`}, "aligned"},
		{"/pando/api/v1/analyze?start=67&end=187&step=70&query=sum(up)&align=on&rollup=off", []string{`"start":0,"end":120000,"step":120000`, `"askedStart":67000`}, "always"},
	} {
		w := f.do("GET", c.target, "")
		if w.Code != http.StatusOK || c.not != "" && strings.Contains(w.Body.String(), c.not) {
			t.Errorf("%s: %d, want nothing of %q: %s", c.target, w.Code, c.not, w.Body)
		}
		for _, want := range c.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: want %s: %s", c.target, want, w.Body)
			}
		}
	}
	if w := f.do("GET", "/api/v1/query_range?start=60&end=120&step=60&query=sum(up)&align=perhaps", ""); w.Code != http.StatusBadRequest {
		t.Errorf("align=perhaps: %d %s", w.Code, w.Body)
	}
}

// A rule is told how many queries it had a part in: each once, however many
// parts that was, and not those that failed or were only explained.
func TestQueriesOfRollups(t *testing.T) {
	s := newQueryStore()
	use := func(rules ...string) *Completeness {
		c := &Completeness{}
		for _, r := range rules {
			c.Rollups = append(c.Rollups, querytree.RollupUse{Tier: "root", Rule: r, Steps: 1, Of: 2})
		}
		return c
	}
	for _, rec := range []QueryRecord{
		{QueryRow: QueryRow{ID: "1", Kind: "query_range", State: QueryFinished}, Completeness: use("a", "a", "b")},
		{QueryRow: QueryRow{ID: "2", Kind: "query", State: QueryFinished}, Completeness: use("a")},
		{QueryRow: QueryRow{ID: "3", Kind: "query", State: QueryFailed}, Completeness: use("a")},
		{QueryRow: QueryRow{ID: "4", Kind: "explain", State: QueryFinished}, Completeness: use("a")},
		{QueryRow: QueryRow{ID: "5", Kind: "query", State: QueryFinished}},
	} {
		s.end(rec)
	}
	rules := []RollupStatus{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	s.tellServed(rules)
	if rules[0].Queries != 2 || rules[1].Queries != 1 || rules[2].Queries != 0 {
		t.Errorf("got %d, %d and %d, want 2, 1 and 0", rules[0].Queries, rules[1].Queries, rules[2].Queries)
	}
}
