package e2e_test

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/resultcache"
	"github.com/pandometrics/pando/querytree/roster"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treetest"
	"github.com/pandometrics/pando/root"
	"github.com/pandometrics/pando/zone"
)

// ownTree is a root, a region of two zones, a zone beside it, and leaves, all with
// hints and caches, whose tiers come to hold series of any time themselves.
type ownTree struct {
	t     *testing.T
	rnd   *rand.Rand
	tiers []*ownTier // the root first, parents before children
	// pool are the queries that are asked, again and again: else none is cached.
	pool []ownQuery
	// asked and spared count children, cached queries.
	asked, spared, cached int
}

// ownQuery is a query about series of one name.
type ownQuery struct {
	name, text string
	ms         []*labels.Matcher
	// back is when its range begins, in hours before the current one; negative if it
	// is an instant query.
	back int
}

// ownTier is a tier of an ownTree.
type ownTier struct {
	*tier.Tier
	id     querytree.Identity
	parent *ownTier
	below  []*ownTier
	union  *fieldhint.Set
	held   *memory // what it holds itself, or what a leaf holds
	local  *querytree.Local
	names  []string
	entry  *roster.Entry
	stop   []func()
}

func newOwnTree(t *testing.T, rnd *rand.Rand) *ownTree {
	o := &ownTree{t: t, rnd: rnd}
	for range 12 {
		o.pool = append(o.pool, o.newQuery())
	}
	add := func(parent *ownTier, kind string, lset ...string) *ownTier {
		n := &ownTier{parent: parent, held: newMemory(), id: querytree.Identity{Tier: kind, Labels: labels.FromStrings(lset...)}}
		o.tiers = append(o.tiers, n)
		if parent != nil {
			parent.below = append(parent.below, n)
		}
		o.start(n)
		return n
	}
	top := add(nil, querytree.TierRoot)
	region := add(top, querytree.TierZone, "region", "north")
	eu := add(region, querytree.TierZone, "region", "north", "zone", "eu")
	ua := add(region, querytree.TierZone, "region", "north", "zone", "ua")
	us := add(top, querytree.TierZone, "region", "west", "zone", "us")
	for i, z := range []*ownTier{eu, eu, ua, us} {
		add(z, querytree.TierLeaf, append(strings.Split(strings.NewReplacer(`{`, "", `}`, "", `"`, "", ", ", ",", "=", ",").Replace(z.id.Labels.String()), ","), "cluster", fmt.Sprint("c", i))...)
	}
	return o
}

// start starts the process of a tier.
func (o *ownTree) start(n *ownTier) {
	if n.id.Tier == querytree.TierLeaf {
		n.local = n.held.local(o.t, func() querytree.Description {
			now := time.Now()
			return querytree.Description{
				Identity: n.id, Instance: n.id.Name(), Mint: n.held.oldest(), Earliest: n.held.oldest(), Maxt: now.UnixMilli(), Leaves: 1,
				Settled: now.Add(-10 * time.Second).UnixMilli(), Features: append(querytree.MixerFeatures(), querytree.FeatureEpochs),
			}
		})
		set, err := fieldhint.NewSet(fieldhint.SetConfig{External: n.id.Labels})
		if err != nil {
			o.t.Fatal(err)
		}
		set.SetComplete()
		n.union = set
		return
	}
	cache := resultcache.DefaultConfig()
	own := n.id
	own.Tier, own.Shard = querytree.TierOwn, querytree.TierOwn
	cfg := tier.Config{
		Identity: n.id, Hints: true, Cache: &cache, Limits: querytree.DefaultLimits(), Lookback: treetest.Lookback, SubqueryStep: treetest.SubqueryStep,
		Own:        &querytree.Own{Child: n.held.local(o.t, func() querytree.Description { return querytree.Description{Identity: own} })},
		Registerer: prometheus.NewRegistry(),
	}
	if n.id.Tier == querytree.TierRoot {
		r, err := root.New(root.Config{Tier: cfg})
		if err != nil {
			o.t.Fatal(err)
		}
		n.Tier, n.stop = r.Tier, append(n.stop, background(o.t, r.Run))
	} else {
		z, err := zone.New(zone.Config{Tier: cfg})
		if err != nil {
			o.t.Fatal(err)
		}
		n.Tier, n.union, n.stop = z.Tier, z.Union, append(n.stop, background(o.t, z.Run))
	}
	n.SetOwnNames(n.names)
}

func (n *ownTier) child() querytree.Child {
	if n.local != nil {
		return n.local
	}
	return n.Mixer
}

