package treehttp

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
)

// federate serves /federate with the semantics of Prometheus: the latest sample
// within the lookback delta of each series that any match[] selects, stale
// series left out, in a text or protobuf exposition format. The external labels
// need not be added, for the tree has them on its series already.
func (h *Handler) federate(w http.ResponseWriter, r *http.Request) {
	selectors, err := querytree.NewParser().ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := h.cfg.Now()
	vec, err := h.latest(r.Context(), selectors, now)
	if err != nil {
		code, _ := classify(err)
		http.Error(w, err.Error(), code)
		return
	}
	format := expfmt.NegotiateAccept(r.Header,
		expfmt.NewFormat(expfmt.TypeProtoDelim), expfmt.NewFormat(expfmt.TypeProtoText),
		expfmt.NewFormat(expfmt.TypeProtoCompact), expfmt.NewFormat(expfmt.TypeTextPlain))
	w.Header().Set("Content-Type", string(format))
	e := familyEncoder{enc: expfmt.NewEncoder(w, format), native: format.FormatType() != expfmt.TypeTextPlain}
	for _, s := range vec {
		if err = e.add(s); err != nil {
			break
		}
	}
	if err == nil {
		err = e.flush()
	}
	if err != nil {
		// The status is sent; most likely the client is gone.
		h.cfg.Logger.Warn("write federation answer", "err", err)
	}
}

// latest returns the latest sample of each series, sorted by metric name and
// then labels.
func (h *Handler) latest(ctx context.Context, selectors [][]*labels.Matcher, now time.Time) (promql.Vector, error) {
	tuned := h.tuning.Load()
	mint, maxt := now.Add(-tuned.Lookback).UnixMilli(), now.UnixMilli()
	q, err := h.cfg.Queryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	sets := make([]storage.SeriesSet, 0, len(selectors))
	for _, ms := range selectors {
		sets = append(sets, q.Select(ctx, true, &storage.SelectHints{Start: mint, End: maxt}, ms...))
	}
	set := storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
	var (
		vec promql.Vector
		it  = storage.NewBuffer(tuned.Lookback.Milliseconds())
		raw chunkenc.Iterator
	)
	for set.Next() {
		series := set.At()
		raw = series.Iterator(raw)
		it.Reset(raw)
		s, ok := latestSample(it, maxt)
		if !ok {
			continue
		}
		if len(vec) == tuned.Limits.MaxSeries {
			return nil, &querytree.LimitError{What: "series of one federation request", Flag: "query.max-series", Limit: int64(tuned.Limits.MaxSeries), Value: int64(len(vec)) + 1, Tier: h.name()}
		}
		s.Metric = series.Labels()
		vec = append(vec, s)
	}
	if err := set.Err(); err != nil {
		return nil, err
	}
	if ws := set.Warnings(); len(ws) > 0 {
		h.cfg.Logger.Debug("federation has warnings", "warnings", ws.AsErrors())
	}
	slices.SortStableFunc(vec, func(a, b promql.Sample) int {
		return strings.Compare(a.Metric.Get(labels.MetricName), b.Metric.Get(labels.MetricName))
	})
	return vec, nil
}

// latestSample returns the last sample at or before maxt. The exposition formats
// have no stale markers, so a stale series has none.
func latestSample(it *storage.BufferedSeriesIterator, maxt int64) (promql.Sample, bool) {
	var (
		t  int64
		f  float64
		fh *histogram.FloatHistogram
	)
	switch it.Seek(maxt) {
	case chunkenc.ValFloat:
		t, f = it.At()
	case chunkenc.ValHistogram, chunkenc.ValFloatHistogram:
		t, fh = it.AtFloatHistogram(nil)
	default:
		last, ok := it.PeekBack(1)
		if !ok {
			return promql.Sample{}, false
		}
		t = last.T()
		switch last.Type() {
		case chunkenc.ValFloat:
			f = last.F()
		case chunkenc.ValHistogram:
			fh = last.H().ToFloat(nil)
		case chunkenc.ValFloatHistogram:
			// The buffer reuses its samples; the answer outlives them.
			fh = last.FH().Copy()
		default:
			return promql.Sample{}, false
		}
	}
	if value.IsStaleNaN(f) || (fh != nil && value.IsStaleNaN(fh.Sum)) {
		return promql.Sample{}, false
	}
	return promql.Sample{T: t, F: f, H: fh}, true
}

