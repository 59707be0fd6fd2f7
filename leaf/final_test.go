package leaf

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/querytree"
)

// noter is a Restater that keeps what it is told.
type noter struct {
	mu       sync.Mutex
	restated []querytree.Interval
	seen     int
	err      error
}

func (n *noter) Restate(mint, maxt int64) (func(), error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return func() {}, n.err
	}
	n.restated = append(n.restated, querytree.Interval{Mint: mint, Maxt: maxt})
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.seen++
	}, nil
}

func (n *noter) Told() (string, []querytree.Restatement) { return "", nil }

// What is said to be final, on a clock that begins at zero with a delay of a minute,
// and what is restated.
func TestFinality(t *testing.T) {
	const minute, hour = 60_000, 3_600_000
	type step struct {
		at     int64 // milliseconds
		do     string
		from   int64
		to     int64
		final  int64 // after it
		noting error
	}
	type steps []step
	for name, c := range map[string]struct {
		steps steps
		want  []querytree.Interval
	}{
		"at rest":                 {steps{{at: 0, final: -minute}, {at: minute, final: 0}, {at: hour, final: hour - minute}}, nil},
		"samples of the present":  {steps{{at: minute, do: "commit", from: minute, to: minute, final: 0}, {at: hour, do: "done", final: hour - minute}}, nil},
		"open commit holds it":    {steps{{at: minute, do: "commit", from: 30_000, to: minute, final: 0}, {at: hour, final: 29_999}, {at: hour, do: "done", final: hour - minute}}, nil},
		"two open commits":        {steps{{at: minute, do: "commit", from: 50_000, to: minute, final: 0}, {at: minute, do: "commit", from: 40_000, to: minute}, {at: hour, final: 39_999}}, nil},
		"late":                    {steps{{at: hour, final: hour - minute}, {at: hour, do: "commit", from: 50 * minute, to: 51 * minute, final: hour - minute}}, []querytree.Interval{{Mint: 50 * minute, Maxt: 51 * minute}}},
		"late, up to the present": {steps{{at: hour, final: hour - minute}, {at: hour, do: "commit", from: 50 * minute, to: hour, final: hour - minute}, {at: hour + minute, final: hour - minute}}, []querytree.Interval{{Mint: 50 * minute, Maxt: hour - minute}}},
		"what was late is waited for": {steps{
			{at: hour, final: hour - minute},
			{at: hour, do: "commit", from: 50 * minute, to: 51 * minute, final: hour - minute},
			{at: hour, do: "done", final: hour - minute},
			{at: hour + 5*minute, final: hour - minute},
			{at: hour + 20*minute, final: hour + 10*minute},
			{at: 4 * hour, do: "", final: 4*hour - 10*minute},
			{at: 5 * hour, final: 5*hour - minute},
		}, []querytree.Interval{{Mint: 50 * minute, Maxt: 51 * minute}}},
		"two hours late at most": {steps{
			{at: 9 * hour, final: 9*hour - minute}, {at: 9 * hour, do: "commit", from: 0, to: 0, final: 9*hour - minute}, {at: 9 * hour, do: "done", final: 9*hour - minute}, {at: 9*hour + 150*minute, final: 9*hour + 30*minute},
		}, []querytree.Interval{{}}},
		"the note fails": {steps{
			{at: hour, final: hour - minute}, {at: hour, do: "commit", from: 50 * minute, to: 51 * minute, final: hour - minute, noting: errors.New("disk full")}, {at: hour, do: "done", final: hour - minute}, {at: 2 * hour, final: 2*hour - 10*minute},
		}, nil},
		"deletion": {steps{
			{at: hour, final: hour - minute}, {at: hour, do: "delete", from: math.MinInt64, to: math.MaxInt64, final: hour - minute}, {at: 2 * hour, final: hour - minute}, {at: 2 * hour, do: "done", final: 2*hour - minute},
		}, []querytree.Interval{{Mint: math.MinInt64, Maxt: hour - minute}}},
		"deletion of what is not final": {steps{
			{at: hour, final: hour - minute}, {at: hour, do: "delete", from: hour - 30_000, to: hour, final: hour - minute}, {at: 2 * hour, final: hour - 30_001}, {at: 2 * hour, do: "done", final: 2*hour - minute},
		}, nil},
		// An earlier process may have said so, with a shorter delay.
		"before the start": {steps{{at: 30_000, do: "commit", from: -1000, to: 20_000, final: -30_000}}, []querytree.Interval{{Mint: -1000, Maxt: 0}}},
		"the oldest time":  {steps{{at: hour, do: "commit", from: math.MinInt64, to: 0, final: -minute}, {at: 2 * hour, do: "done", final: 0}}, []querytree.Interval{{Mint: math.MinInt64, Maxt: 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var now int64
			n := &noter{}
			f := newFinality(func() time.Time { return time.UnixMilli(now) }, func() time.Duration { return time.Minute }, n)
			var dones []func()
			for i, s := range c.steps {
				now, n.err = s.at, s.noting
				change := f.commit
				switch s.do {
				case "delete":
					change = f.deletion
					fallthrough
				case "commit":
					done, err := change(s.from, s.to)
					if !errors.Is(err, s.noting) {
						t.Fatal(err)
					}
					dones = append(dones, done)
				case "done":
					dones[0]()
					dones = dones[1:]
				}
				if got := f.final(); got != s.final {
					t.Errorf("step %d, at %d: final %d, want %d", i, s.at, got, s.final)
				}
			}
			if d := cmp.Diff(c.want, n.restated); d != "" {
				t.Errorf("restated: -want +got:\n%s", d)
			}
		})
	}
}

// Whatever is committed at once: of a time that was final nothing is committed
// without having been restated, and in the end all has been seen.
func TestFinalityUnderCommits(t *testing.T) {
	n := &noter{}
	var mu sync.Mutex
	now := int64(10_000)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now++
		return time.UnixMilli(now)
	}
	f := newFinality(clock, func() time.Duration { return 20 * time.Millisecond }, n)
	var wg sync.WaitGroup
	for worker := range int64(4) {
		wg.Go(func() {
			for i := range int64(500) {
				mint := clock().UnixMilli() - i%40 - worker
				before := f.final()
				done, err := f.commit(mint, mint)
				if err != nil {
					t.Error(err)
				}
				if after := f.final(); before < mint && mint <= after {
					n.mu.Lock()
					told := false
					for _, r := range n.restated {
						told = told || r.Mint <= mint && mint <= r.Maxt
					}
					n.mu.Unlock()
					if !told {
						t.Errorf("%d is final at %d while it is committed, and not restated", mint, after)
					}
				}
				done()
			}
		})
	}
	wg.Wait()
	if len(f.open) > 0 || n.seen != len(n.restated) || n.seen == 0 {
		t.Errorf("%d open, %d of %d seen", len(f.open), n.seen, len(n.restated))
	}
}
