package fieldhint

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// lookupsVar sets the number of lookups that TestModel makes.
const lookupsVar = "PANDO_HINT_LOOKUPS"

// life is a series of a model leaf, and the times at which it has samples.
type life struct {
	lset labels.Labels
	at   []int64
}

// modelLeaf is a leaf that is nothing but a list of series. The head holds those
// that had a sample since it was cut; blocks hold all.
type modelLeaf struct {
	t      testing.TB
	r      *rand.Rand
	name   string
	parent *parent
	set    *Set
	link   *link
	now    int64
	head   map[*life]bool
	series []*life
	// sure are the samples of which the parent must know: those that the set had
	// when all of it was last delivered.
	sure map[*life]int
	// tolerance is how late a sample may be, in milliseconds.
	tolerance int64
	// resumed counts the streams that went on where an earlier one was.
	resumed int
}

func newModelLeaf(t testing.TB, r *rand.Rand, p *parent, name string) *modelLeaf {
	l := &modelLeaf{t: t, r: r, name: name, parent: p, head: map[*life]bool{}, sure: map[*life]int{}, tolerance: hour}
	l.start()
	l.connect()
	return l
}

// start is what a new process of the leaf begins with. To make it hard, names may
// be those of the process before: only contents tell them apart.
func (l *modelLeaf) start() {
	cfg := SetConfig{FrameSize: 16 + l.r.IntN(64), External: labels.FromStrings("leaf", l.name)}
	if l.r.IntN(2) == 0 {
		cfg.Epoch = func() uint64 { return 1000 }
	}
	l.set = newSet(l.t, cfg)
}

func (l *modelLeaf) connect() {
	l.link = connect(l.t, l.set, l.parent, l.name)
	if len(l.link.st.from.Sections) > 0 {
		l.resumed++
	}
}

// fault has the parent receive something else than the child has sent.
func (l *modelLeaf) fault() {
	bad := frame{epoch: l.set.Epoch() + 1, seq: 1}.append(nil)
	if l.r.IntN(2) == 0 {
		bad = bad[:l.r.IntN(len(bad))]
	}
	if err := l.link.feed.Apply(bad); err == nil {
		return // it is not its turn, and all is ignored
	}
	l.link.feed = l.parent.Open(l.name)
	if l.r.IntN(2) == 0 {
		l.parent.Expire()
	}
	l.link.st.restart(l.link.feed.Cursor())
}

// act does one thing that happens to a leaf.
func (l *modelLeaf) act() {
	l.now += l.r.Int64N(2 * hour)
	switch l.r.IntN(27) {
	case 0: // the leaf restarts
		l.link.cut()
		if l.r.IntN(2) == 0 {
			l.set.Reset()
		} else {
			l.start()
		}
		if l.r.IntN(2) == 0 {
			l.rebuild()
		}
		l.connect()
	case 1, 24: // the connection breaks, for a while
		l.link.cut()
		if l.r.IntN(2) == 0 {
			l.parent.clock = l.parent.clock.Add(time.Duration(l.r.IntN(5000)) * time.Millisecond)
			l.sample(&life{lset: randomSeries(l.r)})
		}
		l.parent.Expire()
		l.connect()
	case 25:
		l.fault()
	case 26: // the parent says late what it had, and wants the stream from there
		at := l.link.feed.Cursor()
		l.sample(&life{lset: randomSeries(l.r)})
		l.link.step()
		l.link.st.restart(at)
	case 2, 3:
		l.rebuild()
	case 4: // the head is truncated
		for s := range l.head {
			if l.r.IntN(2) == 0 {
				delete(l.head, s)
			}
		}
	case 5: // the parent wants the stream anew
		from := Cursor{}
		if l.r.IntN(2) == 0 {
			from = l.link.feed.Cursor()
		}
		l.link.st.restart(from)
	case 6:
		l.parent.clock = l.parent.clock.Add(time.Duration(l.r.IntN(1500)) * time.Millisecond)
	case 7: // older samples are accepted from now on
		l.tolerance += l.r.Int64N(30 * hour)
		l.set.Widen(l.now - l.tolerance)
	case 8: // someone puts a block there
		s := &life{lset: randomSeries(l.r), at: []int64{l.now - l.r.Int64N(1000*hour)}}
		l.series = append(l.series, s)
		l.set.AddSeriesAt(s.lset, spansOf(s)...)
	case 9: // retention
		l.series = l.series[l.r.IntN(len(l.series)/4+1):]
	case 10: // many at once, of which no filter was told
		for range 200 {
			l.sample(&life{lset: labels.FromStrings("job", fmt.Sprint(l.r.Uint32()), "pod", randomValue(l.r, 2))})
		}
	case 11, 12, 13, 14:
		if len(l.series) > 0 {
			l.sample(pick(l.r, l.series))
		}
	default:
		l.sample(&life{lset: randomSeries(l.r)})
	}
}

