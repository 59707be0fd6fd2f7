package leaf

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// appendable keeps identity labels off the series that are written through it,
// so that no input can claim to be another leaf. It implements
// storage.Appendable and storage.AppendableV2.
type appendable struct {
	v1      storage.Appendable
	v2      storage.AppendableV2
	id      *identity
	samples *atomic.Uint64
	// committing is called before a transaction is committed. May be nil.
	committing func()
	// late is told of committed samples: the time of the oldest. May be nil.
	late func(mint int64)
	// final is told of samples before they are committed. May be nil.
	final *finality

	// ownLabels is set where the input read its labels from the leaf itself:
	// labels equal to the identity are then dropped, not renamed.
	ownLabels bool
	// alerts is the name that series of alerts get instead of ALERTS; empty
	// leaves it at that.
	alerts string
	// metadata takes what comes with samples, by metric family. May be nil.
	metadata func(family string, m metadata.Metadata)
}

// Appender implements storage.Appendable.
func (a *appendable) Appender(ctx context.Context) storage.Appender {
	return &appender{Appender: a.v1.Appender(ctx), ingest: ingest{to: a}}
}

// AppenderV2 implements storage.AppendableV2.
func (a *appendable) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &appenderV2{AppenderV2: a.v2.AppenderV2(ctx), ingest: ingest{to: a}}
}

// ingest is the state of one transaction.
type ingest struct {
	to    *appendable
	count uint64
	// The times of the oldest and the newest sample, if any is set.
	mint, maxt int64
	any        bool
	// The labels of the last series: its further samples come with its
	// reference, and need not be looked at again.
	ref  storage.SeriesRef
	lset labels.Labels
	// The last metadata, for the same reason.
	family string
	meta   metadata.Metadata
}

func (i *ingest) labels(ref storage.SeriesRef, lset labels.Labels) labels.Labels {
	if ref != 0 && ref == i.ref {
		return i.lset
	}
	if i.to.ownLabels {
		lset = i.to.id.strip(lset)
	}
	if i.to.alerts != "" && lset.Get(model.MetricNameLabel) == alertMetric {
		b := labels.NewBuilder(lset)
		lset = b.Set(model.MetricNameLabel, i.to.alerts).Labels()
	}
	return i.to.id.rename(lset)
}

func (i *ingest) done(ref storage.SeriesRef, lset labels.Labels, t int64) {
	i.saw(t)
	i.count++
	i.ref, i.lset = ref, lset
}

// saw notes the time of a sample.
func (i *ingest) saw(t int64) {
	if !i.any {
		i.mint, i.maxt, i.any = t, t, true
	}
	i.mint, i.maxt = min(i.mint, t), max(i.maxt, t)
}

func (i *ingest) describe(family string, m metadata.Metadata) {
	if i.to.metadata == nil || family == "" || m.IsEmpty() || (family == i.family && m == i.meta) {
		return
	}
	i.family, i.meta = family, m
	i.to.metadata(family, m)
}

// commit commits a transaction, between what has to be noted before and after.
func (i *ingest) commit(t storage.AppenderTransaction) error {
	if i.to.committing != nil {
		i.to.committing()
	}
	if !i.any {
		return i.committed(t.Commit())
	}
	done, err := i.to.final.commit(i.mint, i.maxt)
	defer done()
	if err != nil {
		return errors.Join(err, t.Rollback())
	}
	return i.committed(t.Commit())
}

func (i *ingest) committed(err error) error {
	// A transaction that failed may have got some way.
	if i.any && i.to.late != nil {
		i.to.late(i.mint)
	}
	if err == nil {
		i.to.samples.Add(i.count)
	}
	return err
}

type appender struct {
	storage.Appender
	ingest
}

func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	l = a.labels(ref, l)
	ref, err := a.Appender.Append(ref, l, t, v)
	if err == nil {
		a.done(ref, l, t)
	}
	return ref, err
}

func (a *appender) AppendHistogram(ref storage.SeriesRef, l labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	l = a.labels(ref, l)
	ref, err := a.Appender.AppendHistogram(ref, l, t, h, fh)
	if err == nil {
		a.done(ref, l, t)
	}
	return ref, err
}

func (a *appender) AppendHistogramSTZeroSample(ref storage.SeriesRef, l labels.Labels, t, st int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	a.saw(st)
	return a.Appender.AppendHistogramSTZeroSample(ref, a.labels(ref, l), t, st, h, fh)
}

func (a *appender) AppendSTZeroSample(ref storage.SeriesRef, l labels.Labels, t, st int64) (storage.SeriesRef, error) {
	a.saw(st)
	return a.Appender.AppendSTZeroSample(ref, a.labels(ref, l), t, st)
}

func (a *appender) AppendExemplar(ref storage.SeriesRef, l labels.Labels, e exemplar.Exemplar) (storage.SeriesRef, error) {
	return a.Appender.AppendExemplar(ref, a.labels(ref, l), e)
}

// UpdateMetadata keeps the metadata in the leaf's own store. The TSDB has no
// use for it: it can write metadata to its WAL, but not serve it.
func (a *appender) UpdateMetadata(ref storage.SeriesRef, l labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	if a.to.metadata != nil && !m.IsEmpty() {
		a.describe(familyName(l.Get(labels.MetricName), m.Type), m)
	}
	return ref, nil
}

func (a *appender) Commit() error { return a.commit(a.Appender) }

type appenderV2 struct {
	storage.AppenderV2
	ingest
}

func (a *appenderV2) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	if a.to.metadata != nil && !opts.Metadata.IsEmpty() {
		family := opts.MetricFamilyName
		if family == "" {
			family = familyName(l.Get(labels.MetricName), opts.Metadata.Type)
		}
		a.describe(family, opts.Metadata)
	}
	l = a.labels(ref, l)
	ref, err := a.AppenderV2.Append(ref, l, st, t, v, h, fh, opts)
	// What was refused in part is an exemplar; the sample is there.
	if _, partial := errors.AsType[*storage.AppendPartialError](err); partial || err == nil {
		a.done(ref, l, t)
	}
	return ref, err
}

func (a *appenderV2) Commit() error { return a.commit(a.AppenderV2) }
