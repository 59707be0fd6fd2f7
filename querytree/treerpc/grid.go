package treerpc

import (
	"fmt"

	"github.com/pandometrics/pando/querytree"
)

// maxSteps is the longest step grid accepted, far beyond what the HTTP API
// allows.
const maxSteps = 1 << 24

// grid is the step grid of an Exec request: steps times from start on, step
// milliseconds apart.
type grid struct {
	start, step int64
	steps       int
}

func newGrid(req querytree.ExecRequest) (grid, error) {
	switch {
	case req.Step < 0 || req.Lookback < 0:
		return grid{}, fmt.Errorf("exec request: negative step %d or lookback %d", req.Step, req.Lookback)
	case req.End < req.Start:
		return grid{}, fmt.Errorf("exec request: end %d before start %d", req.End, req.Start)
	case req.Step == 0 && req.End != req.Start:
		return grid{}, fmt.Errorf("exec request: no step between start %d and end %d", req.Start, req.End)
	case req.Step == 0:
		return grid{start: req.Start, step: 1, steps: 1}, nil
	}
	// Unsigned, since end-start may exceed an int64.
	n := uint64(req.End-req.Start) / uint64(req.Step)
	if n >= maxSteps {
		return grid{}, fmt.Errorf("exec request: %d steps, more than the %d allowed", n+1, maxSteps)
	}
	return grid{start: req.Start, step: req.Step, steps: int(n) + 1}, nil
}

// index returns the step of time t, and whether it is one.
func (g grid) index(t int64) (int, bool) {
	d := t - g.start
	if t < g.start || d < 0 || d%g.step != 0 || d/g.step >= int64(g.steps) {
		return 0, false
	}
	return int(d / g.step), true
}

func (g grid) time(i int) int64 { return g.start + int64(i)*g.step }