// sample gives a series a sample that the head accepts.
func (l *modelLeaf) sample(s *life) {
	if len(s.at) == 0 {
		l.series = append(l.series, s)
	}
	if !l.head[s] {
		l.set.AddSeries(s.lset)
		l.head[s] = true
	}
	s.at = append(s.at, l.now-l.r.Int64N(l.tolerance))
}

func spansOf(s *life) (spans []Span) {
	for _, at := range s.at {
		spans = append(spans, Span{at, at + 1})
	}
	return spans
}

// rebuild is what a leaf does at a window's start; things happen meanwhile.
func (l *modelLeaf) rebuild() {
	window := pick(l.r, []int64{2 * hour, 24 * hour})
	start := l.now - l.now%window
	layout := Layout{Start: start, Window: window, Current: min(start, l.now-l.tolerance)}
	if l.r.IntN(10) == 0 {
		layout.Current = math.MinInt64
	}
	err := l.set.Rebuild(layout, func(add func(labels.Labels, ...Span)) error {
		scanned := len(l.series)
		for s := range l.head {
			add(s.lset, append(spansOf(s), Span{layout.Current, math.MaxInt64})...)
		}
		for i, s := range l.series[:scanned] {
			add(s.lset, spansOf(s)...)
			switch l.r.IntN(200) {
			case 0:
				l.sample(&life{lset: randomSeries(l.r)})
			case 1:
				l.sample(l.series[l.r.IntN(i+1)])
			case 2:
				l.tolerance += l.r.Int64N(30 * hour)
				l.set.Widen(l.now - l.tolerance)
			}
		}
		if l.r.IntN(8) == 0 {
			return fmt.Errorf("no luck")
		}
		return nil
	})
	if err == nil && l.r.IntN(8) > 0 {
		l.set.SetComplete()
	}
}

// deliver brings the parent up to date, or begins to.
func (l *modelLeaf) deliver() {
	switch l.r.IntN(4) {
	case 0:
		for range l.r.IntN(4) {
			l.link.step()
		}
	case 1, 2:
		l.link.flow()
		l.sure = map[*life]int{}
		for _, s := range l.series {
			l.sure[s] = len(s.at)
		}
	}
	if l.link.feed.NeedsResync() {
		l.link.st.restart(l.link.feed.Cursor())
	}
}

// question is a selector and a time range that a sample of some series matches.
func (l *modelLeaf) question() (ms []*labels.Matcher, mint, maxt int64, ok bool) {
	if len(l.series) == 0 {
		return nil, 0, 0, false
	}
	s := l.series[l.r.IntN(len(l.series))]
	n := l.sure[s]
	if n == 0 {
		return nil, 0, 0, false
	}
	at := s.at[l.r.IntN(n)]
	mint, maxt = at, at
	if l.r.IntN(2) == 0 {
		mint, maxt = at-l.r.Int64N(100*hour), at+l.r.Int64N(100*hour)
	}
	if l.r.IntN(3) == 0 {
		s.lset.Range(func(lb labels.Label) { ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, lb.Name, lb.Value)) })
	}
	for range 3 {
		if m := randomMatcher(l.r, s.lset); m != nil && m.Matches(s.lset.Get(m.Name)) {
			ms = append(ms, m)
		}
	}
	return ms, mint, maxt, true
}

