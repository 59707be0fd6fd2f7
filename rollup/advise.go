package rollup

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Asked is one query as it was asked of a tier.
type Asked struct {
	Query string
	// Start and End are the first and last evaluation time, Step their distance;
	// zero for an instant.
	Start, End time.Time
	Step       time.Duration
	// Begun is when it was asked, Duration how long the answer took.
	Begun    time.Time
	Duration time.Duration
	// Series and Samples count the answer, Bytes what was moved for it.
	Series, Samples, Bytes int64
}

// Cost is what queries took. Where a query reads several selectors, each has an
// equal share in all but Times.
type Cost struct {
	// Times is how often they were asked.
	Times int64
	// Duration is how long the answers took, together.
	Duration time.Duration
	// Samples are those of the answers, Bytes what was moved for them, Steps the
	// evaluation times.
	Samples, Bytes, Steps int64
}

func (c *Cost) add(d Cost) {
	c.Times += d.Times
	c.Duration += d.Duration
	c.Samples += d.Samples
	c.Bytes += d.Bytes
	c.Steps += d.Steps
}

// share returns part of a cost: so many of the steps.
func (c Cost) share(steps int64) Cost {
	if c.Steps == 0 {
		return Cost{}
	}
	f := float64(steps) / float64(c.Steps)
	return Cost{
		Times: c.Times, Duration: time.Duration(f * float64(c.Duration)), Samples: int64(f * float64(c.Samples)),
		Bytes: int64(f * float64(c.Bytes)), Steps: steps,
	}
}

// AdvisorConfig says what is proposed.
type AdvisorConfig struct {
	// Have are the rules that there are already; nil if there are none.
	Have *Rules
	// Tiers are those that are to keep the points; empty means the root.
	Tiers []string
	// MinTimes is how often a rule's aggregation must have been asked for; zero
	// means twice.
	MinTimes int64
	// Fresh is the age up to which there are no points yet; zero means two minutes.
	Fresh time.Duration
}

// Validate reports what cannot be used.
func (c AdvisorConfig) Validate() error {
	for _, tier := range c.Tiers {
		if tier != Leaf && tier != Zone && tier != Root {
			return fmt.Errorf("propose rollups: there is no tier %q: use %s", tier, strings.Join(Tiers(), ", "))
		}
	}
	if c.MinTimes < 0 || c.Fresh < 0 {
		return errors.New("propose rollups: the least number of times and the age of fresh samples must not be negative")
	}
	return nil
}

// Bounds of what an Advisor holds, however long the log is.
const (
	maxWants    = 20_000
	maxReasons  = 1_000
	maxParsed   = 2_000
	maxExample  = 300 // bytes
	maxPatterns = 64  // of evaluation times, of one aggregation
)

// Advisor proposes rules for queries that were asked. What it holds is bounded:
// when too many different aggregations are asked for, those that took the least
// are given up, and told of. It is not safe for concurrent use.
type Advisor struct {
	cfg    AdvisorConfig
	parser parser.Parser
	// parsed remembers the latest queries, which repeat.
	parsed  map[string]parsedQuery
	wants   map[string]*want
	reasons map[string]*Unhelped
	total   Cost
}

// parsedQuery is what is to know of a query's text.
type parsedQuery struct {
	err       error
	selectors int
	parts     []queryPart
	// reads is set if some selectors are in none of the parts; why says of the
	// first why not.
	why string
}

// queryPart is an aggregation in a query that a rule could answer.
type queryPart struct {
	key   string
	query query
	alone bool // it is the whole query
	// sub is the subquery that it is evaluated in, nil if there is none.
	sub *parser.SubqueryExpr
}

// want is an aggregation that was asked for.
type want struct {
	query query
	// example is one of the queries.
	example string
	// asked are the costs by when it was evaluated.
	asked map[pattern]*demand
	// series is how many it had when it was asked for alone; zero if it never was.
	series int64
	// times is of all patterns.
	times int64
}

// pattern says of evaluation times which distances of points have them, as the
// largest of units; zero if none has.
type pattern struct {
	unit time.Duration
	// aligned is the one if the query's start is moved to a multiple of its step.
	aligned time.Duration
}

// demand is what was asked for with one pattern.
type demand struct {
	Cost
	// old are the steps that were not fresh.
	old int64
	// age is how far back it looked.
	age time.Duration
}

