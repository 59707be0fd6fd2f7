package querytree

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// smallQuery is what a query may hold however much the others hold: so one
// client's heavy queries never fail another's light one.
const smallQuery = 1 << 20

// Memory accounts for what all queries of one tier hold at the same time. When
// they hold too much together, the query that holds most is cancelled, and no
// other. It is safe for concurrent use.
type Memory struct {
	total   atomic.Int64 // zero means no limit
	each    atomic.Int64 // of one client's; zero means no limit
	process int64        // zero means no watch
	metrics *boundsMetrics
	heap    func() heapUse
	held    atomic.Int64

	mu       sync.Mutex
	open     map[*Budget]struct{}
	clients  map[string]*clientMemory
	watching bool
}

// clientMemory is what all queries of one client hold.
type clientMemory struct {
	name string
	held atomic.Int64
	open int // queries; guarded by Memory.mu
}

// newMemory returns the account of a tier with these limits.
func newMemory(l Limits, m *boundsMetrics) *Memory {
	a := &Memory{process: l.ProcessBytes, metrics: m, heap: readHeap, open: map[*Budget]struct{}{}, clients: map[string]*clientMemory{}}
	a.retune(l)
	return a
}

// retune has the account go by other limits from now on.
func (m *Memory) retune(l Limits) {
	m.total.Store(l.MaxTotalBytes)
	m.each.Store(l.MaxClientBytes)
}

// Budget is what one query may hold in one tier, and what it does. What is
// reserved is an estimate of bytes really held, made as answers stream in and
// before the engine expands them. The zero *Budget, nil, has no bounds. It is
// safe for concurrent use.
type Budget struct {
	memory *Memory
	// whole is what this is a part of; nil for that of a query.
	whole  *Budget
	client *clientMemory
	limit  int64 // zero means no limit
	tier   string
	cancel context.CancelCauseFunc
	cycles uint64 // of the garbage collector, when it was opened

	mu         sync.Mutex
	held, peak int64
	err        *LimitError
	closed     bool
}

type budgetKey struct{}

// budget opens the budget of a query. The context returned carries it, and ends
// when the query is refused more, which is how all that works for it in this
// tier and below learns to stop. Close must be called.
func (m *Memory) budget(ctx context.Context, client, tier string, limit int64) (context.Context, *Budget) {
	ctx, cancel := context.WithCancelCause(ctx)
	b := &Budget{memory: m, limit: limit, tier: tier, cancel: cancel}
	m.mu.Lock()
	m.open[b] = struct{}{}
	b.client = m.enter(client)
	if m.process > 0 {
		b.cycles = m.heap().cycles
		if !m.watching {
			m.watching = true
			go m.watch()
		}
	}
	m.mu.Unlock()
	return context.WithValue(ctx, budgetKey{}, b), b
}

// enter returns the account of a client, for one query more. Memory.mu is held.
func (m *Memory) enter(client string) *clientMemory {
	c := m.clients[client]
	if c == nil {
		c = &clientMemory{name: client}
		m.clients[client] = c
	}
	c.open++
	return c
}

// leave forgets a query that is over. Memory.mu is held.
func (m *Memory) leave(b *Budget) {
	delete(m.open, b)
	if b.client.open--; b.client.open == 0 {
		delete(m.clients, b.client.name)
	}
}

// part opens the account of a part of what the query does. What it holds the
// query holds, and no longer than until the part is closed: what is still at work
// for it then is refused more. It has the limits of the query.
func (b *Budget) part() *Budget {
	if b == nil {
		return nil
	}
	return &Budget{whole: b, cancel: func(error) {}}
}

// partIn is part for what is done in a context, which carries it, and ends with
// it.
func (b *Budget) partIn(ctx context.Context) (context.Context, *Budget) {
	p := b.part()
	if p == nil {
		return ctx, nil
	}
	ctx, p.cancel = context.WithCancelCause(ctx)
	return context.WithValue(ctx, budgetKey{}, p), p
}

// budgetFrom returns the budget of the query that ctx belongs to, or nil.
func budgetFrom(ctx context.Context) *Budget {
	b, _ := ctx.Value(budgetKey{}).(*Budget)
	return b
}

// Reserve notes that the query is about to hold n bytes more. It returns a
// *LimitError, and cancels the query, if that is too much for one query, or if
// all queries hold too much and this one holds most. What was reserved stays
// so until it is released, refused or not.
func (b *Budget) Reserve(n int64) error {
	if b == nil || n <= 0 {
		return nil
	}
	b.mu.Lock()
	if b.closed || b.err != nil {
		defer b.mu.Unlock()
		return b.ended()
	}
	b.held += n
	if b.whole != nil {
		defer b.mu.Unlock()
		return b.whole.Reserve(n)
	}
	b.peak = max(b.peak, b.held)
	held := b.held
	total, mine := b.memory.held.Add(n), b.client.held.Add(n)
	b.mu.Unlock()
	if b.limit > 0 && held > b.limit {
		b.fail(&LimitError{What: "bytes held by one query", Flag: flagMaxBytes, Limit: b.limit, Value: held, Tier: b.tier})
		return b.Err()
	}
	// What a client holds too much is not what others have to let go of.
	if most := b.memory.each.Load(); most > 0 && mine > most {
		b.memory.relieveOf(b.client)
	}
	if most := b.memory.total.Load(); most > 0 && total > most {
		b.memory.relieve()
	}
	return b.Err()
}

// ended is what a query gets that asks for more after its end.
func (b *Budget) ended() error {
	if b.err != nil {
		return b.err
	}
	return promql.ErrQueryCanceled("query execution")
}

// Release notes that the query holds n bytes less.
func (b *Budget) Release(n int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(-min(n, b.held))
}

