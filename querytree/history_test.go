package querytree

import (
	"math"
	"math/rand"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Whoever looks at a history now and then is told of every change since, at
// least as far back as it reaches.
func TestHistoryTellsAll(t *testing.T) {
	for seed := range int64(50) {
		rnd := rand.New(rand.NewSource(seed))
		now := time.UnixMilli(0)
		h := NewHistory(func() time.Time { return now })
		var seen uint64
		oldest := int64(math.MaxInt64)
		for range 500 {
			now = now.Add(time.Duration(rnd.Intn(400)) * time.Millisecond)
			if rnd.Intn(3) > 0 {
				mint := rnd.Int63n(1_000_000)
				h.Change(mint, labels.EmptyLabels(), CauseLate)
				oldest = min(oldest, mint)
			}
			if rnd.Intn(40) > 0 {
				continue
			}
			epochs := h.Epochs()
			told := int64(math.MaxInt64)
			for i, e := range epochs {
				if i > 0 && e.Number <= epochs[i-1].Number {
					t.Fatalf("seed %d: epochs do not count up: %+v", seed, epochs)
				}
				if e.Number > seen {
					told = min(told, e.Mint)
				}
			}
			if told > oldest {
				t.Fatalf("seed %d: a change at %d was told as %d: %+v", seed, oldest, told, epochs)
			}
			if len(epochs) > maxEpochs {
				t.Fatalf("seed %d: %d epochs", seed, len(epochs))
			}
			seen, oldest = LastEpoch(epochs), math.MaxInt64
		}
	}
}

// Whoever looks every second is told of changes no further back than they reach,
// however many there are, but for those of the half second before the last look.
func TestHistoryIsPrecise(t *testing.T) {
	now := time.UnixMilli(0)
	h := NewHistory(func() time.Time { return now })
	h.Change(math.MinInt64, labels.EmptyLabels(), CauseRestarted)
	var seen uint64
	for second := range 60 {
		for range 100 {
			now = now.Add(10 * time.Millisecond)
			h.Change(now.UnixMilli(), labels.EmptyLabels(), CauseLate)
		}
		epochs := h.Epochs()
		for _, e := range epochs {
			if e.Number > seen && second > 0 && e.Mint < now.Add(-2*time.Second).UnixMilli() {
				t.Fatalf("second %d: told of a change at %d", second, e.Mint)
			}
		}
		seen = LastEpoch(epochs)
	}
}

// What is known of a change's series is what is known of all that are told as
// one.
func TestHistoryScope(t *testing.T) {
	now := time.UnixMilli(0)
	h := NewHistory(func() time.Time { return now })
	h.Change(5, labels.FromStrings("zone", "eu", "cluster", "a"), CauseLate)
	h.Change(7, labels.FromStrings("zone", "eu", "cluster", "b"), CauseJoined)
	got := h.Epochs()
	if len(got) != 1 || got[0].Number != 2 || got[0].Mint != 5 || got[0].Scope.String() != `{zone="eu"}` || got[0].Cause != CauseSeveral {
		t.Errorf("%+v", got)
	}
	now = now.Add(time.Second)
	h.Change(9, labels.EmptyLabels(), CauseLate)
	if got = h.Epochs(); len(got) != 2 || got[1].Mint != 9 || got[1].Number != 3 {
		t.Errorf("%+v", got)
	}
}

// What a parent makes of a child's next description.
func TestSucceed(t *testing.T) {
	desc := func(instance string, mint int64, epochs ...Epoch) Description {
		return Description{
			Identity: Identity{Tier: TierLeaf, Labels: labels.FromStrings("zone", "eu")}, Instance: instance, Mint: mint,
			Features: []string{FeatureEpochs}, Epochs: epochs, Settled: 100,
		}
	}
	returned := func(settled int64) Description {
		d := desc("p", 5)
		d.Settled = settled
		return d
	}
	silent := desc("p", 5)
	silent.Features = nil
	const nothing = math.MaxInt64
	for name, c := range map[string]struct {
		old   Description
		how   string // it is new, returns, or tells more
		d     Description
		want  int64
		cause string
	}{
		"new":                   {Description{}, "new", desc("p", 5), 5, CauseJoined},
		"new and empty":         {Description{}, "new", desc("p", math.MaxInt64), 100, CauseJoined},
		"returned":              {returned(100), "returns", returned(170), 100, CauseReturned},
		"returned, behind":      {returned(100), "returns", returned(70), 70, CauseReturned},
		"nothing happened":      {desc("p", 5, Epoch{Number: 1, Mint: 3}), "more", desc("p", 6, Epoch{Number: 1, Mint: 3}), nothing, ""},
		"late":                  {desc("p", 5, Epoch{Number: 1, Mint: 3}), "more", desc("p", 5, Epoch{Number: 1, Mint: 3}, Epoch{Number: 3, Mint: 70}), 70, CauseLate},
		"late, told as one":     {desc("p", 5, Epoch{Number: 2, Mint: 3}), "more", desc("p", 5, Epoch{Number: 9, Mint: 3}), 3, CauseLate},
		"another process":       {desc("p", 5), "more", desc("q", 5), math.MinInt64, CauseRestarted},
		"known from a file":     {Description{}, "returns", desc("p", 5), math.MinInt64, CauseRestarted},
		"counts anew":           {desc("p", 5, Epoch{Number: 4}), "more", desc("p", 5, Epoch{Number: 1, Mint: 70}), math.MinInt64, CauseRestarted},
		"begins to tell":        {silent, "more", desc("p", 5), math.MinInt64, CauseRestarted},
		"never tells, nor says": {silent, "more", silent, nothing, ""},
	} {
		h := NewHistory(nil)
		switch c.how {
		case "more":
			h.Succeed(c.old, c.d)
		default:
			h.Return(c.old, c.how == "returns", c.d)
		}
		got := h.Epochs()
		switch {
		case c.want == nothing && len(got) != 0:
			t.Errorf("%s: %+v", name, got)
		case c.want != nothing && (len(got) != 1 || got[0].Mint != c.want || got[0].Cause != c.cause || got[0].Scope.Get("zone") != "eu"):
			t.Errorf("%s: %+v, want one from %d, %s", name, got, c.want, c.cause)
		}
	}
}
