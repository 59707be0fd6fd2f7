package aggregate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// oracle sees every sample that a sender was told was taken in, and says by the
// letter of doc.go what outputs are. It knows no references, journals and kills.
type oracle struct {
	began  int64
	inputs map[string]*seenInput
	groups map[string]*seenGroup
	out    map[string][]point
}

type seenInput struct {
	group   string
	gauge   bool
	waiting []arrival
	seen    bool
	ended   bool
	t       int64
	v       float64
	since   int64 // unseen since
}

type arrival struct {
	point
	st int64
}

type seenGroup struct {
	total   float64
	emitted bool
}

func (o *oracle) take(series string, now int64, p arrival) {
	in := o.inputs[series]
	if in == nil {
		if value.IsStaleNaN(p.v) {
			return
		}
		name, rest, _ := strings.Cut(series, "{pod=")
		_, job, _ := strings.Cut(strings.TrimSuffix(rest, "}"), ",")
		in = &seenInput{group: name + "{" + job + "}", gauge: name == "g", since: now}
		o.inputs[series] = in
		if o.groups[in.group] == nil {
			o.groups[in.group] = &seenGroup{}
		}
	}
	in.waiting = append(in.waiting, p)
}

const (
	simInterval  = 10_000
	simStaleness = 20_000
	simForget    = 60_000
)

func (o *oracle) seal(t, up int64) {
	type found struct {
		n   int
		sum float64
	}
	live := map[string]found{}
	for series, in := range o.inputs {
		var due, rest []arrival
		for _, p := range in.waiting {
			if p.t <= t {
				due = append(due, p)
			} else {
				rest = append(rest, p)
			}
		}
		in.waiting = rest
		slices.SortStableFunc(due, func(x, y arrival) int { return cmp.Compare(x.t, y.t) })
		for _, p := range due {
			o.one(in, p)
		}
		if in.seen && !in.ended && in.t > t-simStaleness {
			f := live[in.group]
			live[in.group] = found{f.n + 1, f.sum + in.v}
		}
		last := in.since
		if in.seen {
			last = in.t
		}
		if t-max(last, up) > simForget && len(in.waiting) == 0 {
			delete(o.inputs, series)
		}
	}
	for name, g := range o.groups {
		f, ok := live[name]
		metric, rest, _ := strings.Cut(name, "{")
		if metric == "g" {
			metric = "g:without_pod:sum{"
		} else {
			metric += ":without_pod{"
			f.sum = g.total
		}
		switch {
		case ok:
			o.out[metric+rest] = append(o.out[metric+rest], point{t: t, v: f.sum})
		case g.emitted:
			o.out[metric+rest] = append(o.out[metric+rest], point{t: t, v: stale()})
		}
		g.emitted = ok
	}
}

func (o *oracle) one(in *seenInput, p arrival) {
	if in.seen && p.t <= in.t {
		return
	}
	if value.IsStaleNaN(p.v) {
		in.ended = in.seen
		return
	}
	g := o.groups[in.group]
	switch told := p.st > 0; {
	case in.gauge:
	case !in.seen && told && p.st >= o.began && p.t-p.st <= simForget, in.seen && (p.v < in.v || told && p.st > in.t):
		g.total += p.v
	case in.seen:
		g.total += p.v - in.v
	}
	in.seen, in.ended, in.t, in.v = true, false, p.t, p.v
}

// pod is a simulated exporter.
type pod struct {
	name    string
	started int64
	tells   bool // start timestamps
	counts  map[string]float64
	ref     map[string]storage.SeriesRef
	down    int64 // until then it is not scraped
	late    []lateSample
}

type lateSample struct {
	at     int64
	series string
	p      arrival
}

// sim drives a world and an oracle with the same events.
type sim struct {
	*world
	rnd    *rand.Rand
	o      *oracle
	pods   []*pod
	events map[string]int
}

const simRules = `
delay: 2s
rules:
- {name: c, match: ['{__name__=~"[xy]_total"}'], without: [pod], interval: 10s, forget: 60s}
- {name: g, match: [g], without: [pod], type: gauge, interval: 10s, forget: 60s}
`

