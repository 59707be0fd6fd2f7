package keep

import (
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/querytree"
)

// A ledger says of every time what a map of times would say.
func TestLedgerAgainstMap(t *testing.T) {
	const step, times = 10, 60
	for seed := range int64(200) {
		rnd := rand.New(rand.NewSource(seed))
		l, m := &ledger{step: step}, map[int64]span{}
		dropped := map[int64]uint32{} // the least revision that a point may have that was forgotten
		some := func() (from, to int64) {
			from = rnd.Int63n(times) * step
			return from, from + rnd.Int63n(8)*step
		}
		for range 80 {
			from, to := some()
			switch rnd.Intn(5) {
			case 0:
				l.void(from-3, to+3)
				for t := from; t <= to; t += step {
					if m[t].state != absent {
						m[t] = span{rev: m[t].rev + 1}
					}
				}
			case 1:
				if rnd.Intn(20) == 0 {
					l.forget(from)
					for t := range m {
						if t < from {
							if dropped[t] = max(dropped[t], m[t].rev); m[t].state != absent {
								dropped[t] = max(dropped[t], m[t].rev+1)
							}
							delete(m, t)
						}
					}
				}
			default:
				s := span{from: from, to: to, state: state(1 + rnd.Intn(3)), rev: uint32(rnd.Intn(2)), late: rnd.Intn(3) == 0}
				l.set(s)
				for t := from; t <= to; t += step {
					m[t] = s
				}
			}
			for t0 := int64(0); t0 < (times+10)*step; t0 += step {
				got, want := l.at(t0), m[t0]
				if least, ok := dropped[t0]; ok && want == (span{}) && got.state == absent && got.rev >= least {
					continue
				}
				if t0 < l.forgotten && want == (span{}) {
					want.rev = l.next
				}
				if !got.like(want) {
					t.Fatalf("seed %d: at %d: got %+v, want %+v; %+v", seed, t0, got, want, l.spans)
				}
			}
			for i := 1; i < len(l.spans); i++ {
				a, b := l.spans[i-1], l.spans[i]
				if a.to >= b.from || a.to+step == b.from && a.like(b) {
					t.Fatalf("seed %d: %+v beside %+v", seed, a, b)
				}
			}
			checkRuns(t, l, m, from-7, to+7+rnd.Int63n(100))
		}
	}
}

// checkRuns compares what is there and what is not with the map.
func checkRuns(t *testing.T, l *ledger, m map[int64]span, mint, maxt int64) {
	t.Helper()
	runs := func(in func(span) bool) (out []querytree.Interval) {
		for at := up(mint, l.step); at <= maxt; at += l.step {
			if !in(m[at]) {
				continue
			}
			if n := len(out); n > 0 && out[n-1].Maxt+l.step == at {
				out[n-1].Maxt = at
			} else {
				out = append(out, querytree.Interval{Mint: at, Maxt: at})
			}
		}
		return out
	}
	if d := cmp.Diff(runs(func(s span) bool { return s.state == whole }), l.has(mint, maxt, whole)); d != "" {
		t.Fatalf("has %d..%d: -want +got:\n%s", mint, maxt, d)
	}
	if d := cmp.Diff(runs(func(s span) bool { return s.state == absent }), l.lacks(mint, maxt)); d != "" {
		t.Fatalf("lacks %d..%d: -want +got:\n%s", mint, maxt, d)
	}
}

func TestMultiples(t *testing.T) {
	for _, c := range []struct{ t, down, up int64 }{{0, 0, 0}, {1, 0, 10}, {-1, -10, 0}, {-10, -10, -10}, {25, 20, 30}} {
		if d, u := down(c.t, 10), up(c.t, 10); d != c.down || u != c.up {
			t.Errorf("%d: got %d and %d, want %d and %d", c.t, d, u, c.down, c.up)
		}
	}
}
