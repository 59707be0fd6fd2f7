package fieldhint

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// A tier that keeps aggregates of a metric is asked for what they may answer, at every
// tier above it and whatever the time, and for nothing else; also when a leaf makes
// its hint anew, and no more once it does not keep them.
func TestAddKept(t *testing.T) {
	external := labels.FromStrings("zone", "eu")
	zone, region := newSet(t, SetConfig{External: external}), newSet(t, SetConfig{})
	low, mid, root := newParent(t, IndexConfig{Union: zone}), newParent(t, IndexConfig{Union: region}), newParent(t, IndexConfig{})
	leaf := newSet(t, SetConfig{External: labels.FromStrings("zone", "eu", "cluster", "a"), FrameSize: 16})
	rebuild := func() {
		t.Helper()
		if err := leaf.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
			add(labels.FromStrings("__name__", "up", "pod", "pod-1"), Span{today.Start, today.Start + 1})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	rebuild()
	leaf.SetComplete()
	zone.SetComplete()
	region.SetComplete()
	links := []*link{connect(t, leaf, low, "leaf"), connect(t, zone, mid, "zone"), connect(t, region, root, "region")}
	expect := func(when string, selectors ...string) {
		t.Helper()
		for i, l := range links {
			l.flow()
			[]*parent{low, mid, root}[i].expect(t, when, []string{"leaf", "zone", "region"}[i], selectors...)
		}
	}
	expect("nothing kept", `__name__="reqs"`, `__name__="reqs" job="api"`)
	keep := func() { leaf.AddKept("reqs", labels.FromStrings("job", "api", "code", "500"), []string{"tenant"}) }
	keep()
	kept := []string{
		`!__name__="reqs"`, `!__name__=~"reqs"`, `!__name__="reqs" job="api"`, `!__name__="reqs" job=~"api|web"`, `!__name__="reqs" job=~"a.*" code!=""`,
		`!__name__="reqs" zone="eu"`, `!__name__="reqs" tenant=~"x.*"`, `!__name__="reqs" tenant="y" code="500"`, `!__name__="reqs" pod!="x"`, `!__name__="reqs" pod=""`,
		`__name__="reqs" job="web"`, `__name__="reqs" job=~"web|db"`, `__name__="reqs" pod="x"`, `__name__="reqs" pod=~".+"`, `__name__="reqs" zone="us"`,
		`__name__="other"`, `__name__="other" job="api"`, `job="api"`, `__name__=~"req.+"`, `!__name__="up" pod="pod-1"`, `__name__="up" pod="pod-2"`,
	}
	expect("kept", kept...)
	for range 3 {
		rebuild()
		expect("after a rebuild", kept...)
	}
	links[1].cut()
	links[1] = connect(t, zone, mid, "zone")
	expect("resumed", kept...)
	if err := leaf.RenewKept(1, func() error { keep(); rebuild(); return nil }); err != nil {
		t.Fatal(err)
	}
	expect("renewed", kept...)
	broken := errors.New("broken")
	if err := leaf.RenewKept(2, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("renewal that fails: %v", err)
	}
	expect("not renewed", kept...)
	if err := leaf.RenewKept(2, func() error {
		leaf.AddKept("reqs", labels.FromStrings("job", "web"), nil)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	expect("others kept", `__name__="reqs" job="api"`, `!__name__="reqs" job="web"`, `!__name__="reqs" zone="eu"`, `__name__="reqs" tenant="y"`)
	leaf.Reset()
	rebuild()
	leaf.SetComplete()
	expect("after a reset", `__name__="reqs" job="api"`, `!__name__="reqs" job="web"`)
	if err := leaf.RenewKept(3, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	expect("none kept", `__name__="reqs"`, `__name__="reqs" job="web"`)
	if n := leaf.Sections(); n > 4 {
		t.Errorf("%d sections", n)
	}
}

// Whatever is asked, a child is not ruled out that keeps an aggregate which satisfies
// all that is asked; and few are that keep none.
func TestKeptIsSound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	patterns := []string{"a", "b", "a|b", "c|d", "a.*", "(?i)A", ".+", ".*", "", "a|", "[ab]", "é"}
	vain, ruledOut := 0, 0
	for range 300 {
		p, s := newParent(t, IndexConfig{}), newSet(t, SetConfig{External: labels.FromStrings("zone", "eu")})
		type aggregate struct {
			lset labels.Labels
			free []string
		}
		var all []aggregate
		for range 1 + r.IntN(4) {
			b := labels.NewBuilder(labels.EmptyLabels())
			for _, l := range []string{"x", "y"} {
				if r.IntN(2) == 0 {
					b.Set(l, pick("a", "b", "c", "A", "é"))
				}
			}
			a := aggregate{lset: b.Labels()}
			if r.IntN(3) == 0 {
				a.free = []string{"w"}
			}
			metric := pick("m", "n")
			s.AddKept(metric, a.lset, a.free)
			a.lset = labels.NewBuilder(a.lset).Set("__name__", metric).Set("zone", "eu").Labels()
			all = append(all, a)
		}
		s.SetComplete()
		connect(t, s, p, "child").flow()
		for range 40 {
			ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", pick("m", "n", "o"))}
			for range r.IntN(4) {
				ms = append(ms, labels.MustNewMatcher(labels.MatchType(r.IntN(4)), pick("x", "y", "w", "zone", "v"), pick(patterns...)))
			}
			may := slices.ContainsFunc(all, func(a aggregate) bool {
				return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
					return !slices.Contains(a.free, m.Name) && !m.Matches(a.lset.Get(m.Name))
				})
			})
			out := p.RulesOut("child", ms, math.MaxInt64-1, math.MaxInt64)
			if may && out {
				t.Fatalf("%v is ruled out of %v", ms, all)
			}
			if many := p.RulesOutAll([]string{"child"}, ms, 0, 1); many[0] != out {
				t.Fatalf("%v of %v: ruled out of many: %v, alone: %v", ms, all, many[0], out)
			}
			if !may {
				vain++
				if out {
					ruledOut++
				}
			}
		}
	}
	if share := float64(ruledOut) / float64(vain); share < 0.6 {
		t.Errorf("%d of %d that have nothing are ruled out", ruledOut, vain)
	}
}

// What is kept is told for as long as additions and renewals go on side by side.
func TestKeptWhileRenewed(t *testing.T) {
	s, p := newSet(t, SetConfig{}), newParent(t, IndexConfig{})
	s.SetComplete()
	l := connect(t, s, p, "child")
	done := make(chan error, 1)
	added := make(chan int)
	go func() {
		defer close(added)
		for i := range 200 {
			s.AddKept("m", labels.FromStrings("x", fmt.Sprint(i)), nil)
			added <- i
		}
	}()
	go func() {
		for day := range int64(50) {
			if err := s.RenewKept(day, func() error {
				for i := range 200 {
					s.AddKept("m", labels.FromStrings("x", fmt.Sprint(i)), nil)
				}
				return nil
			}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range added {
		l.flow()
		p.expect(t, "while it is renewed", "child", fmt.Sprintf(`!__name__="m" x="%d"`, i))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What there was no room for is not believed to be there once there is room: the
// hint is not whole until what is kept has been told anew.
func TestKeptWithoutRoom(t *testing.T) {
	set := newSet(t, SetConfig{})
	set.AddKept("reqs", labels.FromStrings("job", "api"), nil)
	set.live()[0].kept[0].log.full.Store(true)
	full := func() bool { return set.live()[0].kept[0].log.full.Load() }
	if err := set.Rebuild(today, func(func(labels.Labels, ...Span)) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if !full() {
		t.Error("whole after a rebuild")
	}
	if err := set.RenewKept(1, func() error {
		set.AddKept("reqs", labels.FromStrings("job", "api"), nil)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if full() {
		t.Error("not whole after all was told anew")
	}
}
