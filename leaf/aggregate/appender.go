package aggregate

import (
	"context"
	"errors"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// Appendable passes on series that are no inputs, and takes in samples of those
// that are when a transaction is committed. It implements storage.Appendable and
// storage.AppendableV2. The references that its appenders return are its own.
type Appendable struct {
	a  *Aggregator
	v1 storage.Appendable
	v2 storage.AppendableV2
}

// Appendable returns an Appendable that passes on to the given ones.
func (a *Aggregator) Appendable(v1 storage.Appendable, v2 storage.AppendableV2) *Appendable {
	return &Appendable{a: a, v1: v1, v2: v2}
}

// Appender implements storage.Appendable.
func (p *Appendable) Appender(ctx context.Context) storage.Appender {
	return &appender{Appender: p.v1.Appender(ctx), tx: p.a.begin()}
}

// AppenderV2 implements storage.AppendableV2.
func (p *Appendable) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &appenderV2{AppenderV2: p.v2.AppenderV2(ctx), tx: p.a.begin()}
}

// appender is a transaction of the old interface. Start timestamps come before
// their sample by AppendSTZeroSample, and are not passed on.
type appender struct {
	storage.Appender
	tx      *tx
	st, stT int64 // start timestamp of the sample of time stT
}

func (p *appender) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	st := p.start(t)
	to := p.tx.route(ref, series{lset: l}, value.IsStaleNaN(v))
	if to.pass {
		own, err := p.Appender.Append(to.own, to.lset, t, v)
		if err != nil {
			return own, err
		}
		ref = p.tx.passed(to, own)
	}
	if to.input {
		p.tx.float(to, st, t, v)
	}
	return to.returned(ref), nil
}

func (p *appender) AppendHistogram(ref storage.SeriesRef, l labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	st := p.start(t)
	to := p.tx.route(ref, series{lset: l, h: h, fh: fh}, false)
	if to.pass {
		own, err := p.Appender.AppendHistogram(to.own, to.lset, t, h, fh)
		if err != nil {
			return own, err
		}
		ref = p.tx.passed(to, own)
	}
	if to.input {
		p.tx.histogram(to, st, t, h, fh)
	}
	return to.returned(ref), nil
}

// start returns the start timestamp that came just before a sample. It is of that
// sample alone: the next series may have none.
func (p *appender) start(t int64) int64 {
	st, of := p.st, p.stT
	p.st, p.stT = 0, 0
	if of != t {
		return 0
	}
	return st
}

// AppendSTZeroSample notes the start timestamp of the next sample.
func (p *appender) AppendSTZeroSample(ref storage.SeriesRef, _ labels.Labels, t, st int64) (storage.SeriesRef, error) {
	p.st, p.stT = st, t
	return ref, nil
}

// AppendHistogramSTZeroSample notes the start timestamp of the next sample.
func (p *appender) AppendHistogramSTZeroSample(ref storage.SeriesRef, _ labels.Labels, t, st int64, _ *histogram.Histogram, _ *histogram.FloatHistogram) (storage.SeriesRef, error) {
	p.st, p.stT = st, t
	return ref, nil
}

// AppendExemplar passes on exemplars of what is stored.
func (p *appender) AppendExemplar(ref storage.SeriesRef, l labels.Labels, e exemplar.Exemplar) (storage.SeriesRef, error) {
	to := p.tx.route(ref, series{lset: l}, true) // creates no input
	if !to.pass {
		p.tx.a.metrics.exemplars.Inc()
		return to.returned(ref), nil
	}
	own, err := p.Appender.AppendExemplar(to.own, to.lset, e)
	if err != nil {
		return own, err
	}
	return to.returned(p.tx.passed(to, own)), nil
}

func (p *appender) Commit() error {
	if err := p.tx.commit(&p.tx); err != nil {
		return errors.Join(err, p.Appender.Rollback())
	}
	return p.Appender.Commit()
}

func (p *appender) Rollback() error {
	p.tx.end(&p.tx)
	return p.Appender.Rollback()
}

type appenderV2 struct {
	storage.AppenderV2
	tx *tx
}

func (p *appenderV2) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	isHistogram := h != nil || fh != nil
	to := p.tx.route(ref, series{lset: l, meta: opts.Metadata, h: h, fh: fh}, !isHistogram && value.IsStaleNaN(v))
	var partial error
	if to.pass {
		own, err := p.AppenderV2.Append(to.own, to.lset, st, t, v, h, fh, opts)
		if err != nil {
			if _, ok := errors.AsType[*storage.AppendPartialError](err); !ok {
				return own, err
			}
			partial = err
		}
		ref = p.tx.passed(to, own)
	} else if n := len(opts.Exemplars); n > 0 {
		p.tx.a.metrics.exemplars.Add(float64(n))
	}
	switch {
	case to.input && isHistogram:
		p.tx.histogram(to, st, t, h, fh)
	case to.input:
		p.tx.float(to, st, t, v)
	}
	return to.returned(ref), partial
}

func (p *appenderV2) Commit() error {
	if err := p.tx.commit(&p.tx); err != nil {
		return errors.Join(err, p.AppenderV2.Rollback())
	}
	return p.AppenderV2.Commit()
}

func (p *appenderV2) Rollback() error {
	p.tx.end(&p.tx)
	return p.AppenderV2.Rollback()
}

// startAge returns how long before t a start timestamp is, or 0 if it tells
// nothing.
func startAge(st, t int64) uint32 {
	if st <= 0 || st >= t || t-st > math.MaxUint32 {
		return 0
	}
	return uint32(t - st)
}
