package aggregate

import (
	"context"
	"fmt"
	"testing"
)

// Labels that are known are those of the series that they were learned of, until it
// is forgotten or rules change; and there is a bound to how many are known.
func TestKnownLabels(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	add := func(at int64, v float64, series string) (known bool) {
		t.Helper()
		app := w.in.Appender(context.Background()).(*appender)
		if known = app.AppendKnown([]byte(series), start+at, v); !known {
			ref, err := app.Append(0, lset(t, series), start+at, v)
			if err != nil {
				t.Fatal(err)
			}
			app.Learn([]byte(series), ref)
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		return known
	}
	if add(1000, 1, "x_total{pod=a}") || !add(2000, 4, "x_total{pod=a}") {
		t.Error("labels are not known from the second time on")
	}
	if add(1000, 1, "y_total{pod=a}") || add(2000, 1, "y_total{pod=a}") {
		t.Error("a series that is no input is known")
	}
	w.flush(12_000)
	w.flush(82_000)                  // forgets
	add(83_000, 7, "x_total{pod=b}") // in its place
	if add(85_000, 5, "x_total{pod=a}") {
		t.Error("a series that was forgotten is known")
	}
	add(86_000, 6, "x_total{pod=a}")
	if err := w.a.Use(parseRules(t, "delay: 2s\nrules: [{name: other, match: [z], without: [pod]}]")); err != nil {
		t.Fatal(err)
	}
	if add(88_000, 9, "x_total{pod=a}") {
		t.Error("a series that no rule matches is known")
	}
	w.flush(92_000)
	if got, want := w.stored("x_total:without_pod"), "10000:3 80000:stale 90000:4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKnownLabelsAreBounded(t *testing.T) {
	var k known
	for i := range 100_000 {
		key := keyOf(fmt.Append(nil, i))
		hash, verify := key.Hash, key.Verify
		k.add(knownInput{hash: hash, verify: verify, place: uint32(i) + 1}, 100)
		if s, ok := k.find(hash, verify); !ok || s.place != uint32(i)+1 {
			t.Fatalf("%d is not found", i)
		}
		if _, ok := k.find(hash, verify+1); ok {
			t.Fatal("other labels of the same hash are found")
		}
	}
	for i := range k.parts {
		if n := k.parts[i].n; n > 101 {
			t.Errorf("%d entries", n)
		}
	}
}
