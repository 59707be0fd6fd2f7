package keep

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
	"path/filepath"
	"testing"
	"time"
)

var errCrash = errors.New("the process died")

// A tier that dies between any two transactions, or of the file of restatements,
// has no point afterwards that is not whole and right; and in the end it has all.
func TestCrashes(t *testing.T) {
	crashes, checked := map[string]int{}, 0
	for seed := range int64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c, n := crash(t, rand.New(rand.NewSource(seed)))
			for what, many := range c {
				crashes[what] += many
			}
			checked += n
		})
	}
	t.Logf("crashes after %v; %d points checked", crashes, checked)
	total := 0
	for _, many := range crashes {
		total += many
	}
	if total < 100 {
		t.Errorf("%d crashes, want at least 100", total)
	}
	for _, what := range []string{"points", markWhole, markPartial, markVoid, markSince, stepBegun, stepWritten, stepRenamed, stepSaved} {
		if crashes[what] == 0 {
			t.Errorf("none died after %s", what)
		}
	}
}

// crash lets a tier live and die until it has died five times.
func crash(t *testing.T, rnd *rand.Rand) (crashes map[string]int, checked int) {
	crashes = map[string]int{}
	k := newTierOf(t, newWorld(), t.TempDir(), worldRule)
	begin := up(k.now, worldStep)
	owed := int64(math.MaxInt64)
	var left string // the directory as the crash left it
	arm := func() {
		left = ""
		steps := 1 + rnd.Intn(40)
		k.store.onStep = func(what string) error {
			if steps--; steps == 0 {
				left = copyDir(t, k.dir)
				crashes[what]++
				return errCrash
			}
			if left != "" {
				return errCrash
			}
			return nil
		}
		k.past.onStep = k.store.onStep
	}
	arm()
	for died := 0; died < 5; {
		switch rnd.Intn(6) {
		case 0:
			from := begin + rnd.Int63n(k.now-begin+1)
			if to := min(from+rnd.Int63n(100_000), k.final); from <= to {
				if err := k.restate(from, to); err != nil && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
			}
		case 1:
			k.away = rnd.Intn(2) == 0
		case 2:
			k.pass(worldHold)
		default:
			k.pass(time.Duration(rnd.Intn(100)) * time.Second)
		}
		if err := k.collect(); err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if left != "" {
			died++
			k.again(left)
			checked += k.check("died")
			arm()
		}
		checked += k.check("alive")
		if since, ok := k.store.OwedSince(k.store.Rules().All()[0]); ok {
			owed = min(owed, since)
		}
	}
	k.store.onStep, k.past.onStep, k.away = nil, nil, false
	for range 10 {
		k.pass(time.Minute)
		if err := k.collect(); err != nil {
			t.Fatal(err)
		}
	}
	checked += k.check("in the end")
	points, _ := k.read(worldStep, false)
	for at := max(owed, up(k.now-3600_000, worldStep)+worldStep); at <= k.final; at += worldStep {
		if points[at] == nil {
			t.Errorf("%d is missing in the end", at)
		}
	}
	k.again(k.dir)
	if half, err := filepath.Glob(filepath.Join(k.dir, "past.json.*")); err != nil || len(half) > 0 {
		t.Errorf("files that were being written stay: %q (%v)", half, err)
	}
	return crashes, checked + k.check("opened again")
}