// familyEncoder groups samples, which come sorted by metric name, into metric
// families and encodes them. A name whose samples differ in type makes several
// families: not quite what the formats allow, but what Prometheus sends and reads.
type familyEncoder struct {
	enc expfmt.Encoder
	// native is set if the format can hold native histograms; samples of such
	// are left out otherwise.
	native bool
	family *dto.MetricFamily
}

// add encodes a sample. Samples without a metric name have no place in the
// formats and are left out.
func (e *familyEncoder) add(s promql.Sample) error {
	name := s.Metric.Get(labels.MetricName)
	if name == "" || (s.H != nil && !e.native && !s.H.UsesCustomBuckets()) {
		return nil
	}
	kind := familyType(s)
	if e.family == nil || e.family.GetName() != name || e.family.GetType() != kind {
		if err := e.flush(); err != nil {
			return err
		}
		e.family = &dto.MetricFamily{Name: proto.String(name), Type: kind.Enum()}
	}
	m := &dto.Metric{Label: labelPairs(s.Metric), TimestampMs: proto.Int64(s.T)}
	switch {
	case s.H == nil:
		m.Untyped = &dto.Untyped{Value: proto.Float64(s.F)}
	case s.H.UsesCustomBuckets():
		m.Histogram = classicHistogram(s.H)
	default:
		m.Histogram = nativeHistogram(s.H)
	}
	e.family.Metric = append(e.family.Metric, m)
	return nil
}

// flush encodes the family at hand, if any.
func (e *familyEncoder) flush() error {
	if e.family == nil {
		return nil
	}
	f := e.family
	e.family = nil
	return e.enc.Encode(f)
}

func familyType(s promql.Sample) dto.MetricType {
	switch {
	case s.H == nil:
		return dto.MetricType_UNTYPED
	case s.H.CounterResetHint == histogram.GaugeType:
		return dto.MetricType_GAUGE_HISTOGRAM
	default:
		return dto.MetricType_HISTOGRAM
	}
}

// labelPairs returns the labels but the metric name. An empty instance label is
// added where there is none, so that a scraping Prometheus does not put its own
// there.
func labelPairs(ls labels.Labels) []*dto.LabelPair {
	var pairs []*dto.LabelPair
	ls.Range(func(l labels.Label) {
		if l.Name != labels.MetricName && l.Value != "" {
			pairs = append(pairs, &dto.LabelPair{Name: proto.String(l.Name), Value: proto.String(l.Value)})
		}
	})
	if ls.Get(model.InstanceLabel) == "" {
		pairs = append(pairs, &dto.LabelPair{Name: proto.String(model.InstanceLabel), Value: proto.String("")})
	}
	return pairs
}

// nativeHistogram translates a histogram of an exponential schema.
func nativeHistogram(h *histogram.FloatHistogram) *dto.Histogram {
	return &dto.Histogram{
		SampleCountFloat: proto.Float64(h.Count),
		SampleSum:        proto.Float64(h.Sum),
		Schema:           proto.Int32(h.Schema),
		ZeroThreshold:    proto.Float64(h.ZeroThreshold),
		ZeroCountFloat:   proto.Float64(h.ZeroCount),
		NegativeSpan:     spans(h.NegativeSpans),
		NegativeCount:    h.NegativeBuckets,
		PositiveSpan:     spans(h.PositiveSpans),
		PositiveCount:    h.PositiveBuckets,
	}
}

func spans(from []histogram.Span) []*dto.BucketSpan {
	var to []*dto.BucketSpan
	for _, s := range from {
		to = append(to, &dto.BucketSpan{Offset: proto.Int32(s.Offset), Length: proto.Uint32(s.Length)})
	}
	return to
}

// classicHistogram translates a histogram of custom buckets into one of le
// buckets, which every format can hold. The +Inf bucket is implied.
func classicHistogram(h *histogram.FloatHistogram) *dto.Histogram {
	out := &dto.Histogram{SampleCountFloat: proto.Float64(h.Count), SampleSum: proto.Float64(h.Sum)}
	counts := make([]float64, len(h.CustomValues)+1)
	for it := h.PositiveBucketIterator(); it.Next(); {
		if i := int(it.At().Index); i >= 0 && i < len(counts) {
			counts[i] += it.At().Count
		}
	}
	total := 0.0
	for i, le := range h.CustomValues {
		total += counts[i]
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: proto.Float64(le), CumulativeCountFloat: proto.Float64(total)})
	}
	return out
}
