package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// point is a sample as stored.
type point struct {
	t int64
	v float64
	h *histogram.FloatHistogram
}

func (p point) String() string {
	switch {
	case p.h != nil:
		return fmt.Sprintf("%d:%s", p.t, p.h)
	case value.IsStaleNaN(p.v):
		return fmt.Sprintf("%d:stale", p.t)
	default:
		return fmt.Sprintf("%d:%v", p.t, p.v)
	}
}

func (p point) same(q point) bool { return p.String() == q.String() }

// memory is a storage in memory that accepts what a TSDB without out-of-order
// window does.
type memory struct {
	series  map[string][]point
	lsets   map[string]labels.Labels
	refs    []string // by reference, less one
	byName  map[string]storage.SeriesRef
	refused int
	// before is called before a commit; if it fails, nothing is stored.
	before func() error
	lookup int // how often something was looked up by labels
}

func newMemory() *memory {
	return &memory{series: map[string][]point{}, lsets: map[string]labels.Labels{}, byName: map[string]storage.SeriesRef{}}
}

func (m *memory) AppenderV2(context.Context) storage.AppenderV2 { return &memoryV2{memoryTx{m: m}} }
func (m *memory) Appender(context.Context) storage.Appender {
	return &memoryV1{memoryTx: memoryTx{m: m}}
}

type memoryTx struct {
	m    *memory
	todo []func()
}

func (x *memoryTx) put(ref storage.SeriesRef, l labels.Labels, p point) (storage.SeriesRef, error) {
	m := x.m
	if ref == 0 || int(ref) > len(m.refs) {
		m.lookup++
		name := l.String()
		if ref = m.byName[name]; ref == 0 {
			m.refs = append(m.refs, name)
			ref = storage.SeriesRef(len(m.refs))
			m.byName[name], m.lsets[name] = ref, l
		}
	}
	name := m.refs[ref-1]
	if s := m.series[name]; len(s) > 0 {
		switch last := s[len(s)-1]; {
		case last.t == p.t && last.same(p):
			return ref, nil
		case last.t == p.t:
			m.refused++
			return 0, storage.ErrDuplicateSampleForTimestamp
		case last.t > p.t:
			m.refused++
			return 0, storage.ErrOutOfOrderSample
		}
	}
	x.todo = append(x.todo, func() { m.series[name] = append(m.series[name], p) })
	return ref, nil
}

func (x *memoryTx) Commit() error {
	if x.m.before != nil {
		if err := x.m.before(); err != nil {
			return err
		}
	}
	for _, f := range x.todo {
		f()
	}
	return nil
}

func (x *memoryTx) Rollback() error { return nil }

type memoryV2 struct{ memoryTx }

func (x *memoryV2) Append(ref storage.SeriesRef, l labels.Labels, _, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	if h != nil {
		fh = h.ToFloat(nil)
	}
	return x.put(ref, l, point{t: t, v: v, h: fh})
}

type memoryV1 struct {
	storage.Appender
	memoryTx
}

func (x *memoryV1) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	return x.put(ref, l, point{t: t, v: v})
}

func (x *memoryV1) AppendHistogram(ref storage.SeriesRef, l labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	if h != nil {
		fh = h.ToFloat(nil)
	}
	return x.put(ref, l, point{t: t, h: fh})
}

func (x *memoryV1) AppendExemplar(ref storage.SeriesRef, _ labels.Labels, _ exemplar.Exemplar) (storage.SeriesRef, error) {
	return ref, nil
}

func (x *memoryV1) Commit() error   { return x.memoryTx.Commit() }
func (x *memoryV1) Rollback() error { return nil }

// last is what Deps.Last of it is.
func (m *memory) last(_ context.Context, mint, maxt int64, ms ...*labels.Matcher) ([]Stored, error) {
	var out []Stored
	for name, points := range m.series {
		if !matches(ms, m.lsets[name]) {
			continue
		}
		for _, p := range slices.Backward(points) {
			if p.t >= mint && p.t <= maxt && !value.IsStaleNaN(p.v) {
				out = append(out, Stored{Labels: m.lsets[name], Time: p.t, Value: p.v, Hist: p.h})
				break
			}
		}
	}
	return out, nil
}

// text is all that is stored, a line for each series.
func (m *memory) text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.series)) {
		fmt.Fprintf(&b, "%s", name)
		for _, p := range m.series[name] {
			fmt.Fprintf(&b, " %s", p)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// world is an Aggregator with storages and a clock.
type world struct {
	t     testing.TB
	dir   string
	rules Rules
	clock int64 // milliseconds
	out   *memory
	raw   *memory
	meta  map[string]metadata.Metadata
	a     *Aggregator
	in    *Appendable
	// snapshot is Config.SnapshotBytes.
	snapshot int64
}

// start is when tests begin: a multiple of their intervals.
const start = 1_700_000_000_000 / 60_000 * 60_000

func newWorld(t testing.TB, rules string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: start, out: newMemory(), raw: newMemory()}
	w.rules = parseRules(t, rules)
	w.open()
	return w
}

func parseRules(t testing.TB, text string) Rules {
	t.Helper()
	r, err := Parse([]byte(text), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// open begins a process, as after a kill if there was one.
func (w *world) open() {
	w.t.Helper()
	a, err := Open(Config{Dir: w.dir, Rules: w.rules, SnapshotBytes: w.snapshot}, Deps{
		Logger: slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Out:    w.out, Last: w.out.last, Now: func() time.Time { return time.UnixMilli(w.clock) },
		Metadata: func(family string) (metadata.Metadata, bool) { m, ok := w.meta[family]; return m, ok },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.a, w.in = a, a.Appendable(w.raw, w.raw)
}

// append appends a sample a series, at a time after start.
func (w *world) append(t int64, v float64, series ...string) {
	w.t.Helper()
	app := w.in.AppenderV2(context.Background())
	for _, s := range series {
		if _, err := app.Append(0, lset(w.t, s), 0, start+t, v, nil, nil, storage.AOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

// flush sets the clock, after start, and flushes.
func (w *world) flush(at int64) {
	w.t.Helper()
	w.clock = start + at
	if err := w.a.Flush(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// stored returns the points of an output, with times after start.
func (w *world) stored(series string) string { return points(w.t, w.out, series) }

func points(t testing.TB, m *memory, series string) string {
	t.Helper()
	var out []string
	for _, p := range m.series[lset(t, series).String()] {
		p.t -= start
		out = append(out, p.String())
	}
	return strings.Join(out, " ")
}

func lset(t testing.TB, text string) labels.Labels {
	t.Helper()
	name, rest, _ := strings.Cut(strings.TrimSuffix(text, "}"), "{")
	b := labels.NewBuilder(labels.FromStrings(labels.MetricName, name))
	for _, pair := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' }) {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			t.Fatalf("series %q", text)
		}
		b.Set(k, v)
	}
	return b.Labels()
}

func stale() float64 { return math.Float64frombits(value.StaleNaN) }

var errKilled = errors.New("killed")
