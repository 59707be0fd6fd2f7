package querytree_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/pandometrics/pando/querytree"
)

// askedSomebody matches a fragment that children are asked for, and rawSelector
// what is read of them otherwise.
var askedSomebody = regexp.MustCompile(`(?m)^  \d+ [a-z0-9+]+ \[\d`)

// Whatever is above an aggregation that a rollup has is evaluated above it, and no
// child is asked: whether the labels tell children apart, so that all of it could be
// left to them, or one child alone has series of it, or none has any more.
func TestAboveRollups(t *testing.T) {
	p, _ := rolledPlanet(t, true)
	for _, above := range []string{
		`topk(5, %s)`, `bottomk(2, %s)`, `topk by (zone) (1, %s)`, `quantile(0.9, %s)`, `quantile by (zone) (0.5, %s)`,
		`count(%s)`, `max(%s)`, `min by (zone) (%s)`, `avg(%s)`, `stddev(%s)`, `stdvar by (job) (%s)`, `group(%s)`, `sum(%s)`, `count_values("v", %s)`, `limitk(2, %s)`,
		`sort_desc(%s)`, `sort(%s)`, `sort_by_label(%s, "job")`, `absent(%s)`, `scalar(%s)`, `vector(scalar(%s))`, `timestamp(%s)`,
		`%s > bool 5`, `%s > 5`, `-%s`, `(%s) * 60`, `clamp_max(%s, 1)`, `round(%s)`, `histogram_quantile(0.9, %s)`, `label_replace(%s, "a", "$1", "job", "(.*)")`,
		`%[1]s / ignoring (job) group_left () sum without (job) (%[1]s)`, `%[1]s / on (zone) group_left () sum by (zone) (%[1]s)`, `%[1]s unless %[1]s > 1`, `%[1]s or vector(0)`,
		`max_over_time(%s[10m:1m])`, `rate((%s)[10m:2m])`, `topk(1, avg_over_time(%s[10m:1m]))`, `max_over_time(topk(1, %s)[10m:1m])`, `absent_over_time(%s[10m:1m])`,
		`max_over_time(quantile_over_time(0.9, %s[10m:1m])[20m:2m])`, `max_over_time(%s[10m:1m] offset 10m)`,
	} {
		for _, e := range []string{
			`sum by (job) (rate(x[5m]))`, `sum by (zone, cluster, job) (rate(x[5m]))`, `avg without (pod) (x)`, `sum by (job) (rate(x{zone="us"}[5m]))`, `count by (job) (x{zone="none"})`,
		} {
			query := fmt.Sprintf(above, e)
			plan, err := p.Root.PlanOf(querytree.ExecRequest{Query: query, End: 600_000, Step: 60_000})
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			text := plan.String()
			if residual, _, _ := strings.Cut(text, "\n"); askedSomebody.MatchString(text) || !strings.Contains(text, "for rollup") || strings.Contains(residual, "x{") || strings.Contains(residual, "(x)") || strings.Contains(residual, "x[") {
				t.Errorf("%s:\n%s", query, text)
			}
		}
	}
}
