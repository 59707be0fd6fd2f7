package rollup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Unhelped is what was asked for and no rule would answer, for one reason.
type Unhelped struct {
	Why string
	Cost
	// Example is one of the queries.
	Example string
}

// Proposal is a rule that would answer what was asked for.
type Proposal struct {
	Rule *Rule
	// Cost is what was asked for that the rule has, with steps of any age and
	// alignment.
	Cost
	// Saved is the part that would have been answered from the rule, Aligned the
	// one if queries' starts were moved to multiples of their steps.
	Saved, Aligned Cost
	// Series is the largest number of series that an answer of it alone had; zero
	// if it was never asked for alone as it is.
	Series int64
	// Examples are some of the queries.
	Examples []string
}

// Advice is what an Advisor proposes.
type Advice struct {
	// Total is of all queries.
	Total Cost
	// Rules are the proposals, those first that save most.
	Rules []Proposal
	// Unhelped are the rest, what took longest first.
	Unhelped []Unhelped
}

// units are the distances of points that are proposed, shortest first.
var units = []time.Duration{
	5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
}

// unitOf returns the largest of the units that durations are multiples of, or zero.
func unitOf(of ...time.Duration) time.Duration {
	for _, u := range slices.Backward(units) {
		if !slices.ContainsFunc(of, func(d time.Duration) bool { return d%u != 0 }) {
			return u
		}
	}
	return 0
}

// giveUp drops the half of what is asked for that took least.
func (a *Advisor) giveUp() {
	keys := slices.Collect(maps.Keys(a.wants))
	slices.SortFunc(keys, func(x, y string) int { return a.wants[x].compare(a.wants[y]) })
	for _, key := range keys[:len(keys)/2] {
		w := a.wants[key]
		a.unhelped(fmt.Sprintf("there are more than %d different aggregations in the log: those that took least were not looked at", maxWants), w.example, w.cost())
		delete(a.wants, key)
	}
}

func (w *want) cost() (c Cost) {
	for _, d := range w.asked {
		c.add(d.Cost)
	}
	return c
}

func (w *want) compare(o *want) int {
	a, b := w.cost(), o.cost()
	return cmp.Or(cmp.Compare(a.Duration, b.Duration), cmp.Compare(a.Times, b.Times), cmp.Compare(w.example, o.example))
}

// plan is a rule in the making, with what it is to answer.
type plan struct {
	text     string
	query    query
	wants    []*want
	answered map[pattern]*demand
	series   int64
}

func planOf(text string, q query, of ...*want) *plan {
	p := &plan{text: text, query: q, answered: map[pattern]*demand{}}
	for _, w := range of {
		p.take(w)
	}
	return p
}

func (p *plan) take(w *want) {
	p.wants = append(p.wants, w)
	for pat, d := range w.asked {
		if p.answered[pat] == nil {
			p.answered[pat] = &demand{}
		}
		to := p.answered[pat]
		to.Cost.add(d.Cost)
		to.old, to.age = to.old+d.old, max(to.age, d.age)
	}
}

func (p *plan) times() (n int64) {
	for _, w := range p.wants {
		n += w.times
	}
	return n
}

// Advise proposes rules for what was asked so far.
func (a *Advisor) Advise() Advice {
	out := Advice{Total: a.total}
	unhelped := map[string]*Unhelped{}
	for why, u := range a.reasons {
		own := *u
		unhelped[why] = &own
	}
	leave := func(why string, w *want, c Cost) {
		u := unhelped[why]
		if u == nil {
			u = &Unhelped{Why: why, Example: w.example}
			unhelped[why] = u
		}
		u.add(c)
	}
	wants, known := a.unanswered()
	for r, ws := range known {
		for _, w := range ws {
			leave(fmt.Sprintf("rollup %q answers it already, where times are multiples of %s", r.Name, model.Duration(r.Interval*int64(time.Millisecond))), w, w.cost())
		}
	}
	names := newNames(a.cfg.Have)
	for _, p := range a.absorb(generalise(wants)) {
		if p.times() < a.cfg.MinTimes {
			for _, w := range p.wants {
				leave(fmt.Sprintf("it was asked for less than %d times", a.cfg.MinTimes), w, w.cost())
			}
			continue
		}
		proposal, why := a.propose(p, names)
		if why != "" {
			for _, w := range p.wants {
				leave(why, w, w.cost())
			}
			continue
		}
		out.Rules = append(out.Rules, proposal)
	}
	slices.SortFunc(out.Rules, func(x, y Proposal) int {
		return cmp.Or(cmp.Compare(y.Saved.Duration, x.Saved.Duration), cmp.Compare(y.Aligned.Duration, x.Aligned.Duration),
			cmp.Compare(y.Times, x.Times), cmp.Compare(x.Rule.String(), y.Rule.String()))
	})
	for _, u := range unhelped {
		out.Unhelped = append(out.Unhelped, *u)
	}
	slices.SortFunc(out.Unhelped, func(x, y Unhelped) int {
		return cmp.Or(cmp.Compare(y.Duration, x.Duration), cmp.Compare(y.Times, x.Times), cmp.Compare(x.Why, y.Why))
	})
	return out
}

