package querytree

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// here and there are metrics of child 0 and 1 alone, both is one of either, and
// none of neither.
var holders = map[string][]int{"here": {0}, "there": {1}, "both": {0, 1}, "none": nil, "{some}": {0, 1}}

// Who of two children has to be asked for an expression.
func TestVacancies(t *testing.T) {
	for _, tt := range []struct {
		query string
		// empty are the children without a value, idle those of them that have
		// nothing else to tell.
		empty, idle string
	}{
		// What has an empty operand.
		{`here`, "1", "1"},
		{`none`, "01", "01"},
		{`both`, "", ""},
		{`rate(here[5m])`, "1", "1"},
		{`max_over_time(here[5m:1m])`, "1", "1"},
		{`-here`, "1", "1"},
		{`(here) * 2`, "1", "1"},
		{`2 - here`, "1", "1"},
		{`here > bool 1`, "1", "1"},
		{`sum by (zone) (rate(here[5m]))`, "1", "1"},
		{`topk(3, here)`, "1", "1"},
		{`quantile(0.9, here)`, "1", "1"},
		{`count_values("v", here)`, "1", "1"},
		{`histogram_quantile(0.9, here)`, "1", "1"},
		{`label_replace(here, "a", "$1", "b", "(.*)")`, "1", "1"},
		{`label_join(here, "a", ",", "b", "c")`, "1", "1"},
		{`clamp(here, 0, 1)`, "1", "1"},

		// Joins.
		{`here and both`, "1", "1"},
		{`both and here`, "1", "1"},
		{`here and there`, "01", "01"},
		{`both unless here`, "", ""},
		{`here unless both`, "1", "1"},
		{`here or both`, "", ""},
		{`here or here`, "1", "1"},
		{`here or there`, "", ""},
		{`none or (here and there)`, "01", "01"},
		{`here * on (zone) group_left () both`, "1", "1"},
		{`both * on (zone) group_left () here`, "1", "1"},
		{`here == both`, "1", "1"},
		{`count(here) / count(both)`, "1", "1"},
		{`last_over_time(both[5m]) * here`, "1", "1"},
		{`timestamp(both) - here`, "1", ""},
		{`-both and here`, "1", ""},
		{`count_over_time(both[5m]) and here`, "1", ""},
		{`both * fill (0) here`, "", ""},
		{`here * fill (0) here`, "1", "1"},
		{`(both and here) or none`, "1", "1"},
		{`sum((both and here) * both)`, "1", "1"},

		// What may have something to tell of the other operand.
		{`rate(both[5m]) * here`, "1", ""},
		{`here * rate(both[5m])`, "1", ""},
		{`sum(both) / sum(here)`, "1", ""},
		{`min(both) / here`, "1", ""},
		{`both * 2 and here`, "1", ""},
		{`both + both and here`, "1", ""},
		{`abs(both) and here`, "1", ""},
		{`-{__name__=~"some"} and here`, "1", ""},
		{`count_over_time({__name__=~"some"}[5m]) and here`, "1", ""},
		{`quantile(0.9, both) and here`, "1", ""},
		{`label_replace(both, "a", "$1", "b", "(.*)") and here`, "1", ""},
		{`here unless rate(both[5m])`, "1", ""},
		{`rate(here[5m]) unless rate(there[5m])`, "1", ""},
		{`both smoothed and here`, "1", ""},

		// What has a value without series, or an error or a warning.
		{`absent(here)`, "", ""},
		{`absent_over_time(here[5m])`, "", ""},
		{`absent(here) and here`, "1", "1"},
		{`absent(rate(both[5m])) and here`, "1", ""},
		{`vector(1)`, "", ""},
		{`vector(1) and here`, "1", ""},
		{`here or vector(0)`, "", ""},
		{`here > scalar(both)`, "1", ""},
		{`time() - here`, "1", ""},
		{`clamp_max(here, scalar(both))`, "", ""},
		{`quantile(1.5, here)`, "", ""},
		{`quantile(scalar(both), here)`, "", ""},
		{`topk(0, here)`, "", ""},
		{`histogram_quantile(2, here)`, "", ""},
		{`label_replace(here, "a", "$1", "b", "(")`, "", ""},
		{`label_join(here, "", ",", "b")`, "", ""},
		{`info(here)`, "", ""},
	} {
		e, err := NewParser().ParseExpr(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		v := &vacancies{candidates: map[*parser.VectorSelector]bitset{}, all: bitset{3}, memo: map[parser.Expr]vacancy{}}
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			if vs, ok := n.(*parser.VectorSelector); ok {
				var who bitset
				for _, i := range holders[metricOf(vs)] {
					who = who.with(i)
				}
				v.candidates[vs] = who
			}
			return nil
		})
		got := v.of(e)
		if empty, idle := members(got.empty), members(got.empty.and(got.quiet)); empty != tt.empty || idle != tt.idle {
			t.Errorf("%s: empty at %q, want %q; need not be asked: %q, want %q", tt.query, empty, tt.empty, idle, tt.idle)
		}
		got.empty.each(func(i int) {
			if vs := v.culprit(e, i); vs == nil || inSet(v.candidates[vs], i) {
				t.Errorf("%s: %v is to blame that child %d has no value", tt.query, vs, i)
			}
		})
	}
}

