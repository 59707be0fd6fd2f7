package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/roster"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treerpc"
)

// byRoster lets children register as they do in a running tier.
type byRoster struct{ *roster.Roster }

// Admit implements treerpc.Registry.
func (r byRoster) Admit(ctx context.Context, d querytree.Description, c querytree.Child, alive func(context.Context) error) (treerpc.Session, error) {
	e, err := r.Roster.Admit(ctx, d, c, alive)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// hintedLeaf is a leaf that has nothing but a hint.
type hintedLeaf struct {
	querytree.Child
	d   querytree.Description
	set *fieldhint.Set
}

// Describe implements querytree.Child.
func (l *hintedLeaf) Describe() querytree.Description { return l.d }

// newHintedLeaf returns a new process of a leaf of so many series.
func newHintedLeaf(tb testing.TB, cluster, series int) *hintedLeaf {
	tb.Helper()
	id := querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("cluster", fmt.Sprint("c", cluster), "zone", "eu")}
	set, err := fieldhint.NewSet(fieldhint.SetConfig{External: id.Labels, CacheSize: 64})
	if err != nil {
		tb.Fatal(err)
	}
	l := &hintedLeaf{set: set, d: querytree.Description{Identity: id, Instance: fmt.Sprintf("%d-%p", cluster, set), Leaves: 1}}
	l.add(0, series)
	set.SetComplete()
	return l
}

func (l *hintedLeaf) add(from, to int) {
	for i := from; i < to; i++ {
		l.set.AddSeries(labels.FromStrings(labels.MetricName, fmt.Sprintf("metric_%d", i%40), "pod", fmt.Sprintf("pod-%s-%d", l.d.Labels.Get("cluster"), i/4)))
	}
}

// background runs f until the returned function is called, or the test ends.
func background(tb testing.TB, f func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(stop)
	return stop
}

