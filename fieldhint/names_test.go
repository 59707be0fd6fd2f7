package fieldhint

import (
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// What a tier holds itself is found by name, whatever else a selector asks for, at
// every tier above it; and no more once it does not hold it.
func TestNames(t *testing.T) {
	external := labels.FromStrings("zone", "eu")
	zone, region := newSet(t, SetConfig{External: external}), newSet(t, SetConfig{})
	mid, low, root := newParent(t, IndexConfig{Union: region}), newParent(t, IndexConfig{Union: zone}), newParent(t, IndexConfig{})
	l := connect(t, leafSet(t, 0, "pod-1"), low, "leaf")
	l.st.set.SetComplete()
	l.flow()
	zone.SetComplete()
	region.SetComplete()
	up, top := connect(t, zone, mid, "zone"), connect(t, region, root, "region")
	flow := func() {
		t.Helper()
		up.flow()
		top.flow()
	}
	expect := func(when string, selectors ...string) {
		t.Helper()
		flow()
		mid.expect(t, when, "zone", selectors...)
		root.expect(t, when, "region", selectors...)
	}
	expect("no names", `__name__="zone:x"`, `__name__="zone:x" cluster="a"`, `!__name__="up"`)
	zone.SetNames([]string{"zone:x", "zone:ALERTS"})
	expect("two names",
		`!__name__="zone:x"`, `!__name__="zone:x" cluster="a" pod=~"never.*" zone="eu"`, `!__name__="zone:ALERTS" alertname="Down"`,
		`!__name__=~"zone:.*"`, `!__name__=~".*LERT.*"`, `!__name__="zone:x" __name__!="y"`,
		`__name__="zone:y"`, `__name__="zone:y" cluster="a"`, `__name__="up" pod="pod-2"`, `__name__=~"root:.*"`, `!__name__="up" pod="pod-1"`)
	for range 5 {
		zone.SetNames([]string{"zone:y"})
		expect("another", `__name__="zone:x"`, `__name__="zone:x" cluster="a"`, `!__name__="zone:y" cluster="a"`)
		zone.SetNames([]string{"zone:x"})
		expect("the first again", `!__name__="zone:x" cluster="a"`, `__name__="zone:y" cluster="a"`)
	}
	if n := zone.Sections(); n > 4 {
		t.Errorf("%d sections", n)
	}
	// What is known of names goes on, as all else does, where the parent is.
	up.cut()
	up = connect(t, zone, mid, "zone")
	flow()
	expect("resumed", `!__name__="zone:x" cluster="a"`, `__name__="zone:y" cluster="a"`)
	zone.SetNames(nil)
	expect("none", `__name__="zone:x"`, `__name__="zone:x" cluster="a"`, `__name__=~"zone:.*"`)
}

// Of many children that are asked together, those that hold a name are not ruled out.
func TestNamesOfSome(t *testing.T) {
	p := newParent(t, IndexConfig{})
	var all []string
	for i := range 200 {
		s := leafSet(t, 0, fmt.Sprint("pod-", i))
		if i%7 == 0 {
			s.SetNames([]string{"zone:x"})
		}
		s.SetComplete()
		all = append(all, fmt.Sprint("child-", i))
		connect(t, s, p, all[i]).flow()
	}
	ask := func(text string) []bool {
		return p.RulesOutAll(all, selector(t, text), math.MinInt64, math.MaxInt64)
	}
	for i, out := range ask(`__name__="zone:x" pod="pod-9"`) {
		if out != (i%7 != 0) {
			t.Errorf("child %d: ruled out: %v", i, out)
		}
	}
	for i, out := range ask(`__name__="up" pod="pod-9"`) {
		if out != (i != 9) {
			t.Errorf("child %d: ruled out: %v, by another name", i, out)
		}
	}
}
