package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// fake is a Child made of functions. Those that are nil answer with nothing.
type fake struct {
	desc      Description
	exec      func(ctx context.Context, req ExecRequest) (ResultSet, error)
	selects   func(ctx context.Context, req SelectRequest) SeriesSet
	names     func(ctx context.Context, req NamesRequest) (Names, error)
	metadata  func(ctx context.Context, req MetadataRequest) (Metadata, error)
	exemplars func(ctx context.Context, req ExemplarsRequest) (Exemplars, error)
}

func (f *fake) Tree(context.Context) ([]Node, error) { return nil, nil }

func (f *fake) Describe() Description { return f.desc }

func (f *fake) asked() Report {
	var r Report
	r.Add(f.desc.Name(), ChildReport{Tier: f.desc.Tier, Verdict: Asked, Requests: 1})
	return r
}

func (f *fake) Exec(ctx context.Context, req ExecRequest) (ResultSet, error) {
	if f.exec == nil {
		return NewMatrixSet(nil, nil, f.asked()), nil
	}
	return f.exec(ctx, req)
}

func (f *fake) Select(ctx context.Context, req SelectRequest) SeriesSet {
	if f.selects == nil {
		return &failedSet{report: f.asked()}
	}
	return f.selects(ctx, req)
}

func (f *fake) Names(ctx context.Context, req NamesRequest) (Names, error) {
	if f.names == nil {
		return Names{Report: f.asked()}, nil
	}
	return f.names(ctx, req)
}

func (f *fake) Metadata(ctx context.Context, req MetadataRequest) (Metadata, error) {
	if f.metadata == nil {
		return Metadata{Report: f.asked()}, nil
	}
	return f.metadata(ctx, req)
}

func (f *fake) Exemplars(ctx context.Context, req ExemplarsRequest) (Exemplars, error) {
	if f.exemplars == nil {
		return Exemplars{Report: f.asked()}, nil
	}
	return f.exemplars(ctx, req)
}

// down is a fake that is not connected.
func down(d Description) *fake {
	err := fmt.Errorf("%w: not connected", ErrUnavailable)
	return failing(d, err)
}

// failing is a fake that refuses every request with err.
func failing(d Description, err error) *fake {
	return &fake{
		desc:      d,
		exec:      func(context.Context, ExecRequest) (ResultSet, error) { return nil, err },
		selects:   func(context.Context, SelectRequest) SeriesSet { return errSeriesSet(err) },
		names:     func(context.Context, NamesRequest) (Names, error) { return Names{}, err },
		metadata:  func(context.Context, MetadataRequest) (Metadata, error) { return Metadata{}, err },
		exemplars: func(context.Context, ExemplarsRequest) (Exemplars, error) { return Exemplars{}, err },
	}
}

// hanging is a fake that answers when its context ends, and not before.
func hanging(d Description) *fake {
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	return &fake{
		desc:    d,
		exec:    func(ctx context.Context, _ ExecRequest) (ResultSet, error) { return nil, wait(ctx) },
		selects: func(ctx context.Context, _ SelectRequest) SeriesSet { return errSeriesSet(wait(ctx)) },
		names:   func(ctx context.Context, _ NamesRequest) (Names, error) { return Names{}, wait(ctx) },
	}
}

// deaf is a fake that does not even heed its context; release lets it go.
func deaf(d Description) (f *fake, release func()) {
	c := make(chan struct{})
	err := errors.New("too late to matter")
	return &fake{
		desc:    d,
		exec:    func(context.Context, ExecRequest) (ResultSet, error) { <-c; return nil, err },
		selects: func(context.Context, SelectRequest) SeriesSet { <-c; return errSeriesSet(err) },
		names:   func(context.Context, NamesRequest) (Names, error) { <-c; return Names{}, err },
	}, func() { close(c) }
}

// saying is a fake whose answer to every expression is one instant vector, or
// the same value at each step.
func saying(d Description, series ...promql.Series) *fake {
	f := &fake{desc: d}
	f.exec = func(_ context.Context, req ExecRequest) (ResultSet, error) {
		var m promql.Matrix
		for _, s := range series {
			out := promql.Series{Metric: withIdentity(d, s.Metric, req.Keeps)}
			for t := req.Start; t <= req.End; t += max(req.Step, 1) {
				for _, p := range s.Floats {
					out.Floats = append(out.Floats, promql.FPoint{T: t, F: p.F})
				}
				for _, p := range s.Histograms {
					out.Histograms = append(out.Histograms, promql.HPoint{T: t, H: p.H.Copy()})
				}
			}
			m = append(m, out)
		}
		return NewMatrixSet(m, nil, f.asked()), nil
	}
	return f
}

// withIdentity adds the identity labels that a series of an answer keeps.
func withIdentity(d Description, lset labels.Labels, keeps set) labels.Labels {
	return withLabels(lset, d.vouches(keeps))
}

// ofChild adds all identity labels, as raw series have them.
func ofChild(d Description, lset labels.Labels) labels.Labels {
	return withLabels(lset, d.vouchesAll())
}

func withLabels(lset labels.Labels, more vouched) labels.Labels {
	b := labels.NewBuilder(lset)
	for _, l := range more {
		b.Set(l.Name, l.Value)
	}
	return b.Labels()
}

func point(v float64, pairs ...string) promql.Series {
	return promql.Series{Metric: labels.FromStrings(pairs...), Floats: []promql.FPoint{{F: v}}}
}