func newSim(t testing.TB, seed uint64) *sim {
	s := &sim{world: &world{t: t, dir: t.TempDir(), clock: start, out: newMemory(), raw: newMemory()}, rnd: rand.New(rand.NewPCG(seed, 1)), events: map[string]int{}}
	s.rules = parseRules(t, simRules)
	s.snapshot = 1 + int64(s.rnd.IntN(30_000))
	s.open()
	s.o = &oracle{began: start, inputs: map[string]*seenInput{}, groups: map[string]*seenGroup{}, out: map[string][]point{}}
	for i := range 8 {
		s.pods = append(s.pods, &pod{name: fmt.Sprintf("%d,job=%d", i, i%2), tells: i%3 == 0, started: start - 100_000, counts: map[string]float64{}, ref: map[string]storage.SeriesRef{}})
	}
	s.flush(0)
	return s
}

// step is a second.
func (s *sim) step() {
	for _, p := range s.pods {
		s.live(p)
		if s.clock >= p.down {
			s.scrape(p)
		}
		s.deliver(p)
	}
	switch n := s.rnd.IntN(100); {
	case n == 0:
		s.kill()
	case n == 1:
		s.events["restarts"]++
		if err := s.a.Close(); err != nil {
			s.t.Fatal(err)
		}
		s.reopen()
	}
	s.clock += 1000
	if at := (s.clock - 2000) / simInterval * simInterval; s.clock-2000 == at {
		s.flushAt(at)
	}
}

// live lets the pod count, and now and then crash or go.
func (s *sim) live(p *pod) {
	for _, m := range []string{"x_total", "y_total"} {
		p.counts[m] += float64(s.rnd.IntN(5))
	}
	p.counts["g"] = float64(s.rnd.IntN(100) - 50)
	switch n := s.rnd.IntN(150); {
	case n == 0:
		s.events["resets"]++
		p.counts, p.started = map[string]float64{"x_total": float64(s.rnd.IntN(3))}, s.clock-int64(s.rnd.IntN(500))
	case n < 4 && s.clock >= p.down:
		s.events["flaps"]++
		p.down = s.clock + int64(s.rnd.IntN(40_000))
		if n == 1 {
			p.down += 2 * simForget
		}
		if n == 3 {
			s.events["stale"]++
			for _, m := range []string{"x_total", "y_total", "g"} {
				s.send(p, m+"{pod="+p.name+"}", arrival{point: point{t: s.clock, v: stale()}}, false)
			}
		}
	}
}

func (s *sim) scrape(p *pod) {
	if s.rnd.IntN(3) == 0 {
		return
	}
	for _, m := range []string{"x_total", "y_total", "g"} {
		x := arrival{point: point{t: s.clock - int64(s.rnd.IntN(300)), v: p.counts[m]}}
		if p.tells && m != "g" {
			x.st = p.started
		}
		series := m + "{pod=" + p.name + "}"
		switch n := s.rnd.IntN(20); {
		case n == 0:
			s.events["late"]++
			p.late = append(p.late, lateSample{s.clock + int64(s.rnd.IntN(15_000)), series, x})
		case n == 1:
			s.events["duplicates"]++
			s.send(p, series, x, false)
			x.v++
			s.send(p, series, x, false)
		default:
			s.send(p, series, x, n < 10)
		}
	}
}

func (s *sim) deliver(p *pod) {
	p.late = slices.DeleteFunc(p.late, func(l lateSample) bool {
		if l.at <= s.clock {
			s.send(p, l.series, l.p, true)
		}
		return l.at <= s.clock
	})
}

// send appends a sample, by reference and the new interface as scraping does, or by
// labels and the old one as remote write does. Some are rolled back, and sent again.
func (s *sim) send(p *pod, series string, x arrival, remote bool) {
	for {
		done := s.rnd.IntN(20) > 0
		if remote {
			s.write(series, x, done)
		} else {
			s.scraped(p, series, x, done)
		}
		if done {
			s.o.take(series, s.clock, x)
			return
		}
		s.events["rollbacks"]++
	}
}

