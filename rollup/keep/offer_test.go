package keep

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// offered is an Offer that notes what it is told.
type offered struct {
	all    map[string]bool
	days   []int64
	fails  error
	during func() // it is told of something
}

func (o *offered) AddKept(metric string, aggregate labels.Labels, free []string) {
	if o.during != nil {
		o.during()
	}
	o.all[fmt.Sprintf("%s%s free of %s", metric, aggregate, strings.Join(free, ","))] = true
}

func (o *offered) RenewKept(day int64, scan func() error) error {
	before := o.all
	o.days, o.all = append(o.days, day), map[string]bool{}
	if err := scan(); err != nil {
		o.all = before
		return err
	}
	return o.fails
}

func (o *offered) is(t *testing.T, when string, want ...string) {
	t.Helper()
	var got []string
	for text := range o.all {
		got = append(got, text)
	}
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: -want +got:\n%s", when, d)
	}
}

// Who stands between a tier and those that ask it knows of each series before it can
// be read: when it is made, at the start, and when its rule comes back; and forgets
// those of a rule that is gone within a day.
func TestOffer(t *testing.T) {
	const both = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 48h}]}}, {name: s, expr: 'avg by (job) (x{code=\"5\", job!=\"\"})', interval: 10s, keep: {root: [{for: 48h}]}}]"
	const one = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 48h}]}}]"
	k := newTierOf(t, newWorld(), t.TempDir(), one)
	o := &offered{all: map[string]bool{}}
	k.must(k.store.SetOffer(o))
	o.is(t, "at first")
	// Before the points can be read.
	k.store.onStep = func(what string) error {
		if what == "points" && len(o.all) < 2 {
			t.Errorf("points are stored of which nobody was told: %v", o.all)
		}
		return nil
	}
	k.pass(time.Minute)
	k.must(k.collect())
	k.pass(time.Minute)
	k.must(k.collect())
	sums := []string{`x{job="a"} free of `, `x{job="b"} free of `}
	all := []string{`x{job="a"} free of `, `x{job="a"} free of code`, `x{job="b"} free of `, `x{job="b"} free of code`}
	o.is(t, "collected", sums...)

	k.rules = both
	k.setRules(both)
	k.pass(time.Minute)
	k.must(k.collect())
	k.pass(time.Minute)
	k.must(k.collect())
	o.is(t, "another rule, of two operators", all...)

	k.again(k.dir)
	o = &offered{all: map[string]bool{}}
	k.must(k.store.SetOffer(o))
	o.is(t, "after a restart", all...)

	k.rules = one
	k.setRules(one)
	k.must(k.collect())
	if n := len(o.days); n != 1 {
		t.Errorf("made anew %d times", n)
	}
	k.pass(renewEvery)
	k.must(k.collect())
	if n := len(o.days); n != 2 || o.days[1] != o.days[0]+1 {
		t.Errorf("made anew on days %v, want one day after another", o.days)
	}
	o.is(t, "a day without the rule", sums...)
	k.setRules(both)
	o.is(t, "the rule is back", all...)

	k.setRules(one)
	k.pass(renewEvery)
	k.must(k.collect())
	looked := 0
	o.during = func() {
		if looked++; !k.store.mu.TryRLock() {
			t.Fatal("nothing can be read while it is told of a rule that is back")
		}
		k.store.mu.RUnlock()
	}
	k.setRules(both)
	if o.during = nil; looked == 0 {
		t.Error("nobody was told of the rule that is back")
	}

	o.fails = errors.New("cannot be read")
	k.pass(renewEvery)
	n := len(o.days)
	for range 3 {
		_ = k.collect()
	}
	if len(o.days) != n+1 {
		t.Errorf("an offer that cannot be made is tried %d times at once", len(o.days)-n)
	}
	k.pass(retryOffer)
	_ = k.collect()
	if len(o.days) != n+2 {
		t.Errorf("an offer that could not be made is tried %d times after a while, want 2", len(o.days)-n)
	}
}