// smallPlanet is two leaves, their zone, and a root that knows the zone.
type smallPlanet struct {
	t         testing.TB
	r         *rand.Rand
	zone      *Set
	mid, root *parent
	up        *link
	leaves    []*modelLeaf
	lookups   int
	pruned    map[string]int
	// own are the names that the zone holds series of itself.
	own []string
}

func newModel(t testing.TB, r *rand.Rand) *smallPlanet {
	m := &smallPlanet{t: t, r: r, pruned: map[string]int{}}
	m.startZone()
	m.root = newParent(t, IndexConfig{})
	m.up = connect(t, m.zone, m.root, "zone")
	for _, name := range []string{"a", "b"} {
		m.leaves = append(m.leaves, newModelLeaf(t, r, m.mid, name))
	}
	return m
}

func (m *smallPlanet) startZone() {
	m.zone = newSet(m.t, SetConfig{FrameSize: 16 + m.r.IntN(64)})
	m.mid = newParent(m.t, IndexConfig{Union: m.zone, MaxSnapshots: 1 + m.r.IntN(2), Keep: 3 * time.Second})
	m.zone.SetNames(m.own)
}

// run does so many things, and asks about each leaf and the zone after each.
func (m *smallPlanet) run(steps int) {
	for range steps {
		l := pick(m.r, m.leaves)
		l.act()
		l.deliver()
		m.settle()
		for _, l := range m.leaves {
			m.ask(l)
		}
		m.askNames()
	}
}

// askNames asks about what the zone holds itself, whatever labels that has.
func (m *smallPlanet) askNames() {
	m.t.Helper()
	for i := range 6 {
		name := fmt.Sprint("zone:x", i)
		ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name)}
		alone := slices.Clone(ms)
		for range m.r.IntN(3) {
			if more := randomMatcher(m.r, randomSeries(m.r)); more != nil {
				ms = append(ms, more)
			}
		}
		at := m.r.Int64N(1000 * hour)
		out := m.root.RulesOut("zone", ms, at, at+m.r.Int64N(hour))
		if !slices.Contains(m.own, name) {
			if out {
				m.pruned["no such name"]++
			}
			continue
		}
		m.lookups++
		if out || m.root.RulesOutAll([]string{"zone"}, ms, at, at)[0] {
			m.t.Fatalf("%v at %d may match what the zone holds itself, %v, and the root rules it out", ms, at, m.own)
		}
		alone = append(alone, labels.MustNewMatcher(labels.MatchNotEqual, labels.MetricName, ""))
		alone[0] = labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, "zone:.*"+fmt.Sprint(i))
		if m.root.RulesOut("zone", alone, at, at) {
			m.t.Fatalf("%v at %d matches a name that the zone has itself, %v, and the root rules it out", alone, at, m.own)
		}
	}
}

// settle is what the zone does, and what happens to it and its parent.
func (m *smallPlanet) settle() {
	switch m.r.IntN(64) {
	case 60, 61, 62, 63: // its own names change
		m.own = nil
		for range m.r.IntN(4) {
			m.own = append(m.own, fmt.Sprint("zone:x", m.r.IntN(6)))
		}
		m.zone.SetNames(m.own)
	case 0: // the zone restarts
		m.up.cut()
		m.startZone()
		for _, l := range m.leaves {
			l.link.st.close()
			l.parent = m.mid
			l.connect()
			l.sure = map[*life]int{}
		}
		m.up = connect(m.t, m.zone, m.root, "zone")
	case 1: // the root restarts
		m.up.st.close()
		m.root = newParent(m.t, IndexConfig{})
		m.up = connect(m.t, m.zone, m.root, "zone")
	case 2, 3, 4:
		m.up.cut()
		m.up = connect(m.t, m.zone, m.root, "zone")
	case 5:
		m.mid.Expire()
	}
	if m.mid.Synced("a") && m.mid.Synced("b") {
		m.zone.SetComplete()
	} else {
		m.zone.SetIncomplete()
	}
	m.up.flow()
	if m.up.feed.NeedsResync() {
		m.up.st.restart(m.up.feed.Cursor())
	}
}

