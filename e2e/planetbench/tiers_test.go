package planetbench_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
)

// zone is one zone: the index of its leaves, and the union that it offers to the
// root.
type zone struct {
	name   string
	leaves int
	index  *fieldhint.Index
	set    *fieldhint.Set
}

// planet is a tree of field hints. Leaves' Sets are gone once they were sent.
type planet struct {
	gen     *generator
	queries []query
	zones   []*zone
	root    *fieldhint.Index
	flat    *fieldhint.Index // at least flatChildren under one parent; nil unless asked for
	kept    []*fieldhint.Set // of the first leaves; empty unless asked for
	verdict *verdict
	cost    cost

	flatNames []string
}

// flatChildren are the children of one parent among which deciding is timed. If
// there are fewer leaves, each is there several times.
const flatChildren = 10_000

// cost is what filling a planet took, over all workers.
type cost struct {
	mu                   sync.Mutex
	series, fingerprints int
	adding, streaming    time.Duration
	setBytes             int
}

// planetOptions say what a planet has besides its tiers.
type planetOptions struct {
	flat bool
	kept int
}

// maxFingerprints is --hints.max-fingerprints of zones and the root: the largest zone
// has nearly half the planet, which is more than the flag's default holds.
const maxFingerprints = 1 << 28

func newIndex(tb testing.TB, union *fieldhint.Set) *fieldhint.Index {
	tb.Helper()
	// Leaves fall silent once they were sent: their hints must not grow old.
	x, err := fieldhint.NewIndex(fieldhint.IndexConfig{MaxAge: math.MaxInt64, Union: union, MaxFingerprints: maxFingerprints})
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func newSet(tb testing.TB, external labels.Labels, cache int) *fieldhint.Set {
	tb.Helper()
	s, err := fieldhint.NewSet(fieldhint.SetConfig{External: external, CacheSize: cache, MaxFingerprints: maxFingerprints})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// scan fills a leaf's set as a leaf does when it starts: with a look at all
// series, to decide what to tell of them.
func scan(set *fieldhint.Set, c *content) {
	now := fieldhint.Span{From: math.MinInt64, To: math.MaxInt64}
	err := set.Rebuild(fieldhint.Layout{Window: 86_400_000, Current: math.MinInt64}, func(add func(labels.Labels, ...fieldhint.Span)) error {
		return c.scan(func(lset labels.Labels) { add(lset, now) })
	})
	if err != nil {
		panic(err) // not in the test's goroutine
	}
	set.SetComplete()
}

func rulesOut(x *fieldhint.Index, child string, ms []*labels.Matcher) bool {
	return x.RulesOut(child, ms, math.MinInt64, math.MaxInt64)
}

func rulesOutAll(x *fieldhint.Index, children []string, ms ...*labels.Matcher) []bool {
	return x.RulesOutAll(children, ms, math.MinInt64, math.MaxInt64)
}

// build makes all series of a planet and sends their hints up, while each leaf's
// content is there to compare the hints with.
func build(tb testing.TB, g *generator, queries []query, opts planetOptions) *planet {
	tb.Helper()
	p := &planet{gen: g, queries: queries, verdict: newVerdict(queries), root: newIndex(tb, nil)}
	for z, n := range zoneSizes(g.cfg.leaves) {
		name := zoneName(z)
		set := newSet(tb, labels.FromStrings("region", name), 1)
		p.zones = append(p.zones, &zone{name: name, leaves: n, set: set, index: newIndex(tb, set)})
	}
	if opts.flat {
		p.flat = newIndex(tb, nil)
		for i := range max(flatChildren, len(g.places)) {
			p.flatNames = append(p.flatNames, fmt.Sprintf("child-%d", i))
		}
	}
	p.kept = make([]*fieldhint.Set, min(opts.kept, len(g.places)))
	p.fill(tb)
	for _, z := range p.zones {
		z.set.SetComplete()
		pump(tb, z.set, p.root, z.name, fieldhint.StreamOptions{})
	}
	p.judgeZones()
	return p
}

func (p *planet) fill(tb testing.TB) {
	tb.Helper()
	leaves := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			j := newJudge()
			for leaf := range leaves {
				p.leaf(tb, leaf, j)
			}
		})
	}
	for leaf := range p.gen.places {
		leaves <- leaf
	}
	close(leaves)
	workers.Wait()
}

// leaf makes one leaf, sends its hint, and judges the hint.
func (p *planet) leaf(tb testing.TB, leaf int, j *judge) {
	at := p.gen.places[leaf]
	c := newContent()
	p.gen.series(leaf, c.add)
	set := newSet(tb, labels.FromStrings("cluster", at.own, "region", at.zoneName), 1<<13)
	start := time.Now()
	scan(set, c)
	added := time.Now()
	z := p.zones[at.zone]
	pump(tb, set, z.index, at.own, fieldhint.StreamOptions{})
	sent := time.Now()
	if p.flat != nil {
		for i := leaf; i < len(p.flatNames); i += len(p.gen.places) {
			pump(tb, set, p.flat, p.flatNames[i], fieldhint.StreamOptions{})
		}
	}
	if leaf < len(p.kept) {
		p.kept[leaf] = set
	}
	p.cost.mu.Lock()
	p.cost.series += len(c.series)
	p.cost.fingerprints += set.Len()
	p.cost.setBytes += set.Bytes()
	p.cost.adding += added.Sub(start)
	p.cost.streaming += sent.Sub(added)
	p.cost.mu.Unlock()
	for i, q := range p.queries {
		p.verdict.leaf(i, at.zone, q, c, j, !rulesOut(z.index, at.own, p.queries[i].matchers))
	}
}

// judgeZones compares the root's hints of the zones with what was in them.
func (p *planet) judgeZones() {
	for i, q := range p.queries {
		for z, zone := range p.zones {
			p.verdict.zone(i, z, q, !rulesOut(p.root, zone.name, p.queries[i].matchers))
		}
	}
}

var errSynced = errors.New("synced")

// pump sends a set to a parent until the parent has it all, and returns the
// number of bytes that took.
func pump(tb testing.TB, set *fieldhint.Set, parent *fieldhint.Index, name string, opts fieldhint.StreamOptions) int {
	tb.Helper()
	if !set.IsComplete() {
		panic(fmt.Sprintf("hint of %s: the set is full or incomplete, and would never be in use", name))
	}
	feed := parent.Open(name)
	size := 0
	err := set.StreamWith(tb.Context(), opts, func(frame []byte) error {
		size += len(frame)
		if err := feed.Apply(frame); err != nil {
			return err
		}
		if parent.Synced(name) {
			return errSynced
		}
		return nil
	})
	if !errors.Is(err, errSynced) {
		panic(fmt.Sprintf("hint of %s: %v", name, err)) // not in the test's goroutine
	}
	return size
}

// filterBytes is the memory of an index' filters.
func filterBytes(x *fieldhint.Index) (bytes int, fingerprints uint64) {
	for _, c := range x.Stats() {
		bytes += c.Bytes
		fingerprints += c.Fingerprints
	}
	return bytes, fingerprints
}