// change adds to what is held. Budget.mu is held.
func (b *Budget) change(n int64) {
	b.held += n
	if b.whole == nil {
		b.memory.held.Add(n)
		b.client.held.Add(n)
		return
	}
	b.whole.mu.Lock()
	defer b.whole.mu.Unlock()
	b.whole.change(max(n, -b.whole.held))
}

// settle notes that of all that the query held, n bytes are left.
func (b *Budget) settle(n int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.change(n - b.held)
}

// Err returns the *LimitError that ended the query, if one did.
func (b *Budget) Err() error {
	if b == nil {
		return nil
	}
	if b.whole != nil {
		return b.whole.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return nil
	}
	return b.err
}

// Close releases all that the query holds, and cancels what is still at work
// for it. It may be called more than once.
func (b *Budget) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	done := b.closed
	b.closed = true
	b.change(-b.held)
	peak := b.peak
	b.mu.Unlock()
	b.cancel(nil)
	if !done && b.whole == nil {
		b.memory.metrics.peakBytes.Observe(float64(peak))
		b.memory.mu.Lock()
		b.memory.leave(b)
		b.memory.mu.Unlock()
	}
}

// fail ends the query, unless it has ended.
func (b *Budget) fail(err *LimitError) {
	b.mu.Lock()
	if b.err != nil || b.closed {
		b.mu.Unlock()
		return
	}
	b.err = err
	b.mu.Unlock()
	b.cancel(err)
}

// relieve fails the query that holds most, if what all hold is too much. What
// failed queries still hold is as good as released: they end within
// milliseconds, and no second query has to end for them.
func (m *Memory) relieve() {
	m.mu.Lock()
	defer m.mu.Unlock()
	biggest, size, dying := m.biggest(nil)
	most := m.total.Load()
	if held := m.held.Load() - dying; most > 0 && held > most && size > smallQuery {
		biggest.fail(&LimitError{What: "bytes held by all queries", Flag: flagMaxTotalBytes, Limit: most, Value: held, Tier: biggest.tier})
	}
}

// relieveOf is relieve for what the queries of one client hold: it costs nobody
// else.
func (m *Memory) relieveOf(c *clientMemory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	biggest, size, dying := m.biggest(c)
	most := m.each.Load()
	if held := c.held.Load() - dying; most > 0 && held > most && size > smallQuery {
		biggest.fail(&LimitError{What: "bytes held by all queries of client " + display(c.name), Flag: flagMaxClientBytes, Limit: most, Value: held, Tier: biggest.tier})
	}
}

// biggest returns the query that holds most of those that go on, what it holds,
// and what those hold that failed; of one client if there is one.
func (m *Memory) biggest(of *clientMemory) (b *Budget, size, dying int64) {
	for q := range m.open {
		if of != nil && q.client != of {
			continue
		}
		q.mu.Lock()
		switch {
		case q.err != nil:
			dying += q.held
		case q.held > size || b == nil:
			b, size = q, q.held
		}
		q.mu.Unlock()
	}
	return b, size, dying
}

// Sizes, in bytes, of what Go needs besides the contents.
const (
	pointBytes = 16
	// seriesBytes is what the stock engine and the TSDB keep for a series that a
	// selector matches: its entry, the references to its chunks and what wraps
	// them. Measured: 250 to 420.
	seriesBytes = 400
	// resultBytes is what a series of an answer takes.
	resultBytes = 96
)

// labelBytes estimates the size of a label set.
func labelBytes(l labels.Labels) int64 { return int64(l.ByteSize()) }

// sizeOfSeries estimates what a series of an answer takes.
func sizeOfSeries(s promql.Series) int64 {
	n := resultBytes + labelBytes(s.Metric) + pointBytes*int64(len(s.Floats))
	for _, p := range s.Histograms {
		n += pointBytes + int64(p.H.Size())
	}
	return n
}

// sizeOfMatrix estimates what series of an answer take.
func sizeOfMatrix(m promql.Matrix) (n int64) {
	for _, s := range m {
		n += sizeOfSeries(s)
	}
	return n
}

// sizeOfValue estimates what an answer takes.
func sizeOfValue(v parser.Value) int64 {
	var n int64
	switch v := v.(type) {
	case promql.Matrix:
		n = sizeOfMatrix(v)
	case promql.Vector:
		for _, s := range v {
			n += resultBytes + labelBytes(s.Metric)
			if s.H != nil {
				n += int64(s.H.Size())
			}
		}
	}
	return n
}

// stringBytes is what a string takes besides its characters.
const stringBytes = 16

// sizeOfNames estimates what a list of names takes.
func sizeOfNames(names []string) (n int64) {
	for _, name := range names {
		n += stringBytes + int64(len(name))
	}
	return n
}

// sizeOfMetadata estimates what metadata take.
func sizeOfMetadata(families map[string][]metadata.Metadata) (n int64) {
	for name, entries := range families {
		n += resultBytes + int64(len(name))
		for _, e := range entries {
			n += 3*stringBytes + int64(len(e.Help)+len(e.Unit))
		}
	}
	return n
}

// sizeOfExemplars estimates what exemplars take.
func sizeOfExemplars(results []exemplar.QueryResult) (n int64) {
	for _, r := range results {
		n += resultBytes + labelBytes(r.SeriesLabels)
		for _, e := range r.Exemplars {
			n += 3*pointBytes + labelBytes(e.Labels)
		}
	}
	return n
}

// heldSet is a ResultSet that counts as held until it is closed.
type heldSet struct {
	ResultSet
	budget *Budget
}

// Close implements ResultSet.
func (s heldSet) Close() {
	s.ResultSet.Close()
	s.budget.Close()
}
