package keep_test

import (
	"math/rand"
	"strings"
	"testing"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treetest"
)

// Where points that are due are not there or not whole, an answer by name says so,
// wherever they are in what is asked for, strict or not; and not where all is whole.
func TestByNameWarnsOfHoles(t *testing.T) {
	data := treetest.Data{Minutes: 60, Interval: 15_000}
	p := newPlanet(t, rules, data)
	data.Fill(t, p.Planet, rand.New(rand.NewSource(3)))
	p.owe(0)
	p.collect()
	root := p.tiers["root"].store
	const minute = 60_000
	if err := root.Void(t.Context(), p.rules.ByName("hottest"), 30*minute, 35*minute); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		start, end int64
		want       bool
	}{
		{"before it", 10 * minute, 20 * minute, false},
		{"around it", 20 * minute, 40 * minute, true},
		{"begins in it", 32 * minute, 40 * minute, true},
		{"ends in it", 25 * minute, 33 * minute, true},
		{"within it", 31 * minute, 32 * minute, true},
		{"after it", 45 * minute, 50 * minute, false},
	} {
		for _, strict := range []bool{false, true} {
			for _, expr := range []string{`hottest`, `max(hottest)`, `hottest > 0 or temperature`, `max_over_time(hottest[2m])`} {
				q := treetest.Query{Expr: expr, Start: c.start, End: c.end, Step: minute}
				got := p.Ask(querytree.WithOptions(t.Context(), querytree.Options{Strict: strict}), q)
				if got.Err != nil {
					t.Fatal(got.Err)
				}
				warned := false
				for _, w := range got.Warnings.AsErrors() {
					warned = warned || strings.Contains(w.Error(), `rollup "hottest" has no whole points`)
				}
				if warned != c.want {
					t.Errorf("%s, %s, strict %t: warnings %v", c.name, expr, strict, got.Warnings)
				}
			}
		}
	}
}