// connect has a tier known to its parent, which hears of its hint.
func (o *ownTree) connect(n *ownTier) {
	o.t.Helper()
	if n.parent == nil {
		return
	}
	e, err := n.parent.Roster.Admit(o.t.Context(), n.child().Describe(), n.child(), alive)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil { // an error of Hint begins the stream anew
			_ = n.union.Stream(ctx, e.Hint)
		}
	}()
	n.entry = e
	n.stop = append(n.stop, func() {
		cancel()
		<-done
		e.Close(nil)
	})
}

// restart has a tier's process end, and another one take its place, or its
// connection break if all is as before.
func (o *ownTree) restart(n *ownTier, process bool) {
	last := n.stop[len(n.stop)-1]
	last()
	n.stop = n.stop[:len(n.stop)-1]
	if process {
		for _, b := range n.below {
			b.stop[len(b.stop)-1]()
			b.stop = b.stop[:len(b.stop)-1]
		}
		for _, stop := range n.stop {
			stop()
		}
		n.stop = nil
		o.start(n)
		for _, b := range n.below {
			o.connect(b)
		}
	}
	o.connect(n)
}

// pass lets time pass: all tell their parents of themselves, the lowest first.
func (o *ownTree) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		time.Sleep(min(d, time.Second))
		for _, n := range slices.Backward(o.tiers) {
			if n.entry != nil {
				n.entry.Update(n.child().Describe())
			}
		}
	}
	synctest.Wait()
}

// ownMetrics are names that leaves have, tiers, or both.
var ownMetrics = []string{"up", "load", "zone:a", "zone:b", "region:c"}

// act does one thing that happens.
func (o *ownTree) act() {
	n := o.tiers[o.rnd.Intn(len(o.tiers))]
	now := time.Now().Truncate(time.Second).UnixMilli()
	switch {
	case n.local != nil: // a leaf, which has a sample of now
		lset := o.series(ownMetrics[o.rnd.Intn(3)], "pod", n.id)
		n.union.AddSeries(lset)
		n.held.add(lset, now, float64(o.rnd.Intn(100)))
	case o.rnd.Intn(20) == 0 && n.parent != nil:
		o.restart(n, o.rnd.Intn(2) == 0)
	case o.rnd.Intn(6) == 0:
		n.names = nil
		for _, name := range ownMetrics[1:] {
			if o.rnd.Intn(3) == 0 {
				n.names = append(n.names, name)
			}
		}
		slices.Sort(n.names)
		n.SetOwnNames(n.names)
	default: // something is recorded, or kept, of any time
		for range 5 {
			n.held.add(o.series(ownMetrics[1+o.rnd.Intn(len(ownMetrics)-1)], "cluster", n.id), now-int64(o.rnd.Intn(4*3600_000)), float64(o.rnd.Intn(100)))
		}
	}
}

// series is one of a tier, with a label that may be anybody's.
func (o *ownTree) series(name, label string, id querytree.Identity) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	b.Set(label, fmt.Sprint("c", o.rnd.Intn(5)))
	id.Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return b.Set(labels.MetricName, name).Labels()
}

// newQuery returns a random query.
func (o *ownTree) newQuery() ownQuery {
	q := ownQuery{name: ownMetrics[o.rnd.Intn(len(ownMetrics))], back: o.rnd.Intn(4) - 1}
	var more []string
	for _, m := range []string{`cluster="c1"`, `cluster=~"c[23]"`, `zone="eu"`, `zone=~"u."`, `region="north"`, `cluster=""`, `pod!=""`, `pod="c2"`} {
		if o.rnd.Intn(6) == 0 {
			more = append(more, m)
		}
	}
	selector := q.name + "{" + strings.Join(more, ",") + "}"
	expr, err := querytree.NewParser().ParseExpr(selector)
	if err != nil {
		o.t.Fatal(err)
	}
	forms := []string{"%s", "sum by (zone) (%s)", "count(%s)", "max_over_time(%s[20m])", "%s offset 1h", "sum(%s) by (cluster) > 20", "absent(%s)", "max by (region) (last_over_time(%s[30m] offset 90m))"}
	q.ms, q.text = expr.(*parser.VectorSelector).LabelMatchers, fmt.Sprintf(forms[o.rnd.Intn(len(forms))], selector)
	return q
}

// now returns the request for the query as of now.
func (q ownQuery) now() querytree.ExecRequest {
	now := time.Now().Truncate(time.Minute)
	req := querytree.ExecRequest{Query: q.text, Start: now.UnixMilli(), End: now.UnixMilli()}
	if q.back >= 0 {
		req.Start, req.Step = now.Truncate(time.Hour).Add(-time.Duration(q.back)*time.Hour).UnixMilli(), 60_000
	}
	return req
}

