package treetest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// SynthPoint is one sample: a float, unless the histogram is set.
type SynthPoint struct {
	Time      int64
	Float     float64
	Histogram *histogram.FloatHistogram
}

// sample is a SynthPoint as a chunks.Sample.
type sample struct{ p SynthPoint }

func (s sample) T() int64                      { return s.p.Time }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.p.Float }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return s.p.Histogram }
func (s sample) Copy() chunks.Sample           { return s }

func (s sample) Type() chunkenc.ValueType {
	if s.p.Histogram != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

func samplesOf(points []SynthPoint) []chunks.Sample {
	out := make([]chunks.Sample, len(points))
	for i, p := range points {
		out[i] = sample{p}
	}
	return out
}

// plot is what one attempt at the series of an expression has decided.
type plot struct {
	s     *Synthesizer
	c     *Case
	o     *outline
	modes map[string]int // of labels, see entity
	seen  map[uint64]int // indexes of series, by hash
	pool  []float64
	// absent: operands of absent() have series.
	absent bool
	// sparse: now and then a label is missing.
	sparse bool
}

// fill makes the series of a case. Later attempts use fewer leaves and fewer
// series, so that matches become less ambiguous.
func (s *Synthesizer) fill(c *Case, o *outline, attempt int) {
	p := &plot{s: s, c: c, o: o, modes: map[string]int{}, seen: map[uint64]int{}, absent: s.rnd.Intn(3) == 0, sparse: s.rnd.Intn(4) == 0}
	for _, name := range o.labels {
		p.modes[name] = max(0, s.rnd.Intn(5)-1) // half of them differ from leaf to leaf
	}
	p.pool = []float64{0, 1, float64(s.rnd.Intn(1000)) / 8}
	for _, l := range o.literals {
		p.pool = append(p.pool, l, l/2, l*1.5+1)
		if o.times {
			p.pool = append(p.pool, float64(s.at)/1000-l*2, float64(s.at)/1000-l/2)
		}
	}
	leaves := s.rnd.Perm(len(c.Leaves))
	entities := 1 + s.rnd.Intn(3)
	switch {
	case attempt > 9:
		leaves, entities = []int{s.rnd.Intn(len(c.Leaves))}, 1
		if s.rnd.Intn(2) == 0 {
			leaves[0] = 0
		}
	case attempt > 4:
		leaves, entities = leaves[:2], 1
	case s.rnd.Intn(3) == 0:
		leaves = leaves[:3]
	}
	for _, leaf := range leaves {
		for e := range entities {
			entity := p.entity(leaf, e)
			for _, sel := range o.selections {
				p.series(sel, leaf, entity)
			}
		}
	}
}

// entity returns values of all labels, so that series of different selectors
// match.
func (p *plot) entity(leaf, e int) map[string]string {
	out := map[string]string{}
	for _, name := range p.o.labels {
		switch p.modes[name] {
		case 0, 1:
			out[name] = fmt.Sprintf("%s-%d-%d", name, leaf, e)
		case 2:
			out[name] = fmt.Sprintf("%s-%d", name, e)
		default:
			out[name] = name
		}
		if ms := p.o.candidates[name]; len(ms) > 0 {
			if v, ok := example(p.s.rnd, out[name], []*labels.Matcher{ms[p.s.rnd.Intn(len(ms))]}); ok {
				out[name] = v
			}
		}
	}
	return out
}

// series adds those of one selector and entity.
func (p *plot) series(sel *selection, leaf int, entity map[string]string) {
	rnd := p.s.rnd
	if sel.absent && !p.absent || sel.excluded && rnd.Intn(2) == 0 {
		return
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, name := range p.o.labels {
		p.set(b, sel, name, entity[name])
	}
	p.c.Leaves[leaf].Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	name, _ := example(rnd, "anything", sel.names)
	b.Set(labels.MetricName, name)
	copies := 1
	if sel.many {
		copies += rnd.Intn(2)
	}
	for i := range copies {
		if copies > 1 {
			b.Set("copy", strconv.Itoa(i))
		}
		p.points(sel, b)
	}
}

func (p *plot) set(b *labels.Builder, sel *selection, name, v string) {
	var ms []*labels.Matcher
	for _, m := range sel.matchers {
		if m.Name == name {
			ms = append(ms, m)
		}
	}
	if len(ms) == 0 && p.sparse && p.s.rnd.Intn(4) == 0 {
		return
	}
	if v, ok := example(p.s.rnd, v, ms); ok {
		b.Set(name, v)
	}
}

// points adds one series, or one for each bucket.
func (p *plot) points(sel *selection, b *labels.Builder) {
	if sel.kind != bucketKind {
		p.add(sel, b.Labels(), p.generator(sel.kind))
		return
	}
	bounds := []string{"0.1", "1", "5", "+Inf"}
	for _, m := range sel.matchers {
		if m.Name == labels.BucketLabel {
			if v, ok := example(p.s.rnd, "1", []*labels.Matcher{m}); ok && !slices.Contains(bounds, v) {
				bounds = append([]string{v}, bounds...)
			}
		}
	}
	gen := remembered(counter(p.s.rnd))
	for i, le := range bounds {
		p.add(sel, b.Set(labels.BucketLabel, le).Labels(), scaled(gen, float64(i+1)))
	}
	b.Del(labels.BucketLabel)
}

// remembered returns a generator that may be asked for the same step again.
func remembered(g generator) generator {
	var values []float64
	return func(i int) (float64, *histogram.FloatHistogram, bool) {
		for len(values) <= i {
			f, _, _ := g(len(values))
			values = append(values, f)
		}
		return values[i], nil, true
	}
}

func (p *plot) generator(k kind) generator {
	rnd := p.s.rnd
	switch k {
	case counterKind:
		return counter(rnd)
	case infoKind:
		return constant(1)
	case nativeKind:
		n := int64(rnd.Intn(5))
		return func(i int) (float64, *histogram.FloatHistogram, bool) {
			return 0, tsdbutil.GenerateTestFloatHistogram(n + int64(i)), true
		}
	}
	return p.gauge(rnd)
}

// gauge returns a constant, or values that change now and then.
func (p *plot) gauge(rnd *rand.Rand) generator {
	v, steady := p.pool[rnd.Intn(len(p.pool))], rnd.Intn(2) == 0
	return func(int) (float64, *histogram.FloatHistogram, bool) {
		if !steady && rnd.Intn(6) == 0 {
			v = p.pool[rnd.Intn(len(p.pool))]
		}
		return v, nil, true
	}
}

// add appends a series with samples wherever the selector looks; one that is
// there already gets those that it lacks. One of ten goes stale on the way.
func (p *plot) add(sel *selection, l labels.Labels, gen generator) {
	rnd, stale := p.s.rnd, -1
	if rnd.Intn(10) == 0 {
		stale = rnd.Intn(60)
	}
	at := p.s.at - sel.offset.Milliseconds()
	t := at - synthBefore.Milliseconds() + rnd.Int63n(synthInterval.Milliseconds())
	var points []SynthPoint
	for i := 0; t < at+synthAfter.Milliseconds(); i++ {
		f, h, _ := gen(i)
		if i == stale {
			f, h = math.Float64frombits(value.StaleNaN), nil
		}
		if i <= stale || stale < 0 {
			points = append(points, SynthPoint{Time: t, Float: f, Histogram: h})
		}
		t += synthInterval.Milliseconds()
	}
	i, ok := p.seen[l.Hash()]
	if !ok {
		p.seen[l.Hash()] = len(p.c.Series)
		p.c.Series = append(p.c.Series, SynthSeries{Labels: l, Points: points})
		return
	}
	s := &p.c.Series[i]
	if first, last := s.Points[0].Time, s.Points[len(s.Points)-1].Time; points[0].Time > last+synthGap {
		s.Points = append(s.Points, points...)
	} else if points[len(points)-1].Time < first-synthGap {
		s.Points = append(points, s.Points...)
	}
}

// synthGap is the time without samples, in milliseconds, that tells the parts
// of a series that are apart.
const synthGap = 120_000

// parts cuts a series where there are no samples for some time.
func (s SynthSeries) parts() []SynthSeries {
	var out []SynthSeries
	from := 0
	for i := range s.Points {
		if i+1 == len(s.Points) || s.Points[i+1].Time > s.Points[i].Time+synthGap {
			out = append(out, SynthSeries{s.Labels, s.Points[from : i+1]})
			from = i + 1
		}
	}
	return out
}

// Fill appends the series of the cases to a tree made of their leaves.
func (p *Planet) Fill(tb testing.TB, cases []*Case) {
	tb.Helper()
	var all []SynthSeries
	for _, c := range cases {
		for _, s := range c.Series {
			all = append(all, s.parts()...)
		}
	}
	// The head refuses samples that are much older than those it has.
	slices.SortStableFunc(all, func(a, b SynthSeries) int { return cmp.Compare(a.Points[0].Time, b.Points[0].Time) })
	const perCommit = 500
	for part := range slices.Chunk(all, perCommit) {
		app := p.AppenderV2(context.Background())
		for _, s := range part {
			for _, pt := range s.Points {
				if _, err := app.Append(0, s.Labels, 0, pt.Time, pt.Float, nil, pt.Histogram, storage.AOptions{}); err != nil {
					tb.Fatalf("append to %s at %d: %v", s.Labels, pt.Time, err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			tb.Fatal(err)
		}
	}
}

var _ storage.Queryable = (*Case)(nil)