// unanswered returns what no rule that there is answers, in a fixed order, and
// what some do.
func (a *Advisor) unanswered() (wants []*want, known map[*Rule][]*want) {
	known = map[*Rule][]*want{}
next:
	for _, key := range slices.Sorted(maps.Keys(a.wants)) {
		w := a.wants[key]
		for _, r := range a.cfg.Have.byMetric[w.query.inner.metric] {
			if _, err := r.match(w.query, labels.EmptyLabels()); err == nil {
				known[r] = append(known[r], w)
				continue next
			}
		}
		wants = append(wants, w)
	}
	return wants, known
}

// generalise makes one plan of aggregations that differ in the values of their
// matchers only, as those of a dashboard with variables do: it keeps the labels.
func generalise(wants []*want) (out []*plan) {
	like := map[string][]*want{}
	var order []string
	for _, w := range wants {
		q := w.query
		key := fmt.Sprintf("%s %q %q %t %q %q", q.op, q.inner.metric, q.inner.key, q.without, unreserved(q.grouping), namesOf(q.inner.selector.LabelMatchers))
		if like[key] == nil {
			order = append(order, key)
		}
		like[key] = append(like[key], w)
	}
	for _, key := range order {
		if p := general(like[key]); p != nil {
			out = append(out, p)
			continue
		}
		for _, w := range like[key] {
			if text, err := w.query.ruleText(); err == nil {
				out = append(out, planOf(text, w.query, w))
			}
		}
	}
	return out
}

// general returns the plan that stands for all, or nil if there is none.
func general(like []*want) *plan {
	if len(like) < 2 {
		return nil
	}
	q := like[0].query
	var common []*labels.Matcher
	grouping := unreserved(q.grouping)
	for _, m := range q.inner.selector.LabelMatchers {
		everywhere := !slices.ContainsFunc(like, func(w *want) bool {
			return !slices.ContainsFunc(w.query.inner.selector.LabelMatchers, func(o *labels.Matcher) bool { return same(m, o) })
		})
		switch {
		case everywhere:
			common = append(common, m)
		case strings.HasPrefix(m.Name, reserved):
			return nil
		case q.without:
			grouping = slices.DeleteFunc(grouping, func(n string) bool { return n == m.Name })
		default:
			grouping = append(grouping, m.Name)
		}
	}
	text := q.unshifted(common, grouped(grouping, q.without))
	made, err := queryOf(text)
	if err != nil {
		return nil
	}
	if text, err = made.ruleText(); err != nil {
		return nil
	}
	return planOf(text, made, like...)
}

func queryOf(text string) (query, error) {
	e, err := newParser().ParseExpr(text)
	if err != nil {
		return query{}, err
	}
	n, ok := e.(*parser.AggregateExpr)
	if !ok {
		return query{}, fmt.Errorf("%s is not an aggregation", text)
	}
	return askedFor(n)
}

func namesOf(ms []*labels.Matcher) (out []string) {
	for _, m := range ms {
		out = append(out, m.Name)
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// maxLike bounds how many plans over one metric are compared with one another.
const maxLike = 500

// absorb leaves out plans that others answer. Only those that were asked for often
// take others in, since they are larger.
func (a *Advisor) absorb(plans []*plan) (out []*plan) {
	byMetric := map[string][]*plan{}
	for _, p := range plans {
		byMetric[p.query.inner.metric] = append(byMetric[p.query.inner.metric], p)
	}
	for _, metric := range slices.Sorted(maps.Keys(byMetric)) {
		out = append(out, a.absorbLike(byMetric[metric])...)
	}
	return out
}

func (a *Advisor) absorbLike(plans []*plan) (out []*plan) {
	wide := map[*plan]*Rule{}
	for _, p := range plans {
		if r, err := (entry{Expr: p.text, Interval: "1m", Keep: map[string]keepList{Root: {{For: "1d"}}}}).rule(newParser()); err == nil {
			wide[p] = r
		}
	}
	often := func(p *plan) bool { return p.times() >= a.cfg.MinTimes }
	slices.SortStableFunc(plans, func(x, y *plan) int {
		if often(x) != often(y) {
			if often(x) {
				return -1
			}
			return 1
		}
		rx, ry := wide[x], wide[y]
		if rx == nil || ry == nil {
			return 0
		}
		return cmp.Or(byWidth(ry, rx), cmp.Compare(len(ry.Ops), len(rx.Ops)), cmp.Compare(len(rx.matchers), len(ry.matchers)), cmp.Compare(x.text, y.text))
	})
next:
	for _, p := range plans {
		for _, o := range out[:min(len(out), maxLike)] {
			if r := wide[o]; r != nil && often(o) {
				if _, err := r.match(p.query, labels.EmptyLabels()); err == nil {
					for _, w := range p.wants {
						o.take(w)
					}
					continue next
				}
			}
		}
		out = append(out, p)
	}
	return out
}