// found adds what of a name can be found from a tier: what it holds itself, if it
// does, and else what can be found from its children.
func (n *ownTier) found(name string, into *memory) {
	if n.local != nil || slices.Contains(n.names, name) {
		n.held.copyTo(into, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name))
		return
	}
	for _, b := range n.below {
		b.found(name, into)
	}
}

// check asks a tier, with hints and cache, without hints, and without push-down, and
// compares with one engine over what there is.
func (o *ownTree) check(n *ownTier) {
	o.t.Helper()
	of := o.pool[o.rnd.Intn(len(o.pool))]
	q, truth := of.now(), newMemory()
	n.found(of.name, truth)
	want := askRange(o.t.Context(), truth.local(o.t, func() querytree.Description { return querytree.Description{} }), q)
	for _, options := range []querytree.Options{{Strict: true}, {Strict: true, NoHints: true}, {Strict: true, NoPushdown: true, NoCache: true}} {
		q.Options = options
		got := askRange(o.t.Context(), n.Mixer, q)
		if got.err != nil || want.err != nil || len(got.warn) > 0 {
			o.t.Fatalf("%s at %s: %v, %v, want %v", q.Query, n.id.Name(), got.err, got.warn, want.err)
		}
		if d := cmp.Diff(shown(want.matrix), shown(got.matrix)); d != "" {
			o.t.Fatalf("%s from %d to %d at %s, %+v: -want +got:\n%s", q.Query, q.Start, q.End, n.id.Name(), options, d)
		}
		if options == (querytree.Options{Strict: true}) {
			o.spared += got.report.Pruned[querytree.PrunedHint]
			o.asked += len(got.report.Children)
			if u := got.report.Cache; u != nil && u.Cached > 0 {
				o.cached++
			}
		}
	}
	o.checkNames(n, of.ms, truth)
}

// checkNames asks for the series and the labels of a selector, and for names.
func (o *ownTree) checkNames(n *ownTier, ms []*labels.Matcher, truth *memory) {
	o.t.Helper()
	q, err := n.Mixer.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		o.t.Fatal(err)
	}
	defer q.Close()
	t, err := truth.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		o.t.Fatal(err)
	}
	want, _, _ := t.LabelValues(o.t.Context(), "zone", nil, ms...)
	got, _, err := q.LabelValues(o.t.Context(), "zone", nil, ms...)
	if d := cmp.Diff(strings.Join(want, " "), strings.Join(got, " ")); d != "" || err != nil {
		o.t.Fatalf("zones of %v at %s: %v, -want +got:\n%s", ms, n.id.Name(), err, d)
	}
	of := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, "zone:.*")
	got, _, err = q.LabelValues(querytree.WithOptions(o.t.Context(), querytree.Options{}), labels.MetricName, nil, of)
	off, _, offErr := q.LabelValues(querytree.WithOptions(o.t.Context(), querytree.Options{NoHints: true}), labels.MetricName, nil, of)
	if d := cmp.Diff(off, got); d != "" || err != nil || offErr != nil {
		o.t.Fatalf("names at %s: %v, %v, -without hints +with:\n%s", n.id.Name(), offErr, err, d)
	}
}

func shown(m promql.Matrix) (out []string) {
	for _, s := range m {
		out = append(out, fmt.Sprint(s))
	}
	slices.Sort(out)
	return out
}

// Tiers come to hold series of names themselves and cease to, write to them at any
// time of the past, are restarted, and lose connections: whatever is asked of any tier
// above, with field hints and caches in use, is answered as one engine would, over
// what each tier holds or else what its children do.
func TestOwnNamesAreFound(t *testing.T) {
	asked, spared, cached := 0, 0, 0
	for round := range int64(3) {
		synctest.Test(t, func(t *testing.T) {
			o := newOwnTree(t, rand.New(rand.NewSource(seed(t)+round)))
			time.Sleep(5 * time.Hour) // of which there may be points
			for _, n := range slices.Backward(o.tiers) {
				o.connect(n)
			}
			for range 60 {
				for range 1 + o.rnd.Intn(3) {
					o.act()
				}
				o.pass(time.Duration(2+o.rnd.Intn(60)) * time.Second)
				for range 8 {
					o.check(o.tiers[o.rnd.Intn(2)])
				}
			}
			asked, spared, cached = asked+o.asked, spared+o.spared, cached+o.cached
			for _, n := range slices.Backward(o.tiers) {
				for _, stop := range slices.Backward(n.stop) {
					stop()
				}
			}
		})
	}
	t.Logf("%d children asked, %d spared by hints, %d answers partly cached", asked, spared, cached)
	if spared < asked/20 || cached < 50 {
		t.Errorf("%d children asked, %d spared by hints, %d answers partly cached: hints or caches are hardly in use", asked, spared, cached)
	}
}