func (s *sim) write(series string, x arrival, commit bool) {
	app := s.in.Appender(context.Background())
	l := lset(s.t, series)
	if x.st > 0 {
		if _, err := app.AppendSTZeroSample(0, l, x.t, x.st); err != nil {
			s.t.Fatal(err)
		}
	}
	// As remote write 1.0 does: without decoding labels that are known.
	k := app.(*appender)
	if s.rnd.IntN(2) == 0 && k.AppendKnown([]byte(series), x.t, x.v) {
		s.events["known"]++
		s.finish(app, commit, nil)
		return
	}
	ref, err := app.Append(0, l, x.t, x.v)
	if err == nil && ref != 0 {
		k.Learn([]byte(series), ref)
	}
	s.finish(app, commit, err)
}

func (s *sim) scraped(p *pod, series string, x arrival, commit bool) {
	app := s.in.AppenderV2(context.Background())
	ref, err := app.Append(p.ref[series], lset(s.t, series), x.st, x.t, x.v, nil, nil, storage.AOptions{})
	s.finish(app, commit, err)
	p.ref[series] = ref
}

func (s *sim) finish(app storage.AppenderTransaction, commit bool, err error) {
	if err == nil && commit {
		err = app.Commit()
	} else if err == nil {
		err = app.Rollback()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the process between two events.
func (s *sim) kill() {
	s.events["kills"]++
	s.abandon()
	s.reopen()
}

// abandon is what is left of a process that was killed: its files.
func (s *sim) abandon() {
	dir := s.t.(*testing.T).TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		s.t.Fatal(err)
	}
	s.dir = dir
}

func (s *sim) reopen() {
	s.open()
	for _, p := range s.pods {
		clear(p.ref)
	}
}

// flushAt flushes, and sometimes kills the process at a step of that.
func (s *sim) flushAt(t int64) {
	up := s.a.up
	s.out.before = nil
	n := s.rnd.IntN(12)
	if n < 2 {
		s.events["kills while flushing"]++
		s.out.before = func() error {
			s.out.before = nil
			s.abandon() // the journal has it, the storage has not
			return errKilled
		}
	}
	if n == 2 {
		s.events["kills before the answer"]++
		s.out.before = func() error {
			s.out.before = nil
			s.abandon() // and the storage does have it
			return nil
		}
	}
	err := s.a.Flush(context.Background())
	s.o.seal(t, up)
	switch {
	case n < 3:
		s.reopen()
	case err != nil:
		s.t.Fatal(err)
	case n == 3:
		s.events["kills while writing state"]++
		s.killInSnapshot()
	}
}

// killInSnapshot ends the process after it began a new journal and before the
// snapshot to it is whole.
func (s *sim) killInSnapshot() {
	before := s.dir
	s.abandon()
	left := s.dir
	s.dir = before
	if err := s.a.snapshot(); err != nil {
		s.t.Fatal(err)
	}
	number := s.a.number
	for _, f := range []struct{ from, to string }{
		{fmt.Sprintf(journalName, number), fmt.Sprintf(journalName, number)},
		{fmt.Sprintf(snapshotName, number), fmt.Sprintf(snapshotName, number) + ".1.tmp"},
	} {
		b, err := os.ReadFile(filepath.Join(s.dir, f.from))
		if err == nil {
			err = os.WriteFile(filepath.Join(left, f.to), b[:len(b)-len(b)/3], 0o600)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.dir = left
	s.reopen()
}

// The outputs are to the bit what the oracle says, over resets, pods that flap, late
// samples and duplicates, transactions that are rolled back, restarts, and kills at
// every step.
func TestOracle(t *testing.T) {
	seeds, seconds := uint64(24), 600
	if testing.Short() {
		seeds = 4
	}
	events := map[string]int{}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSim(t, seed)
			for range seconds {
				s.step()
			}
			s.compare(t)
			for k, n := range s.events {
				events[k] += n
			}
		})
	}
	t.Log(events)
	for _, k := range []string{"kills", "kills while flushing", "kills before the answer", "kills while writing state", "restarts", "resets", "flaps", "stale", "late", "duplicates", "rollbacks", "known"} {
		if events[k] == 0 {
			t.Errorf("there were no %s", k)
		}
	}
}

