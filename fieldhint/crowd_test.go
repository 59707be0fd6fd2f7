package fieldhint

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

func TestTransposeSwapsRowsAndColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var square, turned [64]uint64
	for i := range square {
		square[i] = r.Uint64()
	}
	turned = square
	transpose(&turned)
	for i := range square {
		for j := range square {
			if square[i]>>j&1 != turned[j]>>i&1 {
				t.Fatalf("row %d, column %d did not change places", i, j)
			}
		}
	}
}

func TestFilterSizesAreFew(t *testing.T) {
	sizes := map[uint64]bool{}
	for n := uint64(1); n <= 1<<16; n++ {
		got := roundBlocks(n)
		if got < n || got > n+n/8 {
			t.Fatalf("%d blocks are rounded to %d", n, got)
		}
		sizes[got] = true
	}
	if most := 8 * (bits.Len64(1<<16) + 1); len(sizes) > most {
		t.Errorf("%d sizes, want at most %d", len(sizes), most)
	}
}

// crowd is so many children of one parent that their layers share slabs.
type crowd struct {
	t      testing.TB
	r      *rand.Rand
	parent *parent
	leaves []*crowdLeaf
	names  []string
}

type crowdLeaf struct {
	name   string
	set    *Set
	link   *link
	series []labels.Labels
	synced bool // the parent has all of them
}

func newCrowd(t testing.TB, r *rand.Rand, n int) *crowd {
	c := &crowd{t: t, r: r, parent: newParent(t, IndexConfig{})}
	for i := range n {
		l := &crowdLeaf{name: fmt.Sprintf("leaf-%d", i), set: newSet(t, SetConfig{CacheSize: 1})}
		c.leaves, c.names = append(c.leaves, l), append(c.names, l.name)
		l.grow(r)
		l.set.SetComplete()
		l.connect(c)
	}
	return c
}

func (l *crowdLeaf) connect(c *crowd) {
	l.link = connect(c.t, l.set, c.parent, l.name)
	l.synced = false
	if c.r.IntN(4) > 0 {
		l.flow()
	}
}

func (l *crowdLeaf) flow() {
	l.link.flow()
	if l.link.feed.NeedsResync() {
		l.link.st.restart(l.link.feed.Cursor())
		l.link.flow()
	}
	l.synced = true
}

func (l *crowdLeaf) grow(r *rand.Rand) {
	s := randomSeries(r)
	l.series = append(l.series, s)
	l.set.AddSeries(s)
	l.synced = false
}

func (l *crowdLeaf) scan(add func(labels.Labels, ...Span)) error {
	for _, s := range l.series {
		add(s, always)
	}
	return nil
}

// act does one thing that happens to a leaf.
func (c *crowd) act() {
	l := pick(c.r, c.leaves)
	switch c.r.IntN(16) {
	case 0: // the leaf restarts
		l.link.cut()
		l.set.Reset()
		if err := l.scan(func(s labels.Labels, _ ...Span) { l.set.AddSeries(s) }); err != nil {
			c.t.Fatal(err)
		}
		l.set.SetComplete()
		l.connect(c)
	case 1:
		l.link.cut()
		l.connect(c)
	case 2:
		l.link.cut()
		c.parent.Forget(l.name)
		l.connect(c)
	case 3: // all others fall silent
		c.parent.clock = c.parent.clock.Add(1500 * time.Millisecond)
		l.flow()
	case 4: // more than a layer has room for
		for range 1500 {
			l.set.Add(c.r.Uint64())
		}
		l.flow()
	case 5:
		start := c.r.Int64N(4) * hour
		if err := l.set.Rebuild(Layout{Start: start, Window: hour, Current: math.MinInt64}, l.scan); err != nil {
			c.t.Fatal(err)
		}
		l.set.SetComplete()
		l.flow()
	case 6: // the generation of all of them ends
		for _, l := range c.leaves {
			if c.r.IntN(3) > 0 {
				l.link.cut()
				c.parent.Forget(l.name)
			}
		}
		for _, l := range c.leaves {
			l.link.cut()
			l.connect(c)
		}
	case 7:
		for _, l := range c.leaves {
			l.flow()
		}
	default:
		l.grow(c.r)
		l.flow()
	}
}

// ask asks about all leaves at once for a series that one of them has. Nobody is
// ruled out who would not be if asked alone.
func (c *crowd) ask() (together, alone int) {
	c.t.Helper()
	l := pick(c.r, c.leaves)
	s := pick(c.r, l.series)
	ms := equalities(s)
	if c.r.IntN(2) == 0 {
		ms = nil
		for range 3 {
			if m := randomMatcher(c.r, s); m != nil && m.Matches(s.Get(m.Name)) {
				ms = append(ms, m)
			}
		}
	}
	mint, maxt := int64(math.MinInt64), int64(math.MaxInt64)
	if c.r.IntN(2) == 0 {
		mint = c.r.Int64N(6*hour) - hour
		maxt = mint + c.r.Int64N(hour)
	}
	names := c.names
	if c.r.IntN(3) == 0 {
		names = slices.Clone(names)
		c.r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		names = append(names[:len(names)-c.r.IntN(50)], "unknown")
	}
	for i, out := range c.parent.RulesOutAll(names, ms, mint, maxt) {
		each := c.parent.RulesOut(names[i], ms, mint, maxt)
		if each {
			alone++
		}
		if !out {
			continue
		}
		together++
		if !each {
			c.t.Fatalf("%v from %d to %d: %s is ruled out among all, and not alone", ms, mint, maxt, names[i])
		}
		if names[i] == l.name && l.synced {
			c.t.Fatalf("%v from %d to %d: %s is ruled out and has a match", ms, mint, maxt, l.name)
		}
	}
	return together, alone
}

