package keep

import (
	"slices"
	"testing"
	"time"
)

// Who keeps answers is told when points can be read that could not before, and after
// that: at the start, when a rule comes back though another one has its metric, and
// once a doubt is gone.
func TestReadable(t *testing.T) {
	const one = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 48h}]}}]"
	const both = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: [{for: 48h}]}}, {name: s, expr: sum by (code) (x), interval: 10s, keep: {root: [{for: 48h}]}}]"
	k := newTierOf(t, newWorld(), t.TempDir(), one)
	told := 0
	k.c.cfg.Readable = func(metrics []string) {
		told++
		if !slices.Equal(metrics, []string{"x"}) {
			t.Errorf("told of %q", metrics)
		}
		k.store.mu.RLock()
		defer k.store.mu.RUnlock()
		if len(k.store.unchecked) > 0 {
			t.Error("told before the points can be read")
		}
	}
	collected := func(when string, want int) {
		t.Helper()
		for range 2 {
			k.pass(time.Minute)
			k.must(k.collect())
		}
		if told != want {
			t.Errorf("%s: told %d times, want %d", when, told, want)
		}
	}
	collected("at first", 1)
	k.setRules(both)
	collected("one more rule", 2)
	k.setRules(one)
	collected("one less", 2)
	k.setRules(both)
	if told != 2 {
		t.Errorf("told %d times though nothing was checked yet", told)
	}
	collected("it is back", 3)
	k.store.doubt()
	collected("a doubt", 4)
}