// NewAdvisor returns an Advisor that knows of no query.
func NewAdvisor(cfg AdvisorConfig) (*Advisor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(cfg.Tiers) == 0 {
		cfg.Tiers = []string{Root}
	}
	if cfg.MinTimes == 0 {
		cfg.MinTimes = 2
	}
	if cfg.Fresh == 0 {
		cfg.Fresh = 2 * time.Minute
	}
	if cfg.Have == nil {
		cfg.Have = newRules(nil)
	}
	return &Advisor{cfg: cfg, parser: newParser(), parsed: map[string]parsedQuery{}, wants: map[string]*want{}, reasons: map[string]*Unhelped{}}, nil
}

// Add notes one query.
func (a *Advisor) Add(q Asked) {
	cost := Cost{Times: 1, Duration: q.Duration, Samples: q.Samples, Bytes: q.Bytes, Steps: stepsOf(q.Start, q.End, q.Step)}
	a.total.add(cost)
	p := a.parse(q.Query)
	switch {
	case p.err != nil:
		a.unhelped("it is not PromQL, or was cut when it was logged", q.Query, cost)
		return
	case q.Start.IsZero():
		a.unhelped("it was refused before it was evaluated", q.Query, cost)
		return
	case len(p.parts) == 0:
		a.unhelped(p.why, q.Query, cost)
		return
	}
	each := cost
	n := int64(max(p.selectors, 1))
	each.Duration, each.Samples, each.Bytes = cost.Duration/time.Duration(n), cost.Samples/n, cost.Bytes/n
	for _, part := range p.parts {
		a.note(part, q, each)
	}
	if rest := int64(p.selectors - len(p.parts)); rest > 0 && p.why != "" {
		cost.Duration, cost.Samples, cost.Bytes = each.Duration*time.Duration(rest), each.Samples*rest, each.Bytes*rest
		a.unhelped(p.why, q.Query, cost)
	}
}

// note adds a part of a query to what is asked for.
func (a *Advisor) note(part queryPart, q Asked, cost Cost) {
	w := a.wants[part.key]
	if w == nil {
		if len(a.wants) >= maxWants {
			a.giveUp()
		}
		w = &want{query: part.query, example: clipped(q.Query), asked: map[pattern]*demand{}}
		a.wants[part.key] = w
	}
	if part.alone {
		w.series = max(w.series, q.Series)
	}
	w.note(part, q, cost, a.cfg.Fresh)
}

func (w *want) note(part queryPart, q Asked, cost Cost, fresh time.Duration) {
	start, end, step := q.Start, q.End, q.Step
	if step <= 0 {
		end = start
	}
	p := pattern{}
	if s := part.sub; s != nil { // its times are multiples of its step, whatever the query's are
		start, end, step = start.Add(-s.OriginalOffset-s.Range), end.Add(-s.OriginalOffset), s.Step
		p.unit = unitOf(step, part.query.inner.offset)
		p.aligned = p.unit
		cost.Steps = stepsOf(start, end, step)
	} else {
		offset := part.query.inner.offset
		p.unit = unitOf(start.Sub(time.Unix(0, 0)), step, offset)
		if step > 0 {
			p.aligned = unitOf(step, offset)
		} else {
			p.aligned = p.unit
		}
	}
	d := w.asked[p]
	if d == nil {
		if len(w.asked) >= maxPatterns {
			p = pattern{}
		}
		if d = w.asked[p]; d == nil {
			d = &demand{}
			w.asked[p] = d
		}
	}
	w.times++
	d.Cost.add(cost)
	shift := part.query.inner.offset
	if until := q.Begun.Add(-fresh).Add(shift); until.Before(end) {
		end = until
	}
	if !end.Before(start) {
		d.old += min(stepsOf(start, end, step), cost.Steps)
	}
	d.age = max(d.age, q.Begun.Sub(start.Add(-shift)))
}

// stepsOf counts evaluation times.
func stepsOf(start, end time.Time, step time.Duration) int64 {
	if step <= 0 || end.Before(start) {
		return 1
	}
	return int64(end.Sub(start)/step) + 1
}

// unhelped notes a query, or what of it, no rule can answer.
func (a *Advisor) unhelped(why, example string, cost Cost) {
	u := a.reasons[why]
	if u == nil {
		if len(a.reasons) >= maxReasons {
			why = "other reasons"
		}
		if u = a.reasons[why]; u == nil {
			u = &Unhelped{Why: why, Example: clipped(example)}
			a.reasons[why] = u
		}
	}
	u.add(cost)
}

func clipped(s string) string {
	if len(s) <= maxExample {
		return strings.Clone(s)
	}
	for n := maxExample; ; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n] + "…"
		}
	}
}

