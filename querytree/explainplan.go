package querytree

import (
	"context"
	"fmt"
	"sync"
)

// Bounds of explaining a plan over all tiers below.
const (
	// maxExplainers is how many children are asked for their plan of a fragment;
	// the others' are alike.
	maxExplainers = 64
	// explainersAtOnce is how many are asked at the same time.
	explainersAtOnce = 32
)

// explainPlan tells the plan, with those of the children, and asks for no data.
func (e *execution) explainPlan(ctx context.Context, t *trail) Report {
	x := t.explanation()
	turns := make(chan struct{}, explainersAtOnce)
	var wg sync.WaitGroup
	for i := range x.Fragments {
		f := &x.Fragments[i]
		req := e.explainRequest(*f)
		asked := 0
		for j := range f.Children {
			row := &f.Children[j]
			m, ok := e.member(row.Child)
			if row.Verdict != Asked || !ok || !m.Description.Has(FeatureExplain) {
				continue
			}
			if asked++; asked > maxExplainers {
				continue
			}
			wg.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				e.explainBelow(ctx, m, req, row)
				if f.Kind == "raw" && row.Below != nil {
					row.Below.ofRaw()
				}
			})
		}
		if asked > maxExplainers {
			f.Note = fmt.Sprintf("%d of %d children were asked for their plans; the others' are alike", maxExplainers, asked)
		}
	}
	wg.Wait()
	x.bound(maxExplained)
	x.Queued, x.Planned = 0, 0
	report := e.prune.report(e.req.Detail)
	report.Explanation = x
	return report
}

// explainRequest returns what a child is asked in order to explain a fragment.
// Raw series are explained as a query that reads them.
func (e *execution) explainRequest(f FragmentExplanation) ExecRequest {
	req := e.req
	req.Options = e.ask.below()
	req.Query, req.Ops = f.Query, f.Ops
	if f.Kind != "raw" {
		req.Start, req.End = f.Start, f.End
		if f.Step > 0 {
			req.Step = f.Step
		}
		return req
	}
	req.NoPushdown, req.Lookback = true, 1
	req.Start, req.End = explainableRange(f.Start, f.End, e.req.Start, e.req.End)
	req.Step = max(req.End-req.Start, 1)
	return req
}

func (e *execution) member(name string) (Member, bool) {
	for _, m := range e.members {
		if m.Description.Name() == name {
			return m, true
		}
	}
	return Member{}, false
}

// explainOps asks for several operators at once if the child knows how, as
// fragmentRun.exec does.
func explainOps(ctx context.Context, m Member, req ExecRequest) (ResultSet, error) {
	if len(req.Ops) > 0 && !m.Description.Has(FeatureOps) {
		return execEach(ctx, m.Child, req, req.Ops)
	}
	return m.Child.Exec(ctx, req)
}

// ofRaw takes out of the explanation of a query that stands for a request for raw
// series what only queries have.
func (x *Explanation) ofRaw() {
	x.Cuts, x.Residual, x.Step = nil, "", 0
	for i := range x.Fragments {
		x.Fragments[i].Why = whyAbove
	}
}

// explainBelow asks one child for its plan.
func (e *execution) explainBelow(ctx context.Context, m Member, req ExecRequest, row *EdgeExplanation) {
	x, err := watched(ctx, e.ask.soft, func(ctx context.Context) (*Explanation, error) {
		set, err := explainOps(ctx, m, req)
		if err != nil {
			return nil, err
		}
		defer set.Close()
		for set.Next() {
		}
		return set.Report().Explanation, set.Err()
	})
	if err != nil {
		row.Failed = err.Error()
		return
	}
	row.Below = x
}
