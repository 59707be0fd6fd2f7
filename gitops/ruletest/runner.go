package ruletest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/querytree"
)

type (
	histogramT      = histogram.Histogram
	floatHistogramT = histogram.FloatHistogram
)

// Runner runs rule unit tests. It is safe for concurrent use.
type Runner struct{}

var _ planet.TestRunner = Runner{}

// RunTest implements planet.TestRunner.
func (Runner) RunTest(ctx context.Context, t planet.RuleTest) (failures []planet.TestFailure) {
	r, err := open(t)
	if err == nil {
		failures = r.run(ctx)
	}
	if err := errors.Join(err, r.close()); err != nil {
		failures = append(failures, planet.TestFailure{Message: err.Error()})
	}
	return failures
}

// running is a test that runs: its nodes, in the order in which rules are
// evaluated.
type running struct {
	t     planet.RuleTest
	nodes []*node
	// engine and top answer expressions.
	engine promql.QueryEngine
	top    storage.Queryable
	// fired are the alerts that fire, by the index of a case.
	fired map[int][]alert
}

// alert is one that fires.
type alert struct{ labels, annotations labels.Labels }

// open makes the nodes of a test. What it returns must be closed, also upon an
// error.
func open(t planet.RuleTest) (*running, error) {
	r := &running{t: t, fired: map[int][]alert{}}
	if t.Single != nil {
		n, err := r.node(*t.Single)
		if err != nil {
			return r, err
		}
		r.engine, r.top = n.engine, n.store.Storage()
		n.query = rules.EngineQueryFunc(n.engine, n.store.Storage())
		return r, n.load(t, t.Single.Rules)
	}
	return r, r.tree()
}

func (r *running) node(of planet.TestNode) (*node, error) {
	n, err := newNode(r.t, of)
	if err == nil {
		r.nodes = append(r.nodes, n)
	}
	return n, err
}

// tree makes leaves, zones and root.
func (r *running) tree() error {
	below := map[string][]querytree.Child{} // by the name of the parent
	for _, of := range r.t.Leaves {
		n, err := r.node(of)
		if err != nil {
			return fmt.Errorf("leaf %s: %w", of.Name, err)
		}
		if n.child, err = n.local(querytree.TierLeaf, ""); err != nil {
			return err
		}
		n.query = rules.EngineQueryFunc(n.engine, n.store.Storage())
		if err := n.load(r.t, of.Rules); err != nil {
			return fmt.Errorf("leaf %s: %w", of.Name, err)
		}
		below[of.Parent] = append(below[of.Parent], n.child)
	}
	for _, of := range r.t.Zones {
		m, err := r.above(of, querytree.TierZone, below[of.Name])
		if err != nil {
			return fmt.Errorf("zone %s: %w", of.Name, err)
		}
		below[of.Parent] = append(below[of.Parent], m)
	}
	m, err := r.above(r.t.Root, querytree.TierRoot, below[""])
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	r.engine, r.top = querytree.Engine{}, m
	return nil
}

// above makes a zone or the root.
func (r *running) above(of planet.TestNode, tier string, children []querytree.Child) (*querytree.Mixer, error) {
	n, err := r.node(of)
	if err != nil {
		return nil, err
	}
	m, err := n.over(r.t, tier, children)
	if err != nil {
		return nil, err
	}
	n.query = rules.EngineQueryFunc(querytree.Engine{}, m)
	return m, n.load(r.t, of.Rules)
}

// close releases all storages.
func (r *running) close() (err error) {
	for _, n := range r.nodes {
		err = errors.Join(err, n.close())
	}
	return err
}

// last returns the time of the last case.
func (r *running) last() (last time.Duration) {
	for _, a := range r.t.Alerts {
		last = max(last, a.Time)
	}
	for _, e := range r.t.Exprs {
		last = max(last, e.Time)
	}
	return last
}

func (r *running) run(ctx context.Context) (failures []planet.TestFailure) {
	end := r.t.Start.Add(r.last())
	for at := r.t.Start; !at.After(end); at = at.Add(r.t.Evaluation) {
		if err := ctx.Err(); err != nil {
			return append(failures, planet.TestFailure{Message: fmt.Sprintf("it was ended at %s of %s: %v", at.Sub(r.t.Start), r.last(), err)})
		}
		if errs := r.step(ctx, at); len(errs) > 0 {
			return append(failures, planet.TestFailure{Message: fmt.Sprintf("at %s: %v", at.Sub(r.t.Start), errors.Join(errs...))})
		}
		for i, a := range r.t.Alerts {
			if due := r.t.Start.Add(a.Time); !due.Before(at) && due.Before(at.Add(r.t.Evaluation)) {
				r.fired[i] = r.firing(a.Alert)
			}
		}
	}
	for i, a := range r.t.Alerts {
		failures = append(failures, r.checkAlert(a, r.fired[i])...)
	}
	for _, e := range r.t.Exprs {
		failures = append(failures, r.checkExpr(ctx, e)...)
	}
	return failures
}

