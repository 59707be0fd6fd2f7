package treerpc

import (
	"errors"
	"fmt"

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
}

// begin is called at the start of each frame: only there may a table end.
func (w *symbolWriter) begin() *querytreepb.Symbols {
	s := &querytreepb.Symbols{}
	if len(w.refs) > newTableSymbols || w.bytes > newTableBytes {
		w.refs, w.bytes, s.Reset_ = nil, 0, true
	}
	if w.refs == nil {
		w.refs = map[string]uint32{}
	}
	return s
}

// labels returns the symbols of ls, adding new ones to s, and the number of
// bytes that this adds to the frame, roughly.
func (w *symbolWriter) labels(s *querytreepb.Symbols, ls labels.Labels) (refs []uint32, size int) {
	refs = make([]uint32, 0, 2*ls.Len())
	before := w.bytes
	ls.Range(func(l labels.Label) {
		refs = append(refs, w.ref(s, l.Name), w.ref(s, l.Value))
	})
	return refs, w.bytes - before + 3*len(refs)
}

func (w *symbolWriter) ref(s *querytreepb.Symbols, text string) uint32 {
	if ref, ok := w.refs[text]; ok {
		return ref
	}
	ref := uint32(len(w.refs))
	w.refs[text] = ref
	s.Added = append(s.Added, []byte(text))
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
	for _, b := range s.GetAdded() {
		r.bytes += len(b)
		r.symbols = append(r.symbols, string(b))
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
