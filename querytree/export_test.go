package querytree

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"
)

// SetPartSteps makes the parts that a query is evaluated in small.
func (l *Local) SetPartSteps(n int) { l.partSteps = n }

// OnPart has f called with the number of each part that is taken; what it
// returns is called once the part has been evaluated.
func (l *Local) OnPart(f func(number int) func()) { l.onPart = f }

// BusyCores returns the number of cores in use.
func (l *Local) BusyCores() int64 { return l.cfg.Cores.busy.Load() }

// Occupy notes evaluations that do not end.
func (l *Local) Occupy(n int) { l.cfg.Cores.busy.Add(int64(n)) }

// PlanOf returns the first plan of a request, as Exec would make it.
func (m *Mixer) PlanOf(req ExecRequest) (*Plan, error) {
	if req.Lookback == 0 {
		req.Lookback = m.cfg.Lookback.Milliseconds()
	}
	e, err := m.newExecution(req, nil, nil)
	if err != nil {
		return nil, err
	}
	return e.plan, nil
}

// MembersNow returns the children that a query would consider.
func (m *Mixer) MembersNow() []Member { return m.members(0, math.MaxInt64, nil) }

// Whole reports whether the tier has nothing to do but to merge answers.
func (pl *Plan) Whole() bool {
	_, ok := pl.wholeQuery()
	return ok
}

// Grid returns the evaluation times of a fragment.
func (f *Fragment) Grid() (start, end, step int64) { return f.grid.start, f.grid.end, f.grid.step }

// Guards returns the fragments that must have no result.
func (f *Fragment) Guards() []*Fragment { return f.guards }

// SeriesWise reports whether the value of e at a series depends on it alone.
func SeriesWise(e parser.Expr) bool { return seriesWiseSelector(e) != nil }

// UsesAt reports whether e has an @ modifier.
func UsesAt(e parser.Expr) bool { return usesAt(e) }