// parse finds what a query aggregates, remembering what it found.
func (a *Advisor) parse(text string) parsedQuery {
	if p, ok := a.parsed[text]; ok {
		return p
	}
	if len(a.parsed) >= maxParsed {
		clear(a.parsed)
	}
	p := a.partsOf(text)
	a.parsed[strings.Clone(text)] = p
	return p
}

func (a *Advisor) partsOf(text string) (p parsedQuery) {
	if len(text) > maxExpr {
		return parsedQuery{err: errors.New("too long")}
	}
	e, err := a.parser.ParseExpr(text)
	if err != nil {
		return parsedQuery{err: err}
	}
	p.find(e, nil, true)
	if len(p.parts) == 0 && p.why == "" {
		p.why = "it reads no series"
	}
	return p
}

// find looks for aggregations that rules can answer, the outermost first.
func (p *parsedQuery) find(e parser.Expr, sub *parser.SubqueryExpr, alone bool) {
	switch n := e.(type) {
	case *parser.ParenExpr:
		p.find(n.Expr, sub, alone)
	case *parser.AggregateExpr:
		q, err := askedFor(n)
		text := ""
		if err == nil {
			text, err = q.ruleText()
		}
		if err != nil {
			p.refuse(err, func() { p.below(n, sub) })
			return
		}
		p.parts = append(p.parts, queryPart{key: text, query: q, alone: alone, sub: sub})
		p.selectors++
	case *parser.SubqueryExpr:
		if n.Step == 0 || n.Timestamp != nil || n.StartOrEnd != 0 || sub != nil {
			p.refuse(errors.New("it is in a subquery whose times depend on the server, on @ or on another subquery: write its step, as in [1h:1m]"), func() { p.count(n) })
			return
		}
		p.below(n, n)
	case *parser.VectorSelector:
		p.refuse(errors.New("it selects series without aggregating them"), func() { p.selectors++ })
	default:
		p.below(n, sub)
	}
}

func (p *parsedQuery) below(e parser.Expr, sub *parser.SubqueryExpr) {
	for child := range parser.ChildrenIter(e) {
		if c, ok := child.(parser.Expr); ok {
			p.find(c, sub, false)
		}
	}
}

// count counts the selectors below a node.
func (p *parsedQuery) count(e parser.Expr) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if _, ok := n.(*parser.VectorSelector); ok {
			p.selectors++
		}
		return nil
	})
}

// refuse keeps a reason, unless there is one already, or something is found below
// all the same.
func (p *parsedQuery) refuse(err error, below func()) {
	before, parts := p.why, len(p.parts)
	p.why = ""
	below()
	switch {
	case before != "":
		p.why = before
	case len(p.parts) == parts:
		p.why = clipped(err.Error())
	}
}

// ruleText returns the aggregation as a rule has it: not shifted, and by labels of
// the series alone. The error says why no rule can be made of it.
func (q query) ruleText() (string, error) {
	if q.inner.clocked && q.inner.offset != 0 {
		return "", errors.New("the value depends on the time of evaluation, which an offset does not shift: leave the offset out")
	}
	for _, name := range q.grouping {
		if strings.HasPrefix(name, reserved) && (name != labels.MetricName || !q.inner.keepsName) {
			return "", fmt.Errorf("it groups by %s, which rules cannot keep", name)
		}
	}
	text := q.unshifted(q.inner.selector.LabelMatchers, unreserved(q.grouping))
	r := &Rule{}
	if err := r.read(newParser(), text); err != nil {
		return "", err
	}
	return r.String(), nil
}

// unshifted returns the text of the aggregation with other matchers and another
// grouping, and without its offset.
func (q query) unshifted(matchers []*labels.Matcher, grouping []string) string {
	c := canonicalizer{shape: q.inner}
	offset, sel := c.offset, *c.selector
	c.selector.Name, c.selector.LabelMatchers = "", labelled(c.metric, matchers)
	c.setOffset(c.expr, 0)
	text := (&parser.AggregateExpr{Op: q.op, Expr: c.expr, Grouping: grouping, Without: q.without}).String()
	c.setOffset(c.expr, offset)
	c.selector.Name, c.selector.LabelMatchers = sel.Name, sel.LabelMatchers
	return text
}

// unreserved returns the names that a rule may group by.
func unreserved(names []string) (out []string) {
	for _, n := range names {
		if !strings.HasPrefix(n, reserved) {
			out = append(out, n)
		}
	}
	return out
}
