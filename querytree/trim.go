package querytree

import "github.com/prometheus/prometheus/tsdb/chunkenc"

// TrimIterator leaves out the samples before Mint and after Maxt, in
// milliseconds, both included, which whole chunks may hold. It may be given
// another Iterator and other bounds as a whole, and then begins anew.
type TrimIterator struct {
	chunkenc.Iterator
	Mint, Maxt int64
	begun      bool
	done       bool
}

// Next implements chunkenc.Iterator.
func (t *TrimIterator) Next() chunkenc.ValueType {
	if !t.begun {
		return t.Seek(t.Mint)
	}
	if t.done {
		return chunkenc.ValNone
	}
	return t.check(t.Iterator.Next())
}

// Seek implements chunkenc.Iterator.
func (t *TrimIterator) Seek(at int64) chunkenc.ValueType {
	t.begun = true
	if t.done {
		return chunkenc.ValNone
	}
	return t.check(t.Iterator.Seek(max(at, t.Mint)))
}

func (t *TrimIterator) check(v chunkenc.ValueType) chunkenc.ValueType {
	if v == chunkenc.ValNone || t.AtT() > t.Maxt {
		t.done = true
		return chunkenc.ValNone
	}
	return v
}
