package querytree

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/promql"
)

// Gate bounds the number of queries that a tier evaluates at the same time. It
// is a promql.QueryTracker, so that the stock engine and the Mixer can share
// one. It is safe for concurrent use.
type Gate struct {
	slots chan struct{}
}

// NewGate returns a gate for n queries at a time.
func NewGate(n int) *Gate { return &Gate{slots: make(chan struct{}, n)} }

// Enter waits for a slot until ctx ends, and returns the function that gives it
// back.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots }, nil
	default:
	}
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots }, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, promql.ErrQueryCanceled("while waiting for one of the slots of --query.max-concurrency")
		}
		return nil, promql.ErrQueryTimeout(fmt.Sprintf("waiting for one of the %d slots of --query.max-concurrency", cap(g.slots)))
	}
}

// GetMaxConcurrent implements promql.QueryTracker.
func (g *Gate) GetMaxConcurrent() int { return cap(g.slots) }

// Insert implements promql.QueryTracker.
func (g *Gate) Insert(ctx context.Context, _ string) (int, error) {
	_, err := g.Enter(ctx)
	return 0, err
}

// Delete implements promql.QueryTracker.
func (g *Gate) Delete(int) { <-g.slots }

// Close implements promql.QueryTracker.
func (g *Gate) Close() error { return nil }
