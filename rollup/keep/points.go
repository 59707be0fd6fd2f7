package keep

import (
	"context"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// series reads the points of one operator. It reads chunks, as those of a series
// rarely overlap: iterating over the samples of all of them at once takes twice as
// long as reading the points.
func (r *reading) series(ctx context.Context, op string, add func(promql.Series) error) (annotations.Annotations, error) {
	var warn annotations.Annotations
	mint, maxt := r.covered[0].Mint, r.covered[len(r.covered)-1].Maxt
	q, err := r.q.ChunkQuerier(mint, maxt)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	// Chunks that reach beyond are as good as parts of them, and need not be made anew.
	hints := &storage.SelectHints{Start: mint, End: maxt, DisableTrimming: true}
	set := q.Select(ctx, false, hints, r.matchers(op)...)
	var it chunks.Iterator
	floats := false
	s := promql.Series{Floats: make([]promql.FPoint, 0, r.steps)} // used again for each series
	p := pointReader{reading: r}
	for set.Next() {
		s.Metric, s.Floats, s.Histograms = r.match.Labels(visible(set.At().Labels()), r.w.constants), s.Floats[:0], s.Histograms[:0]
		it = set.At().Iterator(it)
		if err := p.all(it, revOf(set.At().Labels()), &s); err != nil {
			return nil, err
		}
		if len(s.Floats)+len(s.Histograms) == 0 {
			continue
		}
		floats = floats || len(s.Floats) > 0
		if err := add(s); err != nil {
			return nil, err
		}
	}
	if floats && r.match.Info != nil {
		warn.Add(r.match.Info)
	}
	warn.Merge(set.Warnings())
	return warn, set.Err()
}

// pointReader reads the points of one series after another.
type pointReader struct {
	*reading
	it chunkenc.Iterator
	// rev is the revision of the series, run and span are where in the lists of
	// those it is, and next is the next step that is wanted: none before is.
	rev       uint32
	run, span int
	next      int64
}

// all reads the points of a series that are at the steps asked for, or all if
// there is no step, and of the revision that counts there.
func (p *pointReader) all(it chunks.Iterator, rev uint32, s *promql.Series) error {
	p.rev, p.run, p.span, p.next = rev, 0, 0, p.covered[0].Mint
	for it.Next() {
		c := it.At()
		if c.MaxTime < p.next {
			continue
		}
		p.it = c.Chunk.Iterator(p.it)
		if more, err := p.chunk(s); err != nil || !more {
			return err
		}
	}
	return it.Err()
}

// chunk reads the points of one chunk. It reports whether points after it may be
// wanted.
func (p *pointReader) chunk(s *promql.Series) (more bool, err error) {
	first := true
	for kind := p.it.Next(); kind != chunkenc.ValNone; kind = p.it.Next() {
		begins := first
		first = false
		t := p.it.AtT()
		if t < p.next {
			continue
		}
		if wanted, more := p.wants(t); !more {
			return false, p.it.Err()
		} else if !wanted {
			continue
		}
		switch kind {
		case chunkenc.ValFloat:
			_, v := p.it.At()
			s.Floats = append(s.Floats, promql.FPoint{T: t + p.match.Offset, F: v})
		default:
			_, h := p.it.AtFloatHistogram(nil)
			if begins && h.CounterResetHint != histogram.GaugeType {
				h.CounterResetHint = histogram.UnknownCounterReset // what was before may be in no chunk
			}
			s.Histograms = append(s.Histograms, promql.HPoint{T: t + p.match.Offset, H: h})
		}
	}
	return true, p.it.Err()
}

// wants reports whether a point at t, not before the next step, is wanted, and
// whether any after it may be.
func (p *pointReader) wants(t int64) (wanted, more bool) {
	for p.run < len(p.covered) && t > p.covered[p.run].Maxt {
		p.run++
	}
	for p.span < len(p.spans) && t > p.spans[p.span].to {
		p.span++
	}
	if p.run == len(p.covered) || p.span == len(p.spans) {
		return false, false
	}
	if t < p.covered[p.run].Mint {
		return false, true
	}
	if p.step > 0 && t != p.next {
		if p.next = p.stepFrom(p.run, t); t != p.next {
			return false, true
		}
	}
	p.next += p.step
	return t >= p.spans[p.span].from && p.spans[p.span].rev == p.rev, true
}

// stepFrom returns the first step of a run that is not before t.
func (r *reading) stepFrom(run int, t int64) int64 {
	from := r.covered[run].Mint
	return from + (t-from+r.step-1)/r.step*r.step
}