// holding is a real Local over float series that have one sample a second, from
// second 0 to 600, of one value.
func holding(tb testing.TB, d Description, series ...promql.Series) Child {
	tb.Helper()
	q := &memory{}
	for _, s := range series {
		b := labels.NewBuilder(s.Metric)
		d.Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
		q.series = append(q.series, memorySeries{b.Labels(), s.Floats[0].F})
	}
	slices.SortFunc(q.series, func(a, b memorySeries) int { return labels.Compare(a.lset, b.lset) })
	cfg := MixerConfig{Limits: DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute}
	l, err := NewLocal(LocalConfig{
		Engine: promql.NewEngine(EngineOpts(cfg, NewParser())), Samples: q, Chunks: q, Limits: cfg.Limits,
		Describe: func() Description { return d },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// memory is a storage in memory.
type memory struct{ series []memorySeries }

type memorySeries struct {
	lset labels.Labels
	v    float64
}

func (m *memory) Querier(int64, int64) (storage.Querier, error) { return memoryQuerier{m}, nil }
func (m *memory) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) {
	return memoryChunks{m}, nil
}

func (m *memory) find(ms []*labels.Matcher) []storage.ChunkSeries {
	var out []storage.ChunkSeries
	for _, s := range m.series {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(s.lset.Get(m.Name)) }) {
			out = append(out, s.chunks())
		}
	}
	return out
}

func (s memorySeries) chunks() storage.ChunkSeries {
	c := chunkenc.NewXORChunk()
	app, err := c.Appender()
	if err != nil {
		panic(err)
	}
	for t := range int64(601) {
		app.Append(0, t*1000, s.v)
	}
	meta := chunks.Meta{Chunk: c, MinTime: 0, MaxTime: 600_000}
	return &storage.ChunkSeriesEntry{Lset: s.lset, ChunkIteratorFn: func(chunks.Iterator) chunks.Iterator {
		return storage.NewListChunkSeriesIterator(meta)
	}}
}

type memoryQuerier struct{ m *memory }

func (q memoryQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return newSampleSet(&listSet{series: q.m.find(ms)}, 0, 600_000)
}

func (q memoryQuerier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, _ ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	var out []string
	for _, s := range q.m.series {
		out = append(out, s.lset.Get(name))
	}
	slices.Sort(out)
	return slices.Compact(out), nil, nil
}

func (q memoryQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q memoryQuerier) Close() error { return nil }

type memoryChunks struct{ m *memory }

func (q memoryChunks) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	return &listSet{series: q.m.find(ms)}
}

func (q memoryChunks) LabelValues(ctx context.Context, name string, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return memoryQuerier(q).LabelValues(ctx, name, h, ms...)
}

func (q memoryChunks) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q memoryChunks) Close() error { return nil }

// listSet is a SeriesSet over a list; next, if not nil, is called before each.
type listSet struct {
	series []storage.ChunkSeries
	next   func(i int) error
	closed *atomic.Int64
	report Report
	i      int
	err    error
}

func (s *listSet) Next() bool {
	if s.err != nil || s.i >= len(s.series) {
		return false
	}
	if s.next != nil {
		if s.err = s.next(s.i); s.err != nil {
			return false
		}
	}
	s.i++
	return true
}

func (s *listSet) At() storage.ChunkSeries           { return s.series[s.i-1] }
func (s *listSet) Err() error                        { return s.err }
func (s *listSet) Warnings() annotations.Annotations { return nil }
func (s *listSet) Report() Report                    { return s.report }

func (s *listSet) Close() {
	if s.closed != nil {
		s.closed.Add(1)
	}
}

// mixerOver returns a Mixer of these children, with change applied to its
// configuration.
func mixerOver(tb testing.TB, id Identity, change func(*MixerConfig), children ...Child) *Mixer {
	tb.Helper()
	var members []Member
	for _, c := range children {
		members = append(members, Member{Child: c, Description: c.Describe(), Connected: true})
	}
	d := Description{Identity: id}
	cfg := MixerConfig{
		Describe: func() Description { return d }, Members: func() []Member { return members },
		Limits: DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
	}
	if change != nil {
		change(&cfg)
	}
	m, err := NewMixer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func rootOver(tb testing.TB, children ...Child) *Mixer {
	tb.Helper()
	return mixerOver(tb, Identity{Tier: TierRoot}, nil, children...)
}

// outcome is what came of a request, in short.
type outcome struct {
	Series   []string
	Warnings []string
	Missing  []string
	Err      string
}

// askInstant evaluates an instant query at second 600.
func askInstant(ctx context.Context, m *Mixer, query string, o Options) outcome {
	set, err := m.Exec(ctx, ExecRequest{Options: o, Query: query, Start: 600_000, End: 600_000})
	if err != nil {
		return outcome{Err: err.Error()}
	}
	defer set.Close()
	var out outcome
	for set.Next() {
		s := set.At()
		if len(s.Floats) > 0 {
			out.Series = append(out.Series, fmt.Sprintf("%s %v", s.Metric, s.Floats[0].F))
		} else {
			out.Series = append(out.Series, fmt.Sprintf("%s %s", s.Metric, s.Histograms[0].H))
		}
	}
	for w := range set.Warnings() {
		out.Warnings = append(out.Warnings, w)
	}
	slices.Sort(out.Series)
	slices.Sort(out.Warnings)
	out.Missing = set.Report().Missing()
	return out
}

var (
	eu    = zoneOf("zone", "eu")
	us    = zoneOf("zone", "us")
	asia  = zoneOf("zone", "asia")
	euOne = leafOf("zone", "eu", "cluster", "eu-1")
	euTwo = leafOf("zone", "eu", "cluster", "eu-2")
)
