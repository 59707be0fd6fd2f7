package leaf

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// What the HTTP API reads beside queries has the bounds of queries.
func TestAPIReadsAreBounded(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Limits.MaxSeries = 2
	l := openLeaf(t, cfg, Deps{})
	appendStored(t, l.written, 1000, labels.FromStrings("__name__", "a", "n", "1"), labels.FromStrings("__name__", "a", "n", "2"), labels.FromStrings("__name__", "b"))
	for name, fits := range map[string]bool{"a": true, ".+": false} {
		q, err := l.APIParts().Storage.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", name))
		for set.Next() {
		}
		if err := set.Err(); querytree.IsLimit(err) == fits {
			t.Errorf("%s: %v", name, err)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}
