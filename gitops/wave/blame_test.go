package wave_test

import (
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// blaming is a cluster, b of the second wave, that decides every 15 seconds.
type blaming struct {
	t  *testing.T
	in wave.Input
	m  wave.Memory
	d  wave.Decision
}

func newBlaming(t *testing.T) *blaming {
	waves := []wave.Wave{
		{Name: "one", Clusters: []string{"a"}},
		{Name: "two", Clusters: []string{"b", "c"}, Bake: 2 * time.Hour, Gates: []wave.Gate{{Name: "g"}}},
		{Name: "three", Clusters: []string{"d"}},
	}
	return &blaming{t: t, in: wave.Input{Now: epoch, Cluster: "b", Waves: waves, Running: "r1", Good: []string{"r1"}}}
}

// turns decides for a while, and does what is decided at once. It tells after how
// long a revision was rejected, -1 if none was.
func (b *blaming) turns(d time.Duration, f wave.Fleet, gate wave.Verdict) (revision string, after time.Duration) {
	start := b.in.Now
	for ; b.in.Now.Sub(start) < d; b.in.Now = b.in.Now.Add(15 * time.Second) {
		b.in.Fleet, b.in.Gates = &f, nil
		var next wave.Memory
		for b.d, next = wave.Decide(b.in, b.m); len(b.d.Need) > 0; b.d, next = wave.Decide(b.in, b.m) {
			b.in.Gates = map[string]wave.Verdict{}
			for key := range b.d.Need {
				b.in.Gates[key] = gate
			}
		}
		b.m = next
		if b.d.Good {
			b.in.Good = append([]string{b.in.Running}, b.in.Good...)
		}
		if b.d.Reject != "" {
			return b.d.Reject, b.in.Now.Sub(start)
		}
		if b.d.Do == wave.Advance {
			b.in.Running = b.d.To
		}
	}
	return "", -1
}

// takes has b take a revision while its neighbours run others.
func (b *blaming) takes(to string, f wave.Fleet) {
	b.t.Helper()
	b.in.Newest = to
	b.turns(time.Minute, f, wave.Holds)
	if b.in.Running != to {
		b.t.Fatalf("runs %s, want %s: %+v", b.in.Running, to, b.d)
	}
	b.in.Waves[0].Bake = 24 * time.Hour // of what comes next
}

func fleet(a, b, c, d string) wave.Fleet {
	return wave.Fleet{Clusters: map[string]string{"a": a, "b": b, "c": c, "d": d}}
}

// A neighbour's revision is not taken for a newer one because it never proved itself
// here: it was there before.
func TestOlderNeighbourDelaysNoRejection(t *testing.T) {
	b := newBlaming(t)
	b.takes("r3", fleet("r3", "r1", "r2", "r1"))
	if r, after := b.turns(10*time.Minute, fleet("r3", "r3", "r2", "r1"), wave.Fails); r != "r3" || after > 30*time.Second {
		t.Fatalf("rejected %q after %v, want r3 at once", r, after)
	}
	// One that comes later may be newer.
	b = newBlaming(t)
	b.takes("r3", fleet("r3", "r1", "r1", "r1"))
	if r, after := b.turns(time.Minute, fleet("r4", "r3", "r3", "r1"), wave.Fails); r == "r3" {
		t.Fatalf("rejected %q after %v, want r4 to be heard first", r, after)
	}
}

// Who is stuck on the way to a revision does not keep gates from being watched.
func TestStuckNeighbour(t *testing.T) {
	stuck := func(f wave.Fleet, c, to string) wave.Fleet { f.Moving = map[string]string{c: to}; return f }
	for name, tc := range map[string]struct {
		now    wave.Fleet
		proves bool // before the gate fails
		long   bool // whether it has been on its way for long
		within time.Duration
	}{
		"it gets the same, and proved": {stuck(fleet("r2", "r2", "r1", "r1"), "c", "r2"), true, true, time.Minute},
		"it gets the same":             {stuck(fleet("r2", "r2", "r1", "r1"), "c", "r2"), false, true, 30 * time.Second},
		"it gets the next":             {stuck(fleet("r2", "r2", "r2", "r2"), "a", "r3"), false, true, time.Minute},
		"it gets the next, and proved": {stuck(fleet("r2", "r2", "r2", "r1"), "a", "r3"), true, true, time.Minute},
		"it returns":                   {stuck(fleet("r2", "r2", "r2", "r2"), "a", "r2"), false, true, time.Minute},
		"it began to return just now":  {stuck(fleet("r2", "r2", "r2", "r2"), "a", "r2"), false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBlaming(t)
			b.takes("r2", fleet("r2", "r1", "r1", "r1"))
			if tc.long {
				b.turns(wave.MovingLimit+wave.Linger, tc.now, wave.Holds)
			}
			if tc.proves {
				b.in.Waves[1].Bake = 0
				b.turns(15*time.Second, tc.now, wave.Holds)
			}
			r, after := b.turns(time.Hour, tc.now, wave.Fails)
			if tc.within > 0 && (r != "r2" || after > tc.within) || tc.within == 0 && after < wave.Linger {
				t.Fatalf("rejected %q after %v, want r2 within %v", r, after, tc.within)
			}
		})
	}
}

