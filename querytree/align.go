package querytree

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql/parser"
)

// Aligner is a Rewriter that knows at which times rollups have points.
type Aligner interface {
	// Distance returns the distance, in milliseconds, of the points that an
	// aggregation would be answered from if all its times were multiples of it;
	// zero if there is no such rollup. It depends on the rules and on how old the
	// first time is, not on which points are there.
	Distance(n *parser.AggregateExpr, at RewriteAt) int64
}

// Alignment tells what became of the times of a range query that asked for them
// to be moved to where rollups have points.
type Alignment struct {
	// Start, End and Step are those that were used, in milliseconds.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	Step  int64 `json:"step"`
	// AskedStart, AskedEnd and AskedStep are those of the request.
	AskedStart int64 `json:"askedStart"`
	AskedEnd   int64 `json:"askedEnd"`
	AskedStep  int64 `json:"askedStep"`
	// Why says why the times are as they were; empty if they were moved, or
	// needed not to be.
	Why string `json:"why,omitempty"`
}

// align moves the times of a range query that says so to where the rollups of its
// aggregations have points: the step is rounded up to a multiple of their
// distance, the start and the end are rounded down to multiples of that step. A
// step that would be doubled, or more, is not rounded. What it returns says what
// was done, nil if the query does not ask for it.
func (m *Mixer) align(req ExecRequest) (ExecRequest, *Alignment) {
	if !req.Align || req.Step <= 0 {
		return req, nil
	}
	a := &Alignment{Start: req.Start, End: req.End, Step: req.Step, AskedStart: req.Start, AskedEnd: req.End, AskedStep: req.Step}
	distance := m.distance(req)
	step := upTo(req.Step, max(distance, 1))
	switch {
	case distance == 0:
		a.Why = "there is no rollup for any part of it in the rules that this tier has"
	case step >= 2*req.Step:
		a.Why = fmt.Sprintf("the step would have to be %s, which is not less than twice the one asked for", time.Duration(step)*time.Millisecond)
	default:
		a.Start, a.End, a.Step = downTo(req.Start, step), downTo(req.End, step), step
	}
	req.Start, req.End, req.Step = a.Start, a.End, a.Step
	return req, a
}

// distance returns, whether or not the request does without rollups, so that it
// can be compared with itself, the least time of which the distances of the rollups of all
// aggregations are divisors; zero if there are none.
func (m *Mixer) distance(req ExecRequest) (out int64) {
	w, ok := m.cfg.Rewriter.(Aligner)
	if !ok {
		return 0
	}
	expr, err := m.parse(req.Query)
	if err != nil {
		return 0
	}
	at := RewriteAt{Start: req.Start, End: req.End, Step: req.Step, Lookback: req.Lookback, Partial: !req.Strict}
	if at.Lookback == 0 {
		at.Lookback = m.cfg.Lookback.Milliseconds()
	}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		n, ok := node.(*parser.AggregateExpr)
		if !ok || inSubquery(path) {
			return nil // the times of a subquery are multiples of its step anyway
		}
		if d := w.Distance(n, at); d > 0 {
			out = CommonDistance(out, d)
		}
		return nil
	})
	return out
}

func inSubquery(path []parser.Node) bool {
	for _, n := range path {
		if _, ok := n.(*parser.SubqueryExpr); ok {
			return true
		}
	}
	return false
}

// maxDistance bounds what distances are brought together to: no step is longer.
const maxDistance = int64(366 * 24 * time.Hour / time.Millisecond)

// CommonDistance returns the least time of which two distances of points are
// divisors; zero is no distance.
func CommonDistance(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	if a /= x; a > maxDistance/b {
		return maxDistance
	}
	return a * b
}

// upTo and downTo round to multiples of a step.
func upTo(t, step int64) int64 { return downTo(t+step-1, step) }

func downTo(t, step int64) int64 {
	r := t % step
	if r < 0 {
		r += step
	}
	return t - r
}

// String tells it to people.
func (a *Alignment) String() string {
	if a.Why != "" {
		return "times as asked for: " + a.Why
	}
	return fmt.Sprintf("%s to %s every %s", timestamp.Time(a.Start).UTC().Format(time.RFC3339), timestamp.Time(a.End).UTC().Format(time.RFC3339), time.Duration(a.Step)*time.Millisecond)
}
