package client

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

func TestParseMissing(t *testing.T) {
	for _, m := range []Missing{
		{"leaf", "zone=eu,cluster=eu-1", `unavailable: not connected to "zone=eu" since 2026-11-22T00:24:32Z`},
		{"zone", "zone=us", "unavailable: soft deadline passed (10s)"},
		{"leaf", `zone="\,cluster= did not answer: /shard=0`, ""},
		{"root", "root", "unavailable: no child has registered with it yet"},
	} {
		w := fmt.Sprintf("partial answer: %s %q did not answer: %s", m.Tier, m.Name, m.Reason)
		if got, ok := ParseMissing(w); !ok || got != m {
			t.Errorf("%s\nis read as %+v, %v", w, got, ok)
		}
	}
	for _, w := range []string{
		"", "partial answer: ", "partial answer: leaf", `partial answer: leaf x did not answer: y`, `partial answer: leaf "x did not answer: y`,
		`partial answer: leaf "x" answered: y`, `partial answer:  "x" did not answer: y`, "partial answer: leaf `x` did not answer: y",
		`PromQL info: metric might not be a counter: "x" did not answer: y`,
	} {
		if got, ok := ParseMissing(w); ok {
			t.Errorf("%q is read as %+v", w, got)
		}
	}
}

// part is a Child that answers queries with err, or else with one series.
type part struct {
	querytree.Child
	desc querytree.Description
	err  error
}

func (p part) Describe() querytree.Description { return p.desc }

func (p part) Exec(_ context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	if p.err != nil {
		return nil, p.err
	}
	m := promql.Matrix{{Metric: p.desc.Labels, Floats: []promql.FPoint{{T: req.Start, F: 1}}}}
	return querytree.NewMatrixSet(m, nil, querytree.Report{}), nil
}

// rolled is a Rewriter whose points lack a part.
type rolled struct{}

func (rolled) Rewrite(_ *parser.AggregateExpr, at querytree.RewriteAt) (*querytree.Rollup, string) {
	return &querytree.Rollup{
		Rule: "r", Covered: []querytree.Interval{{Mint: at.Start, Maxt: at.End}}, Until: at.End, Ops: []string{"sum"},
		Missing: map[string]string{"zone=eu,cluster=eu-1": querytree.TierLeaf},
		Read: func(context.Context, string, func(promql.Series) error) (annotations.Annotations, error) {
			return nil, nil
		},
	}, ""
}

// Each place that warns of a part that is missing does so in the one form that
// is told to programs.
func TestEveryMissingPartCanBeParsed(t *testing.T) {
	leaf := func(replica string, gaps ...querytree.Interval) querytree.Description {
		id := querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", "eu", "cluster", "eu-1"), Replica: replica}
		return querytree.Description{Identity: id, Instance: "i" + replica, Mint: math.MinInt64, Maxt: math.MaxInt64, Leaves: 1, Gaps: gaps}
	}
	gone := fmt.Errorf("%w: not connected", querytree.ErrUnavailable)
	dead := leaf("a")
	dead.Maxt = 599_000
	for what, c := range map[string]struct {
		members  []querytree.Member
		rewriter querytree.Rewriter
		want     Missing
	}{
		"a child that fails": {
			members: []querytree.Member{{Child: part{desc: leaf(""), err: gone}, Description: leaf("")}},
			want:    Missing{"leaf", "zone=eu,cluster=eu-1", "unavailable: not connected"},
		},
		"no child at all": {want: Missing{"root", "root", "unavailable: no child has registered with it yet"}},
		"only a dead replica has the samples": {
			members: []querytree.Member{
				{Child: part{desc: dead, err: gone}, Description: dead},
				{Child: part{desc: leaf("b", querytree.Interval{Mint: 500_000, Maxt: 550_000})}, Description: leaf("b", querytree.Interval{Mint: 500_000, Maxt: 550_000}), Connected: true},
			},
			want: Missing{"leaf", "zone=eu,cluster=eu-1/replica=a", "unavailable: not connected; no other replica took samples at all times that it did"},
		},
		"points of a rollup": {
			members:  []querytree.Member{{Child: part{desc: leaf("")}, Description: leaf(""), Connected: true}},
			rewriter: rolled{},
			want:     Missing{"leaf", "zone=eu,cluster=eu-1", `it was away when points of rollup "r" were made`},
		},
	} {
		m, err := querytree.NewMixer(querytree.MixerConfig{
			Describe: func() querytree.Description {
				return querytree.Description{Identity: querytree.Identity{Tier: querytree.TierRoot}}
			},
			Members: func() []querytree.Member { return c.members }, Rewriter: c.rewriter,
			Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		set, err := m.Exec(t.Context(), querytree.ExecRequest{Query: "sum(rate(x[2m]))", Start: 600_000, End: 600_000})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var got []Missing
		for w := range set.Warnings() {
			if m, ok := ParseMissing(w); ok {
				got = append(got, m)
			} else {
				t.Errorf("%s: %q cannot be parsed", what, w)
			}
		}
		set.Close()
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: want %+v, got %+v", what, c.want, got)
		}
	}
}