// step loads the samples up to a time and evaluates the rules then.
func (r *running) step(ctx context.Context, at time.Time) (errs []error) {
	for _, n := range r.nodes {
		n.store.WithSamplesTill(at, func(err error) {
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	if len(errs) > 0 {
		return errs
	}
	for _, n := range r.nodes {
		for _, err := range n.eval(ctx, at) {
			if n.name != "" {
				err = fmt.Errorf("%s: %w", n.name, err)
			}
			errs = append(errs, err)
		}
	}
	return errs
}

// firing returns the alerts of a name that fire, as they would be sent: with the
// identity of the tier.
func (r *running) firing(name string) (out []alert) {
	for _, n := range r.nodes {
		for _, g := range n.groups {
			for _, rule := range g.Rules() {
				ar, ok := rule.(*rules.AlertingRule)
				if !ok || ar.Name() != name {
					continue
				}
				for _, a := range ar.ActiveAlerts() {
					if a.State == rules.StateFiring {
						out = append(out, alert{n.identified(a.Labels), a.Annotations.Copy()})
					}
				}
			}
		}
	}
	return out
}

func (r *running) checkAlert(a planet.AlertTest, got []alert) []planet.TestFailure {
	var want []alert
	for _, e := range a.Expected {
		b := labels.NewBuilder(labels.FromMap(e.Labels))
		b.Set(labels.AlertName, a.Alert)
		want = append(want, alert{b.Labels(), labels.FromMap(e.Annotations)})
	}
	w, g := alertLines(want), alertLines(got)
	if slices.Equal(w, g) {
		return nil
	}
	return []planet.TestFailure{{At: a.At, Message: fmt.Sprintf("alert %s at %s: expected %s, got %s", a.Alert, a.Time, listed(w), listed(g))}}
}

// alertLines writes alerts, sorted.
func alertLines(of []alert) (out []string) {
	for _, a := range of {
		line := a.labels.String()
		if !a.annotations.IsEmpty() {
			line += " with " + a.annotations.String()
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

func listed(lines []string) string {
	if len(lines) == 0 {
		return "nothing"
	}
	return strings.Join(lines, ", ")
}

// sample is one of an answer.
type sample struct {
	labels    labels.Labels
	value     float64
	histogram string
}

func (s sample) String() string {
	if s.histogram != "" {
		return s.labels.String() + " " + s.histogram
	}
	return s.labels.String() + " " + strconv.FormatFloat(s.value, 'g', -1, 64)
}

func (r *running) checkExpr(ctx context.Context, e planet.ExprTest) []planet.TestFailure {
	fail := func(format string, args ...any) []planet.TestFailure {
		return []planet.TestFailure{{At: e.At, Message: fmt.Sprintf("%s at %s: ", e.Expr, e.Time) + fmt.Sprintf(format, args...)}}
	}
	want, err := expected(e)
	if err != nil {
		return fail("%v", err)
	}
	got, err := r.ask(ctx, e)
	if err != nil {
		return fail("%v", err)
	}
	if !slices.EqualFunc(want, got, r.same) {
		return fail("expected %s, got %s", listed(samples(want)), listed(samples(got)))
	}
	return nil
}

func samples(of []sample) (out []string) {
	for _, s := range of {
		out = append(out, s.String())
	}
	return out
}

// same reports whether two samples are the same, up to the last bit if the test is
// fuzzy. NaNs are never, as in promtool. Over a tree values are added up in another
// order, so that the last digits may differ.
func (r *running) same(a, b sample) bool {
	if !labels.Equal(a.labels, b.labels) || a.histogram != b.histogram {
		return false
	}
	switch x, y := a.value, b.value; {
	case a.histogram != "" || x == y:
		return true
	case r.t.Single == nil:
		return math.Abs(x-y) <= 1e-12*max(math.Abs(x), math.Abs(y))
	default:
		return r.t.Fuzzy && (math.Nextafter(x, math.Inf(-1)) == y || math.Nextafter(x, math.Inf(1)) == y)
	}
}

func bySample(a, b sample) int {
	return cmp.Or(labels.Compare(a.labels, b.labels), cmp.Compare(a.value, b.value))
}

// expected parses what an expression must give.
func expected(e planet.ExprTest) (out []sample, err error) {
	p := querytree.NewParser()
	for _, s := range e.Expected {
		l := labels.EmptyLabels()
		if s.Labels != "" {
			if l, err = p.ParseMetric(s.Labels); err != nil {
				return nil, fmt.Errorf("labels %q: %w", s.Labels, err)
			}
		}
		parsed := sample{labels: l, value: s.Value}
		if s.Histogram != "" {
			_, values, err := p.ParseSeriesDesc("{} " + s.Histogram)
			if err != nil || len(values) != 1 || values[0].Histogram == nil {
				return nil, fmt.Errorf("labels %q: %q is not one histogram: %w", s.Labels, s.Histogram, cmp.Or(err, errors.New("write one")))
			}
			parsed = sample{labels: l, histogram: promqltest.HistogramTestExpression(values[0].Histogram)}
		}
		out = append(out, parsed)
	}
	slices.SortFunc(out, bySample)
	return out, nil
}

// ask evaluates an expression at the top.
func (r *running) ask(ctx context.Context, e planet.ExprTest) (out []sample, err error) {
	at := r.t.Start.Add(e.Time)
	q, err := r.engine.NewInstantQuery(ctx, r.top, nil, e.Expr, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	switch v := res.Value.(type) {
	case promql.Scalar:
		out = append(out, sample{value: v.V})
	case promql.Vector:
		for _, s := range v {
			one := sample{labels: s.Metric.Copy(), value: s.F}
			if s.H != nil {
				one.histogram = promqltest.HistogramTestExpression(s.H)
			}
			out = append(out, one)
		}
	default:
		return nil, fmt.Errorf("it gives a %s: write an expression that gives samples or a number", res.Value.Type())
	}
	slices.SortFunc(out, bySample)
	return out, nil
}
