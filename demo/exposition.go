package demo

import (
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The native histograms have eight buckets per doubling from 2^minExp to
// 2^maxExp seconds; what lies outside goes to the outermost bucket.
const (
	nativeSchema = 3
	minExp       = -11
	maxExp       = 7
	nativeSize   = (maxExp - minExp) << nativeSchema
	// nativeZero is the zero threshold of client_golang.
	nativeZero = 2.938735877055719e-39
)

// durations is a histogram in both forms.
type durations struct {
	count   uint64
	sum     float64
	classic [len(durationBounds)]uint64 // not cumulative; above the last bound is in count alone
	native  [nativeSize]uint64
	slowest exemplar
}

type exemplar struct {
	trace string
	value float64
	at    time.Time
}

func (d *durations) observe(v float64) {
	d.count++
	d.sum += v
	if i, _ := slices.BinarySearch(durationBounds[:], v); i < len(durationBounds) {
		d.classic[i]++
	}
	d.native[nativeIndex(v)]++
}

// nativeIndex is the offset in durations.native of the bucket that holds v.
// Bucket i of schema s ends at 2^(i/2^s), inclusive.
func nativeIndex(v float64) int {
	i := int(math.Ceil(math.Log2(v)*(1<<nativeSchema))) - (minExp << nativeSchema) - 1
	return min(max(i, 0), nativeSize-1)
}

func (d *durations) proto(classic bool, created time.Time) *dto.Histogram {
	h := &dto.Histogram{
		SampleCount: proto.Uint64(d.count), SampleSum: proto.Float64(d.sum),
		CreatedTimestamp: timestamppb.New(created),
		Schema:           proto.Int32(nativeSchema), ZeroThreshold: proto.Float64(nativeZero), ZeroCount: proto.Uint64(0),
	}
	if classic {
		h.Bucket = d.classicBuckets()
	}
	h.PositiveSpan, h.PositiveDelta = d.nativeBuckets()
	if d.slowest.trace != "" {
		h.Exemplars = []*dto.Exemplar{{
			Label: pairs("trace_id", d.slowest.trace), Value: proto.Float64(d.slowest.value), Timestamp: timestamppb.New(d.slowest.at),
		}}
	}
	return h
}

func (d *durations) classicBuckets() []*dto.Bucket {
	out := make([]*dto.Bucket, len(durationBounds))
	var total uint64
	for i, n := range d.classic {
		total += n
		out[i] = &dto.Bucket{CumulativeCount: proto.Uint64(total), UpperBound: proto.Float64(durationBounds[i])}
	}
	return out
}

// nativeBuckets encodes the buckets as spans and deltas. A span without length
// marks an empty histogram as native.
func (d *durations) nativeBuckets() ([]*dto.BucketSpan, []int64) {
	var (
		spans  []*dto.BucketSpan
		deltas []int64
		last   int64
		next   = 0 // the index at which a bucket would extend the last span
	)
	for i, n := range d.native {
		if n == 0 {
			continue
		}
		index := i + 1 + (minExp << nativeSchema)
		if len(spans) == 0 || index != next {
			spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(int32(index - next)), Length: proto.Uint32(0)})
		}
		*spans[len(spans)-1].Length++
		deltas = append(deltas, int64(n)-last)
		last, next = int64(n), index+1
	}
	if len(spans) == 0 {
		spans = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	return spans, deltas
}

// pairs makes labels of alternating names and values, sorted by name. They are
// shared by all expositions and never changed.
func pairs(namesValues ...string) []*dto.LabelPair {
	var out []*dto.LabelPair
	for i := 0; i+1 < len(namesValues); i += 2 {
		out = append(out, &dto.LabelPair{Name: proto.String(namesValues[i]), Value: proto.String(namesValues[i+1])})
	}
	slices.SortFunc(out, func(a, b *dto.LabelPair) int {
		if a.GetName() < b.GetName() {
			return -1
		}
		return 1
	})
	return out
}

// families collects metric families in the form that promhttp encodes. Building
// them directly costs a fraction of what a registry of vectors would.
type families []*dto.MetricFamily

func (f *families) family(m metric, t dto.MetricType) *dto.MetricFamily {
	if n := len(*f); n > 0 && (*f)[n-1].GetName() == m.name {
		return (*f)[n-1]
	}
	mf := &dto.MetricFamily{Name: proto.String(m.name), Help: proto.String(m.help), Type: t.Enum()}
	*f = append(*f, mf)
	return mf
}

func (f *families) gauge(m metric, v float64, l []*dto.LabelPair) {
	mf := f.family(m, dto.MetricType_GAUGE)
	mf.Metric = append(mf.Metric, &dto.Metric{Label: l, Gauge: &dto.Gauge{Value: proto.Float64(v)}})
}

func (f *families) counter(m metric, v float64, created time.Time, l []*dto.LabelPair) {
	mf := f.family(m, dto.MetricType_COUNTER)
	mf.Metric = append(mf.Metric, &dto.Metric{Label: l, Counter: &dto.Counter{
		Value: proto.Float64(v), CreatedTimestamp: timestamppb.New(created),
	}})
}

func (f *families) histogram(m metric, h *dto.Histogram, l []*dto.LabelPair) {
	mf := f.family(m, dto.MetricType_HISTOGRAM)
	mf.Metric = append(mf.Metric, &dto.Metric{Label: l, Histogram: h})
}

func (f *families) summary(m metric, s *dto.Summary) {
	mf := f.family(m, dto.MetricType_SUMMARY)
	mf.Metric = append(mf.Metric, &dto.Metric{Summary: s})
}

// sorted returns the families by name, as a registry would.
func (f families) sorted() []*dto.MetricFamily {
	slices.SortFunc(f, func(a, b *dto.MetricFamily) int {
		if a.GetName() < b.GetName() {
			return -1
		}
		return 1
	})
	return f
}

// seriesOf counts the series that a scraper stores of the families.
func seriesOf(mfs []*dto.MetricFamily) int {
	n := 0
	for _, mf := range mfs {
		for _, m := range mf.Metric {
			switch {
			case m.Summary != nil:
				n += len(m.Summary.Quantile) + 2
			case m.Histogram != nil && len(m.Histogram.Bucket) > 0:
				n += len(m.Histogram.Bucket) + 4 // +Inf, sum, count, native
			default:
				n++
			}
		}
	}
	return n
}
