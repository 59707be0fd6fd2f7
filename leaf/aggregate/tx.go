package aggregate

import (
	"errors"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/encoding"
)

var errEnded = errors.New("append: the transaction has ended")

// tx is what a transaction has of inputs. It is used by one goroutine.
type tx struct {
	a      *Aggregator
	rules  *ruleSet
	floats [shards]txFloats
	hists  [shards]txHists
	n      int // samples
	kept   int // of them

	buf []byte
	enc encoding.Encbuf
}

// Samples of inputs of a shard, and which use of their places is meant.
type (
	txFloats struct {
		samples []sample
		gens    []uint16
	}
	txHists struct {
		samples []histSample
		gens    []uint16
	}
)

func (a *Aggregator) begin() *tx {
	t, ok := a.txs.Get().(*tx)
	if !ok {
		t = &tx{a: a}
	}
	t.rules = a.rules.Load()
	return t
}

// route is where a sample goes.
type route struct {
	lset labels.Labels

	pass   bool              // to the storage
	own    storage.SeriesRef // the storage's
	tagged bool              // that it is no input holds until rules change

	input bool
	shard int
	idx   uint32
	gen   uint16
	ref   storage.SeriesRef // of the input
}

// returned is the reference to return, ref if the sample was passed on.
func (r *route) returned(ref storage.SeriesRef) storage.SeriesRef {
	if r.input {
		return r.ref
	}
	return ref
}

// route finds out where a sample goes. For a mark it makes no new input: that is a
// stale marker, or an exemplar.
func (t *tx) route(ref storage.SeriesRef, s series, mark bool) route {
	epoch := t.rules.epoch
	known := ref != 0 && epochOf(ref) == epoch&refEpoch
	switch {
	case known && ref&refInput != 0:
		if r, ok := t.routeKnown(ref, s, mark); ok {
			return r
		}
	case known && ref&refPassed != 0:
		return route{lset: s.lset, pass: true, own: ownRef(ref), tagged: true}
	}
	r := route{lset: s.lset, pass: true, own: ownRef(ref)}
	info := t.rules.name(s.lset.Get(model.MetricNameLabel))
	switch {
	case info.reserved:
		r.own, r.lset = 0, renamed(s.lset)
		t.a.metrics.renamed.Inc()
		return r
	case len(info.rules) == 0:
		r.tagged = true
		return r
	}
	return t.routeByLabels(r, info, s, mark)
}

// routeKnown finds the input of a reference, unless it was forgotten.
func (t *tx) routeKnown(ref storage.SeriesRef, s series, mark bool) (route, bool) {
	r := route{lset: s.lset, input: true, ref: ref, shard: int(ref >> 30 & (shards - 1)), idx: uint32(ref & (refPlaces - 1))}
	sh := t.a.shards[r.shard]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if !sh.used(r.idx) {
		return r, false
	}
	in := &sh.inputs[r.idx]
	r.gen = in.gen
	if uint64(in.gen&refGen) != uint64(ref)>>34&refGen {
		return r, false
	}
	if ref&refKeep != 0 {
		r.pass, r.own = true, sh.raw[r.idx]
	}
	return t.fitting(r, ref&refHistogram != 0, s, mark), true
}

// fitting keeps a histogram off an input of numbers, and the reverse.
func (t *tx) fitting(r route, isHistogram bool, s series, mark bool) route {
	if mark || isHistogram == (s.h != nil || s.fh != nil) {
		return r
	}
	t.a.metrics.refused("clash")
	return route{lset: r.lset, pass: true}
}

func (t *tx) routeByLabels(r route, info *nameInfo, s series, mark bool) route {
	s.hash, s.verify, t.buf = hashes(s.lset, t.buf)
	r.shard = int(s.hash % shards)
	sh := t.a.shards[r.shard]
	var in input
	sh.mu.RLock()
	idx, clash, found := sh.find(s.hash, s.verify)
	if found {
		in = sh.inputs[idx]
		r.own = sh.raw[idx]
	}
	sh.mu.RUnlock()
	switch {
	case clash:
		t.a.metrics.refused("clash")
		return r
	case found && (mark || in.epoch == uint32(t.rules.epoch)):
	case mark && !found:
		match := info.match(t.a.deps.Rename(s.lset))
		r.pass = match == nil || match.Raw == RawKeep
		return r
	default:
		if mark && in.kind.histogram() {
			s.fh = &histogram.FloatHistogram{} // so that it stays one
		}
		var ok bool
		if idx, in, ok = t.a.enter(t.rules, info, s); !ok {
			r.tagged = t.a.rules.Load() == t.rules && !mark
			return r
		}
	}
	r.idx, r.gen = idx, in.gen
	r.input, r.pass = true, in.keep
	r.ref = inputRef(&in, r.shard, idx, t.rules.epoch)
	return t.fitting(r, in.kind.histogram(), s, mark)
}

// renamed moves a series out of the way of outputs.
func renamed(lset labels.Labels) labels.Labels {
	b := labels.NewBuilder(lset)
	return b.Set(model.MetricNameLabel, exportedPrefix+lset.Get(model.MetricNameLabel)).Labels()
}