func metricOf(vs *parser.VectorSelector) string {
	if vs.Name == "" {
		return "{some}"
	}
	return vs.Name
}

func members(b bitset) string {
	var out strings.Builder
	b.each(func(i int) { fmt.Fprint(&out, i) })
	return out.String()
}

// A plan asks for a join only who has both operands, and tells why of the
// others.
func TestPlansOfJoins(t *testing.T) {
	m := planner(t, false, leafOf("zone", "eu", "cluster", "a"), leafOf("zone", "eu", "cluster", "b"), leafOf("zone", "eu", "cluster", "c"))
	m.cfg.Pruner = holding3{}
	for _, tt := range []struct{ query, plan, pruned string }{
		{`x and y`, `0 concat [1] <- x and y`, "a: y; c: x"},
		{`y or x`, `0 concat [0 1 2] <- y or x`, ""},
		{`y unless x`, `0 concat [1 2] <- y unless x`, "a: y"},
		{`count(x and y)`, `0 fold count [1] <- count(x and y)`, "a: y; c: x"},
		{`w and z`, `0 concat [] <- w and z`, "a: z; b: z; c: w"},
		{`rate(x[5m]) / rate(y[5m])`, `0 concat [0 1 2] <- rate(x[5m]) / rate(y[5m])`, ""},
		{
			`x * on (zone, cluster) group_left () y`,
			`0 concat [1] <- x * on (zone, cluster) group_left () y unless count by (zone, cluster) (y) > 1`, "a: y",
		},
		{`absent(x and y)`, `0 fold group [1] <- group(x and y)`, "a: y; c: x"},
	} {
		e, err := m.newExecution(ExecRequest{Query: tt.query, Start: 600_000, End: 600_000, Options: Options{Detail: true}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, plan, _ := strings.Cut(e.plan.String(), "\n")
		if got := strings.Join(strings.Fields(plan), " "); got != tt.plan {
			t.Errorf("%s: plan %s, want %s", tt.query, got, tt.plan)
		}
		var pruned []string
		for name, row := range e.prune.report(true).Children {
			_, cluster, _ := strings.Cut(name, "cluster=")
			pruned = append(pruned, cluster+": "+strings.TrimSuffix(strings.TrimPrefix(row.Evidence, `__name__="`), `"`))
		}
		slices.Sort(pruned)
		if d := cmp.Diff(tt.pruned, strings.Join(pruned, "; ")); d != "" {
			t.Errorf("%s: pruned, -want +got:\n%s", tt.query, d)
		}
	}
}

// holding3 are the hints of three leaves: x is in a and b, y in b and c, w in a
// and b, z in c.
type holding3 struct{}

func (holding3) RulesOutAll(children []string, ms []*labels.Matcher, _, _ int64) []bool {
	where := map[string]string{"x": "ab", "y": "bc", "w": "ab", "z": "c"}
	out := make([]bool, len(children))
	for i, c := range children {
		for _, m := range ms {
			out[i] = out[i] || m.Name == "__name__" && !strings.Contains(where[m.Value], c[len(c)-1:])
		}
	}
	return out
}