func (s *sim) compare(t *testing.T) {
	t.Helper()
	got, want := map[string][]point{}, map[string][]point{}
	for _, name := range slices.Sorted(maps.Keys(s.out.series)) {
		got[name] = s.out.series[name]
	}
	samples := 0
	for name, points := range s.o.out {
		want[lset(t, name).String()] = points
		samples += len(points)
	}
	if samples < 100 {
		t.Errorf("only %d samples to compare", samples)
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			got[name] = nil
		}
	}
	for name := range got {
		for i := range max(len(got[name]), len(want[name])) {
			g, w := "nothing", "nothing"
			if i < len(got[name]) {
				g = got[name][i].String()
			}
			if i < len(want[name]) {
				w = want[name][i].String()
			}
			if g != w {
				t.Errorf("%s: sample %d is %s, want %s", name, i, g, w)
				break
			}
		}
	}
	if len(s.raw.series) > 0 {
		t.Errorf("stored raw: %s", s.raw.text())
	}
}

// When the journal has lost its end, as a power cut may do, totals go on from what
// is stored: no reset, and no more than was counted.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(10) {
		s := newSim(t, seed)
		s.snapshot = 0
		for range 200 {
			s.step()
		}
		journals, err := filepath.Glob(filepath.Join(s.dir, "journal-*"))
		if err != nil || len(journals) == 0 {
			t.Fatal(journals, err)
		}
		last := journals[len(journals)-1]
		info, err := os.Stat(last)
		if err != nil {
			t.Fatal(err)
		}
		s.abandon()
		last = filepath.Join(s.dir, filepath.Base(last))
		if err := os.Truncate(last, s.rnd.Int64N(info.Size())); err != nil {
			t.Fatal(err)
		}
		s.reopen()
		for range 100 {
			s.step()
		}
		s.notAbove(t)
	}
}

// All state may be lost: totals go on all the same.
func TestLostState(t *testing.T) {
	s := newSim(t, 7)
	for range 200 {
		s.step()
	}
	s.dir = t.TempDir()
	s.reopen()
	for range 100 {
		s.step()
	}
	s.notAbove(t)
}

// A snapshot that cannot be read is told, and is like lost state.
func TestBrokenSnapshot(t *testing.T) {
	s := newSim(t, 8)
	for range 200 {
		s.step()
	}
	if err := s.a.Close(); err != nil {
		t.Fatal(err)
	}
	snapshots, _ := filepath.Glob(filepath.Join(s.dir, "snapshot-*"))
	if len(snapshots) != 1 {
		t.Fatal(snapshots)
	}
	b, err := os.ReadFile(snapshots[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(snapshots[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	for range 100 {
		s.step()
	}
	s.notAbove(t)
}

// notAbove checks that counters never go back, and never beyond what the oracle
// counted.
func (s *sim) notAbove(t *testing.T) {
	t.Helper()
	for name, points := range s.out.series {
		if s.out.lsets[name].Get(labels.MetricName) == "g:without_pod:sum" {
			continue
		}
		before := 0.0
		for _, p := range points {
			if value.IsStaleNaN(p.v) {
				continue
			}
			if p.v < before {
				t.Errorf("%s goes back from %v to %v at %d", name, before, p.v, p.t)
			}
			before = p.v
		}
		for want, wanted := range s.o.out {
			if lset(t, want).String() != name {
				continue
			}
			top := 0.0
			for _, p := range wanted {
				if !value.IsStaleNaN(p.v) {
					top = max(top, p.v)
				}
			}
			if before > top {
				t.Errorf("%s is %v, more than there was: %v", name, before, top)
			}
		}
	}
}