// Of two revisions that have not proved themselves, the one that came last before a
// gate began to fail is blamed. What runs here is if the gate goes on failing.
func TestBlamedIsWhoCameLast(t *testing.T) {
	follows := fleet("r3", "r2", "r2", "r2")
	all := fleet("r2", "r2", "r2", "r2")
	begin := func(t *testing.T) *blaming {
		b := newBlaming(t)
		b.takes("r2", fleet("r2", "r1", "r1", "r1"))
		b.turns(10*time.Minute, all, wave.Holds)
		return b
	}
	t.Run("the one that follows", func(t *testing.T) {
		b := begin(t)
		b.turns(5*time.Minute, follows, wave.Holds)
		if r, after := b.turns(10*time.Minute, follows, wave.Fails); r != "r3" || after > time.Minute {
			t.Fatalf("rejected %q after %v, want r3 within a minute", r, after)
		}
		b.in.Rejected = map[string]string{"r3": "no"}
		if r, after := b.turns(3*time.Minute, all, wave.Fails); r != "" {
			t.Fatalf("rejected %q too after %v, want time for the gate to hold again", r, after)
		}
		if r, _ := b.turns(3*time.Minute, all, wave.Fails); r != "r2" {
			t.Fatalf("rejected %q, want r2 in the end", r)
		}
	})
	t.Run("news come after the gate failed", func(t *testing.T) {
		b := begin(t)
		if r, _ := b.turns(30*time.Second, all, wave.Fails); r != "" {
			t.Fatalf("rejected %q before news of what follows can be here", r)
		}
		if r, _ := b.turns(2*time.Minute, follows, wave.Fails); r != "r3" {
			t.Fatalf("rejected %q, want r3", r)
		}
	})
	t.Run("the one that is being delivered", func(t *testing.T) {
		b, gets := begin(t), fleet("r2", "r2", "r2", "r2")
		gets.Moving = map[string]string{"a": "r3"}
		b.turns(time.Minute, gets, wave.Holds)
		if r, after := b.turns(10*time.Minute, gets, wave.Fails); r != "r3" || after <= time.Minute || after > 2*time.Minute {
			t.Fatalf("rejected %q after %v, want r3 when its own wave had time to", r, after)
		}
	})
	t.Run("nobody follows", func(t *testing.T) {
		b := begin(t)
		if r, after := b.turns(10*time.Minute, all, wave.Fails); r != "r2" || after > 30*time.Second {
			t.Fatalf("rejected %q after %v, want r2 within half a minute", r, after)
		}
	})
	t.Run("it came after the gate failed", func(t *testing.T) {
		b := begin(t)
		b.m.Disturbed = b.in.Now // by something else
		b.turns(2*time.Minute, all, wave.Fails)
		if r, after := b.turns(10*time.Minute, follows, wave.Fails); r != "r2" || after > 3*time.Minute {
			t.Fatalf("rejected %q after %v, want r2", r, after)
		}
	})
}

// What began to fail in the last wave while it was watched is not let go of because
// another revision was about meanwhile.
func TestDisturbedInTheLastWave(t *testing.T) {
	b := newBlaming(t)
	b.in.Cluster, b.in.Waves[2].Gates = "d", []wave.Gate{{Name: "g"}}
	b.in.Waves[1].Bake = 0
	b.takes("r2", fleet("r2", "r2", "r2", "r1"))
	if len(b.in.Good) != 2 {
		t.Fatalf("%v are good, want r2 to have proved itself", b.in.Good)
	}
	b.turns(45*time.Second, fleet("r3", "r2", "r2", "r2"), wave.Fails)
	if r, after := b.turns(20*time.Minute, fleet("r2", "r2", "r2", "r2"), wave.Fails); r != "r2" || after > wave.Linger+time.Minute {
		t.Fatalf("rejected %q after %v, want r2 when it has failed for long enough", r, after)
	}
}