func (c *crowd) slabs() int {
	if t := c.parent.table.Load(); t != nil {
		return len(t.slabs)
	}
	return 0
}

// TestCrowdModel does at random what happens to leaves which are so many that
// they share slabs, and asks about all of them after each. What is ruled out of
// all is ruled out of each, nearly as much, and never a leaf that has a match.
func TestCrowdModel(t *testing.T) {
	together, alone, most := 0, 0, 0
	for seed := range uint64(6) {
		c := newCrowd(t, rand.New(rand.NewPCG(11, seed)), 150)
		for range 250 {
			c.act()
			for range 3 {
				a, b := c.ask()
				together, alone = together+a, alone+b
			}
			most = max(most, c.slabs())
		}
	}
	if together < alone*98/100 || alone == 0 {
		t.Errorf("%d leaves were ruled out of all, and %d by themselves", together, alone)
	}
	if most < 2 {
		t.Errorf("leaves shared at most %d slabs", most)
	}
}

func FuzzCrowd(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(20))
	f.Fuzz(func(t *testing.T, a, b uint64, steps uint8) {
		c := newCrowd(t, rand.New(rand.NewPCG(a, b)), 140)
		for range steps {
			c.act()
			c.ask()
		}
	})
}

// What is left of slabs that lost their layers is given back.
func TestSlabsGiveMemoryBack(t *testing.T) {
	c := newCrowd(t, rand.New(rand.NewPCG(12, 1)), 400)
	for _, l := range c.leaves {
		l.flow()
	}
	full := c.parent.bytes()
	if idle := c.parent.slabs.idle.Load(); c.slabs() < 3 || idle != 0 {
		t.Fatalf("%d slabs, %d bytes idle", c.slabs(), idle)
	}
	for i, l := range c.leaves[1:] {
		l.link.cut()
		c.parent.Forget(l.name)
		c.leaves[0].flow()
		left := full * int64(len(c.leaves)-1-i) / int64(len(c.leaves))
		if got := c.parent.bytes(); got > left*5/4+full/4 {
			t.Fatalf("%d leaves take %d bytes, want about %d", len(c.leaves)-1-i, got, left)
		}
	}
	if idle := c.parent.slabs.idle.Load(); idle != 0 {
		t.Errorf("%d bytes are idle at the end", idle)
	}
	if n := len(c.parent.slabs.waiting); n == 0 || n > 8 {
		t.Errorf("%d kinds of layers wait, of one leaf", n)
	}
}

// Leaves add and drop facts, and slabs are made and taken apart, while others
// ask: what a leaf had told before the question is never ruled out.
func TestCrowdIsSafeForConcurrentUse(t *testing.T) {
	const n, rounds = 160, 30
	c := newCrowd(t, rand.New(rand.NewPCG(13, 1)), n)
	var told [n]atomic.Int64 // the latest value that the parent has been told of
	fact := func(leaf int, v int64) labels.Labels {
		return labels.FromStrings(labels.MetricName, "up", "v", fmt.Sprintf("%d-%d", leaf, v))
	}
	for i, l := range c.leaves {
		l.set.AddSeries(fact(i, 0))
		l.flow()
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for v := int64(1); v < rounds; v++ {
				for i := w; i < n; i += 4 {
					l := c.leaves[i]
					l.set.AddSeries(fact(i, v))
					if i%8 < 4 && v%8 == 7 { // a generation, and so other layers
						err := l.set.Rebuild(Layout{Start: v * hour, Window: hour, Current: math.MinInt64}, func(add func(labels.Labels, ...Span)) error {
							for v := range v + 1 {
								add(fact(i, v), always)
							}
							return nil
						})
						if err != nil {
							t.Error(err)
						}
						l.set.SetComplete()
					}
					l.flow()
					told[i].Store(v)
				}
			}
		})
	}
	for r := range 2 {
		readers.Go(func() {
			rnd := rand.New(rand.NewPCG(14, uint64(r)))
			for {
				select {
				case <-done:
					return
				default:
				}
				i := rnd.IntN(n)
				v := rnd.Int64N(told[i].Load() + 1)
				if c.parent.RulesOutAll(c.names, equalities(fact(i, v)), math.MinInt64, math.MaxInt64)[i] {
					t.Errorf("leaf %d is ruled out, which has told of %d", i, v)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if c.slabs() == 0 {
		t.Error("no slabs were made")
	}
}