// connect keeps the leaf connected.
func (l *hintedLeaf) connect(tb testing.TB, address string) (stop func()) {
	tb.Helper()
	link, err := treerpc.NewLink(treerpc.LinkConfig{
		Logger: slog.New(slog.DiscardHandler), Child: l, Hints: l.set, Parents: []string{address},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return background(tb, link.Run)
}

func newHintedParent(tb testing.TB) *tier.Tier {
	tb.Helper()
	t, err := tier.New(tier.Config{
		Identity: querytree.Identity{Tier: querytree.TierRoot}, Hints: true,
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
	})
	if err != nil {
		tb.Fatal(err)
	}
	background(tb, t.Run)
	return t
}

// hintedParent is a parent that children can reach.
type hintedParent struct {
	*tier.Tier
	reg  *prometheus.Registry
	stop func()
}

// listen serves a tier's children on an address.
func listen(tb testing.TB, t *tier.Tier, address string) (l hintedParent, bound string) {
	tb.Helper()
	var lis net.Listener
	within(tb, "listen on "+address, func() bool {
		var err error
		lis, err = net.Listen("tcp", address)
		return err == nil
	})
	l = hintedParent{Tier: t, reg: prometheus.NewRegistry()}
	srv, err := treerpc.NewServer(treerpc.ServerConfig{
		Logger: slog.New(slog.DiscardHandler), Registerer: l.reg, Self: t.Describe, Registry: byRoster{t.Roster},
	})
	if err != nil {
		tb.Fatal(err)
	}
	l.stop = background(tb, func(ctx context.Context) error { return srv.Serve(ctx, lis) })
	return l, lis.Addr().String()
}

// received is the number of bytes that children have sent.
func (l hintedParent) received(tb testing.TB) (n float64) {
	tb.Helper()
	families, err := l.reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "pando_tree_link_received_bytes_total" {
			n += f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return n
}

// synced waits until the hints of all leaves are in use.
func (l hintedParent) synced(tb testing.TB, leaves ...*hintedLeaf) {
	tb.Helper()
	for _, leaf := range leaves {
		within(tb, "hint of "+leaf.d.Name(), func() bool { return l.Index.Synced(leaf.d.Name()) })
	}
}

func within(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	eventually(tb, 5*time.Minute, func() error {
		if !ok() {
			return errors.New(what)
		}
		return nil
	})
}

// rulesOut asks whether the leaf is ruled out for a pod.
func (l hintedParent) rulesOut(leaf *hintedLeaf, pod string) bool {
	return l.Index.RulesOut(leaf.d.Name(), []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "pod", pod)}, math.MinInt64, math.MaxInt64)
}

// Over the wire: a connection that was lost costs what has changed meanwhile, and no
// snapshot; while it is lost, and until the parent has caught up, the leaf is asked.
// After a restart of either side there is a snapshot.
func TestHintsResumeOverTheWire(t *testing.T) {
	const series = 40_000
	root := newHintedParent(t)
	parent, address := listen(t, root, anyPort)
	leaf := newHintedLeaf(t, 1, series)
	disconnect := leaf.connect(t, address)
	parent.synced(t, leaf)
	snapshot := parent.received(t)
	if !parent.rulesOut(leaf, "absent") || parent.rulesOut(leaf, "pod-c1-7") {
		t.Error("the hint does not tell")
	}

	parent.stop()
	if parent.rulesOut(leaf, "absent") {
		t.Error("ruled out while disconnected")
	}
	leaf.add(series, series+400)
	parent, _ = listen(t, root, address)
	parent.synced(t, leaf)
	resumed := parent.received(t)
	if resumed > snapshot/5 {
		t.Errorf("%.0f bytes received to resume, and %.0f for the snapshot", resumed, snapshot)
	}
	t.Logf("snapshot %.0f bytes, resumed %.0f", snapshot, resumed)
	if !parent.rulesOut(leaf, "absent") || parent.rulesOut(leaf, fmt.Sprintf("pod-c1-%d", series/4+5)) || parent.rulesOut(leaf, "pod-c1-7") {
		t.Error("the hint does not tell after it was resumed")
	}

	disconnect()
	within(t, "the leaf is missing", func() bool { return !parent.rulesOut(leaf, "absent") })
	before := parent.received(t)
	leaf = newHintedLeaf(t, 1, series)
	disconnect = leaf.connect(t, address)
	parent.synced(t, leaf)
	if n := parent.received(t) - before; n < snapshot*3/4 {
		t.Errorf("%.0f bytes received of a leaf that was restarted, and %.0f for the snapshot", n, snapshot)
	}
	if parent.rulesOut(leaf, "pod-c1-7") {
		t.Error("ruled out after the leaf's restart")
	}

	parent.stop()
	parent, _ = listen(t, newHintedParent(t), address)
	parent.synced(t, leaf)
	if n := parent.received(t); n < snapshot*3/4 {
		t.Errorf("%.0f bytes received by a parent that was restarted, and %.0f for the snapshot", n, snapshot)
	}
	if parent.rulesOut(leaf, "pod-c1-7") || !parent.rulesOut(leaf, "absent") {
		t.Error("wrong after the parent's restart")
	}
	disconnect()
}

// A thousand leaves in one process lose their connections at once: to a parent that
// knows them still, with and without new series, and to one that was restarted.
func BenchmarkReconnectStorm(b *testing.B) {
	const children, series = 1000, 1_000
	root := newHintedParent(b)
	parent, address := listen(b, root, anyPort)
	leaves := make([]*hintedLeaf, children)
	for i := range leaves {
		leaves[i] = newHintedLeaf(b, i, series)
		leaves[i].connect(b, address)
	}
	parent.synced(b, leaves...)
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d leaves of %d series come back at once\tall in use after\treceived\tCPU of both sides\t\n", children, series)
	for b.Loop() {
		for _, c := range []struct {
			what    string
			added   int
			restart bool
		}{{"parent as before, nothing new", 0, false}, {"parent as before, 40 new series each", 40, false}, {"parent restarted", 0, true}} {
			parent.stop()
			if c.restart {
				root = newHintedParent(b)
			}
			for _, l := range leaves {
				l.add(series, series+c.added)
			}
			begin, cpu := time.Now(), ownCPU(b)
			parent, _ = listen(b, root, address)
			parent.synced(b, leaves...)
			fmt.Fprintf(w, "%s\t%v\t%.1f MB\t%v\t\n", c.what, time.Since(begin).Round(time.Millisecond), parent.received(b)/1e6, (ownCPU(b) - cpu).Round(time.Millisecond))
		}
	}
	_ = w.Flush()
	b.Logf("\n%s", table)
}
