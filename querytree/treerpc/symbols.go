package treerpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Bounds of a symbol table. The writer starts a new table when one of the
// first two is passed; the reader refuses what no writer sends.
const (
	newTableSymbols = 1 << 16
	newTableBytes   = 2 << 20
	maxTableSymbols = 1 << 20
	maxTableBytes   = 64 << 20
)

// symbolWriter gives every distinct label name and value of a stream a number.
type symbolWriter struct {
	refs  map[string]uint32
	bytes int
	// last is the label set written last: most of it recurs in the next.
	last []lastLabel

	// Reused from frame to frame.
	frame querytreepb.Symbols
	text  []byte
	out   []uint32
}

type lastLabel struct {
	label       labels.Label
	name, value uint32
}

// begin is called at the start of each frame, when the one before was sent:
// only there may a table end.
func (w *symbolWriter) begin() *querytreepb.Symbols {
	w.frame.Reset_, w.frame.Added = false, w.frame.Added[:0]
	w.text, w.out = w.text[:0], w.out[:0]
	if len(w.refs) > newTableSymbols || w.bytes > newTableBytes {
		w.refs, w.bytes, w.last, w.frame.Reset_ = nil, 0, w.last[:0], true
	}
	if w.refs == nil {
		w.refs = map[string]uint32{}
	}
	return &w.frame
}

// labels returns the symbols of ls, adding new ones to the frame, and the
// number of bytes that this adds to the frame, roughly.
func (w *symbolWriter) labels(ls labels.Labels) (refs []uint32, size int) {
	start, before, i := len(w.out), w.bytes, 0
	ls.Range(func(l labels.Label) {
		if i == len(w.last) {
			w.last = append(w.last, lastLabel{})
			w.last[i] = lastLabel{l, w.ref(l.Name), w.ref(l.Value)}
		}
		last := &w.last[i]
		if last.label.Name != l.Name {
			last.label.Name, last.name = l.Name, w.ref(l.Name)
		}
		if last.label.Value != l.Value {
			last.label.Value, last.value = l.Value, w.ref(l.Value)
		}
		w.out = append(w.out, last.name, last.value)
		i++
	})
	refs = w.out[start:len(w.out):len(w.out)]
	return refs, w.bytes - before + 3*len(refs)
}

func (w *symbolWriter) ref(text string) uint32 {
	if ref, ok := w.refs[text]; ok {
		return ref
	}
	ref := uint32(len(w.refs))
	w.refs[text] = ref
	start := len(w.text)
	w.text = append(w.text, text...)
	w.frame.Added = append(w.frame.Added, w.text[start:len(w.text):len(w.text)])
	w.bytes += len(text) + 2
	return ref
}

// symbolReader is the other side of a symbolWriter.
type symbolReader struct {
	symbols []string
	bytes   int
	builder labels.ScratchBuilder
}

// add takes in what a frame adds to the table.
func (r *symbolReader) add(s *querytreepb.Symbols) error {
	if s.GetReset_() {
		// Not reusing the array: it would keep the old strings alive.
		r.symbols, r.bytes = nil, 0
	}
	added, size := s.GetAdded(), 0
	for _, b := range added {
		size += len(b)
	}
	// One string for all: label sets are copies of it.
	var text strings.Builder
	text.Grow(size)
	for _, b := range added {
		text.Write(b)
	}
	r.bytes += size
	r.symbols = slices.Grow(r.symbols, len(added))
	for rest := text.String(); len(added) > 0; added = added[1:] {
		n := len(added[0])
		r.symbols = append(r.symbols, rest[:n])
		rest = rest[n:]
	}
	if len(r.symbols) > maxTableSymbols || r.bytes > maxTableBytes {
		return fmt.Errorf("symbol table of %d symbols and %d bytes is too large", len(r.symbols), r.bytes)
	}
	return nil
}

// labels returns the label set that refs stand for.
func (r *symbolReader) labels(refs []uint32) (labels.Labels, error) {
	if len(refs)%2 != 0 {
		return labels.EmptyLabels(), errors.New("label name without a value")
	}
	r.builder.Reset()
	prev := ""
	for i := 0; i < len(refs); i += 2 {
		if max(refs[i], refs[i+1]) >= uint32(len(r.symbols)) {
			return labels.EmptyLabels(), fmt.Errorf("symbol %d of %d", max(refs[i], refs[i+1]), len(r.symbols))
		}
		name, value := r.symbols[refs[i]], r.symbols[refs[i+1]]
		if name <= prev {
			return labels.EmptyLabels(), fmt.Errorf("label %q after %q", name, prev)
		}
		r.builder.Add(name, value)
		prev = name
	}
	return r.builder.Labels(), nil
}

// seriesOrder checks that the series of an answer come sorted by labels, each
// label set once: what merges rely on.
type seriesOrder struct {
	prev labels.Labels
	any  bool
}

func (o *seriesOrder) next(ls labels.Labels) error {
	if o.any && labels.Compare(o.prev, ls) >= 0 {
		return fmt.Errorf("series %s after %s: not sorted by labels", ls, o.prev)
	}
	o.prev, o.any = ls, true
	return nil
}

// seriesOnce refuses a series that comes twice, where the order of series is the
// sender's own. What it holds is small beside the series. Two that differ have the same
// hash once in some 10¹⁹ pairs; then the answer is refused for nothing.
type seriesOnce struct{ seen map[uint64]struct{} }

func (o *seriesOnce) next(ls labels.Labels) error {
	if o.seen == nil {
		o.seen = map[uint64]struct{}{}
	}
	h := ls.Hash()
	if _, ok := o.seen[h]; ok {
		return fmt.Errorf("series %s twice", ls)
	}
	o.seen[h] = struct{}{}
	return nil
}
