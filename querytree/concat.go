package querytree

import (
	"container/heap"
	"context"
	"slices"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// headerBytes is what a series of an answer takes beside its labels and points.
// Series that move from one answer to another take these along.
const headerBytes = int64(unsafe.Sizeof(promql.Series{}))

// concat puts disjoint answers together, sorted by labels: their points stay
// where they are. That of a single child keeps its order.
func (r *fragmentRun) concat(ctx context.Context, parts []promql.Matrix) (promql.Matrix, error) {
	if len(parts) == 1 && !r.f.several {
		return parts[0], nil
	}
	if err := r.checkSeries(parts); err != nil {
		return nil, err
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	size := int64(n) * headerBytes
	if err := r.ask.budget.Reserve(size); err != nil {
		return nil, err
	}
	defer r.ask.budget.Release(size) // of the parts, which are empty then
	out, heads := make(promql.Matrix, 0, n), headsOf(ctx, parts)
	for len(heads) > 0 {
		if len(out)%sortStride == 0 && ctx.Err() != nil {
			return nil, contextError(ctx)
		}
		s := heads.next()
		if n := len(out); n > 0 && labels.Equal(out[n-1].Metric, s.Metric) {
			return nil, &notMergeable{fragment: r.f, why: "equal label sets in two children: " + s.Metric.String()}
		}
		out = append(out, s)
	}
	return out, nil
}

// heads are the parts of an answer that have series left, each sorted by labels:
// a heap by the first of each.
type heads []promql.Matrix

// headsOf takes the series out of parts. Those of a range query come sorted; what
// comes in an order of its own is sorted here, unless ctx has ended.
func headsOf(ctx context.Context, parts []promql.Matrix) heads {
	var h heads
	for i, p := range parts {
		if !slices.IsSortedFunc(p, byLabels) {
			slices.SortStableFunc(p, until(ctx, byLabels))
		}
		if len(p) > 0 {
			h = append(h, p)
		}
		parts[i] = nil
	}
	heap.Init(&h)
	return h
}

func byLabels(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) }

// next takes out the first series of all.
func (h *heads) next() promql.Series {
	p := (*h)[0]
	s := p[0]
	p[0] = promql.Series{}
	if (*h)[0] = p[1:]; len(p) > 1 {
		heap.Fix(h, 0)
	} else {
		heap.Pop(h)
	}
	return s
}

// Len implements heap.Interface.
func (h heads) Len() int { return len(h) }

// Less implements heap.Interface.
func (h heads) Less(i, j int) bool { return byLabels(h[i][0], h[j][0]) < 0 }

// Swap implements heap.Interface.
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *heads) Push(x any) { *h = append(*h, x.(promql.Matrix)) }

// Pop implements heap.Interface.
func (h *heads) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}
