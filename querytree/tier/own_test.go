package tier

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
)

// A tier that comes to hold a name itself offers it upward, says so in its
// description, and has whoever keeps earlier answers drop those about it.
func TestSetOwnNames(t *testing.T) {
	external := labels.FromStrings("zone", "eu")
	union, err := fieldhint.NewSet(fieldhint.SetConfig{External: external})
	if err != nil {
		t.Fatal(err)
	}
	z, err := New(Config{
		Identity: querytree.Identity{Tier: querytree.TierZone, Labels: external}, Union: union,
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	is := func(when string, names []string, epochs int, owns bool) {
		t.Helper()
		d := z.Describe()
		if got := z.OwnNames(); !slices.Equal(got, names) || len(d.Epochs) != epochs || d.Has(querytree.FeatureOwn) != owns {
			t.Errorf("%s: names %v, epochs %v, features %v; want %v, %d, own %v", when, got, d.Epochs, d.Features, names, epochs, owns)
		}
	}
	is("at first", nil, 0, false)
	empty := union.Len()
	z.SetOwnNames([]string{"zone:b"})
	is("one name", []string{"zone:b"}, 1, true)
	e := z.Describe().Epochs[0]
	if e.Mint != math.MinInt64 || e.Cause != querytree.CauseOwn || e.Scope.Get("zone") != "eu" || e.Scope.Get(labels.MetricName) != "zone:b" {
		t.Errorf("epoch %+v", e)
	}
	offered := union.Len()
	if offered <= empty {
		t.Errorf("%d facts are offered, as before there was a name", offered)
	}
	z.SetOwnNames([]string{"zone:b", "zone:b"})
	if union.Len() != offered {
		t.Errorf("%d facts of the same name, %d before", union.Len(), offered)
	}
	z.SetOwnNames([]string{"zone:b", "zone:a"})
	if number := querytree.LastEpoch(z.Describe().Epochs); number != e.Number && number != e.Number+1 {
		t.Errorf("last epoch %d after %d", number, e.Number)
	}
	if got := z.OwnNames(); !slices.Equal(got, []string{"zone:a", "zone:b"}) {
		t.Errorf("names %v, want them sorted", got)
	}
	z.SetOwnNames(nil)
	if z.OwnNames() != nil && len(z.OwnNames()) > 0 || z.Describe().Has(querytree.FeatureOwn) || union.Len() != empty {
		t.Errorf("names %v and %d facts are left, want %d", z.OwnNames(), union.Len(), empty)
	}
}

// Who keeps answers about a metric drops them once there is more to read of it.
func TestReadable(t *testing.T) {
	z := finalTier(t, "")
	if z.Readable(nil); len(z.Describe().Epochs) != 0 {
		t.Errorf("epochs of nothing: %v", z.Describe().Epochs)
	}
	z.Readable([]string{"x"})
	epochs := z.Describe().Epochs
	if len(epochs) != 1 || epochs[0].Mint != math.MinInt64 || epochs[0].Cause != querytree.CauseOwn || epochs[0].Scope.Get(labels.MetricName) != "x" {
		t.Errorf("epochs %+v", epochs)
	}
}

// A tier above one that holds names says that there may be some below it.
func TestNamesBelow(t *testing.T) {
	above := finalTier(t, "")
	d := querytree.Description{
		Identity: querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", "eu", "part", "a")}, Instance: "a",
		Features: []string{querytree.FeatureOwn},
	}
	e, err := above.Roster.Admit(t.Context(), d, child{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !above.Describe().Has(querytree.FeatureOwn) {
		t.Errorf("features %v", above.Describe().Features)
	}
	d.Features = nil
	e.Update(d)
	if above.Describe().Has(querytree.FeatureOwn) {
		t.Errorf("features %v of what has none below", above.Describe().Features)
	}
}