// passed notes the storage's reference, and returns the one to return.
func (t *tx) passed(r route, own storage.SeriesRef) storage.SeriesRef {
	switch {
	case r.input && own != r.own:
		sh := t.a.shards[r.shard]
		sh.mu.Lock()
		if sh.used(r.idx) && sh.inputs[r.idx].gen == r.gen {
			sh.raw[r.idx] = own
		}
		sh.mu.Unlock()
	case r.tagged:
		return passedRef(own, t.rules.epoch)
	}
	return own
}

func (t *tx) float(r route, st, at int64, v float64) {
	f := &t.floats[r.shard]
	f.samples = append(f.samples, sample{idx: r.idx, age: startAge(st, at), t: at, v: v})
	f.gens = append(f.gens, r.gen)
	t.count(r)
}

func (t *tx) count(r route) {
	t.n++
	if r.pass {
		t.kept++
	}
}

func (t *tx) histogram(r route, st, at int64, h *histogram.Histogram, fh *histogram.FloatHistogram) {
	if h != nil {
		fh = h.ToFloat(nil)
	} else {
		fh = fh.Copy()
	}
	if value.IsStaleNaN(fh.Sum) {
		t.float(r, 0, at, fh.Sum)
		return
	}
	if fh.CounterResetHint != histogram.CounterReset {
		// What a sender says of the sample before may be of one that never came.
		fh.CounterResetHint = histogram.UnknownCounterReset
	}
	x := &t.hists[r.shard]
	x.samples = append(x.samples, histSample{sample: sample{idx: r.idx, age: startAge(st, at), t: at}, h: fh})
	x.gens = append(x.gens, r.gen)
	t.count(r)
}

// commit takes in the samples. The journal has them then. The transaction is given
// back, and whoever held it holds it no more.
func (t *tx) commit(held **tx) error {
	if t == nil {
		return errEnded
	}
	defer t.end(held)
	if t.n == 0 {
		return nil
	}
	forgotten := 0
	var full [shards]bool
	for s := range t.floats {
		f, h := &t.floats[s], &t.hists[s]
		if len(f.samples)+len(h.samples) == 0 {
			continue
		}
		forgotten += t.deliver(s, f, h)
		sh := t.a.shards[s]
		sh.mu.RLock()
		full[s] = sh.full()
		sh.mu.RUnlock()
	}
	for s := range full {
		if full[s] {
			t.a.drain(s)
		}
	}
	t.a.metrics.received.Add(float64(t.n))
	t.a.metrics.dropped.Add(float64(t.n - t.kept))
	if forgotten > 0 {
		t.a.metrics.ignored.WithLabelValues("forgotten").Add(float64(forgotten))
	}
	return t.a.journal.flush()
}

// deliver puts the samples of a shard with those that wait. It returns how many were
// of inputs that were forgotten since they were routed.
func (t *tx) deliver(s int, f *txFloats, h *txHists) (forgotten int) {
	sh := t.a.shards[s]
	floats, hists := encodeFloats(&t.enc, s, f.samples), []byte(nil)
	if len(h.samples) > 0 {
		hists = encodeHists(s, h.samples)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if n := sh.gone(f, h); n > 0 {
		floats, hists = encodeFloats(&t.enc, s, f.samples), encodeHists(s, h.samples)
		forgotten = n
	}
	sh.pending = append(sh.pending, f.samples...)
	sh.hpend = append(sh.hpend, h.samples...)
	if len(f.samples) > 0 {
		t.a.journal.add(floats)
	}
	if len(h.samples) > 0 {
		t.a.journal.add(hists)
	}
	return forgotten
}

// gone removes the samples of inputs that were forgotten.
func (sh *shard) gone(f *txFloats, h *txHists) int {
	n := 0
	for i := 0; i < len(f.samples); i++ {
		if idx := f.samples[i].idx; !sh.used(idx) || sh.inputs[idx].gen != f.gens[i] {
			f.samples, f.gens = append(f.samples[:i], f.samples[i+1:]...), append(f.gens[:i], f.gens[i+1:]...)
			n, i = n+1, i-1
		}
	}
	for i := 0; i < len(h.samples); i++ {
		if idx := h.samples[i].idx; !sh.used(idx) || sh.inputs[idx].gen != h.gens[i] {
			h.samples, h.gens = append(h.samples[:i], h.samples[i+1:]...), append(h.gens[:i], h.gens[i+1:]...)
			n, i = n+1, i-1
		}
	}
	return n
}

// end gives back the transaction, unless that was done before.
func (t *tx) end(held **tx) {
	if t == nil {
		return
	}
	*held = nil
	for s := range t.floats {
		t.floats[s].samples, t.floats[s].gens = t.floats[s].samples[:0], t.floats[s].gens[:0]
		clear(t.hists[s].samples)
		t.hists[s].samples, t.hists[s].gens = t.hists[s].samples[:0], t.hists[s].gens[:0]
	}
	t.n, t.kept, t.rules = 0, 0, nil
	t.a.txs.Put(t)
}