func (m *smallPlanet) ask(l *modelLeaf) {
	m.t.Helper()
	for range 4 {
		ms, mint, maxt, ok := l.question()
		if !ok {
			continue
		}
		m.lookups++
		if m.mid.RulesOut(l.name, ms, mint, maxt) {
			m.t.Fatalf("%v from %d to %d matches a series of leaf %s, which is ruled out", ms, mint, maxt, l.name)
		}
		m.askAll(l, ms, mint, maxt)
		if m.root.RulesOut("zone", ms, mint, maxt) {
			m.t.Fatalf("%v from %d to %d matches a series of leaf %s, and the root rules out the zone", ms, mint, maxt, l.name)
		}
	}
	absent := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "job", "never")}
	for _, p := range []struct {
		*parent
		name string
	}{{m.mid, l.name}, {m.root, "zone"}} {
		if p.RulesOut(p.name, absent, math.MinInt64, math.MaxInt64) {
			m.pruned[p.name]++
		}
	}
	if s := pick(m.r, append(l.series, &life{})); len(s.at) == 1 && m.mid.RulesOut(l.name, equalities(s.lset), s.at[0]+500*hour, math.MaxInt64) {
		m.pruned["then"]++
	}
}

// askAll asks for all children of the zone at once, as queries do. Slabs answer
// that, which by chance take a child for one that may match where its filters do not,
// and the reverse: what is compared is who must be asked.
func (m *smallPlanet) askAll(l *modelLeaf, ms []*labels.Matcher, mint, maxt int64) {
	m.t.Helper()
	names := []string{"nobody"}
	for _, l := range m.leaves {
		names = append(names, l.name)
	}
	for i, out := range m.mid.RulesOutAll(names, ms, mint, maxt) {
		if out && names[i] == l.name {
			m.t.Fatalf("%v from %d to %d matches a series of leaf %s, which is ruled out among others", ms, mint, maxt, l.name)
		}
	}
	if m.root.RulesOutAll([]string{"zone"}, ms, mint, maxt)[0] {
		m.t.Fatalf("%v from %d to %d matches a series of leaf %s, and the root rules out the zone among others", ms, mint, maxt, l.name)
	}
}

func equalities(lset labels.Labels) (ms []*labels.Matcher) {
	lset.Range(func(l labels.Label) { ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value)) })
	return ms
}

// TestModel interleaves everything that may happen to two leaves, their zone and
// the root at random: series come, get late samples and go, heads are truncated,
// blocks dropped in and deleted, hints rebuilt, connections broken, and each tier
// restarted. No leaf, nor the zone, is ever ruled out for a sample that it had
// when all was last delivered. PANDO_HINT_LOOKUPS sets how many are asked for.
func TestModel(t *testing.T) {
	want := 6_000
	if v := os.Getenv(lookupsVar); v != "" {
		var err error
		if want, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", lookupsVar, err)
		}
	}
	pruned := map[string]int{}
	lookups := 0
	for seed := uint64(0); lookups < want; seed++ {
		m := newModel(t, rand.New(rand.NewPCG(9, seed)))
		m.run(150)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		lookups += m.lookups
		for name, n := range m.pruned {
			pruned[name] += n
		}
		for _, l := range m.leaves {
			pruned["resumed"] += l.resumed
		}
	}
	t.Logf("%d lookups; ruled out where nothing is: %v", lookups, pruned)
	// A hint that is never used cannot be wrong, but is of no use.
	for name, least := range map[string]int{"a": want / 200, "b": want / 200, "zone": want / 200, "then": want / 600, "resumed": want / 600, "no such name": want / 50} {
		if pruned[name] < least {
			t.Errorf("%s was ruled out, or resumed, %d times, want at least %d", name, pruned[name], least)
		}
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(50))
	f.Fuzz(func(t *testing.T, a, b uint64, steps uint8) {
		newModel(t, rand.New(rand.NewPCG(a, b))).run(int(steps))
	})
}
