package querytree

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// targetInfo is the info metric of info() unless its second argument names
// another.
const targetInfo = "target_info"

// infoRead is how a fragment stands for the info series of an info(): they are
// asked for while the engine evaluates, which knows the targets only then, and
// narrows the selector to these.
type infoRead struct {
	// matchers are those of the second argument of info() in the residual
	// expression; what the engine adds to them are targets. One of them is the
	// fragment's stand-in, which rules nothing out.
	matchers []*labels.Matcher
	// selector is read by the children, at the times that the first argument
	// of info() is.
	selector *parser.VectorSelector
	// name is the metric that times are of. The children then tell the times
	// of the samples: of two info series of one target, info() takes the newer.
	name string
}

// info asks for the first argument of info(), and for its info series on the
// same grid: only their labels matter, and which there are at each step.
func (b *builder) info(n *parser.Call) parser.Expr {
	f := b.infoSeries(n)
	if f == nil && shifted(n.Args[0]) {
		return n // it takes the time of its info series from the selectors
	}
	c := *n
	c.Args = slices.Clone(n.Args)
	c.Args[0] = b.build(n.Args[0], false)
	if f == nil {
		return &c
	}
	if shifted(c.Args[0]) && !b.anyStep(n.Args[0], c.Args[0]) {
		c.Args[0] = unshifted(c.Args[0])
	}
	selector := &parser.VectorSelector{LabelMatchers: f.info.matchers, BypassEmptyMatcherCheck: true, PosRange: n.PosRange}
	c.Args = append(c.Args[:1], selector)
	return &c
}

// infoSeries adds the fragment of the info series of an info(), or returns nil.
func (b *builder) infoSeries(n *parser.Call) *Fragment {
	if _, other := ofRequest(n.Args[0]); other {
		return nil
	}
	ms, children := []*labels.Matcher{}, b.p.targetInfo
	if len(n.Args) > 1 {
		selector := n.Args[1].(*parser.VectorSelector)
		ms, children = slices.Clone(selector.LabelMatchers), b.p.candidates[selector]
	}
	if !slices.ContainsFunc(ms, ofName) {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, targetInfo))
	}
	at, offset := b.infoTimes(n.Args[0])
	selector := &parser.VectorSelector{LabelMatchers: infoMatchers(ms), Timestamp: at, OriginalOffset: offset}
	f := b.infoFragment(infoKind, children, &infoRead{selector: selector})
	if name := onlyName(ms); f == nil && name != "" && at == nil {
		f = b.infoFragment(infoTimesKind, children, &infoRead{selector: selector, name: name})
	}
	if f == nil {
		return nil
	}
	if f.info.matchers == nil {
		f.standIn = labels.MustNewMatcher(labels.MatchNotEqual, labels.MetricName, f.standIn.Value)
		f.info.matchers, f.at = append(ms, f.standIn), n
	}
	return f
}

// Kinds of fragments of info series.
const (
	infoKind      = "info"
	infoTimesKind = "times of info"
)

func (b *builder) infoFragment(kind string, children bitset, read *infoRead) *Fragment {
	query := read.query(read.selector)
	f := b.fragmentOf(read.selector, traits{children: children}, kind, func() string { return b.p.text(query, query) })
	if f != nil && f.info == nil {
		f.info, f.grid, f.quiet, f.keeps = read, b.grid, false, b.p.keyLabels
	}
	return f
}

// query returns what the children are asked about the series of a selector.
func (i *infoRead) query(selector *parser.VectorSelector) parser.Expr {
	if i.name == "" {
		return selector
	}
	return &parser.Call{Func: parser.Functions["timestamp"], Args: parser.Expressions{selector}}
}

func ofName(m *labels.Matcher) bool { return m.Name == labels.MetricName }

// onlyName returns the one metric name that the matchers allow, or "".
func onlyName(ms []*labels.Matcher) string {
	for _, m := range ms {
		if ofName(m) && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// infoMatchers returns the matchers that info() selects info series by: those of
// its second argument, and if they only rule names out, one for its own
// convention.
func infoMatchers(ms []*labels.Matcher) []*labels.Matcher {
	picks := func(m *labels.Matcher) bool {
		return ofName(m) && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp)
	}
	if slices.ContainsFunc(ms, picks) {
		return ms
	}
	return append(slices.Clone(ms), labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+_info"))
}

// unshifted returns an expression of the same value that info() does not take
// the time of its info series from, since it has a part that selects nothing:
// that of a fragment is on the grid already.
func unshifted(e parser.Expr) parser.Expr {
	zero := func() parser.Expr {
		return &parser.Call{Func: parser.Functions["vector"], Args: parser.Expressions{&parser.NumberLiteral{}}, PosRange: e.PositionRange()}
	}
	matching := func() *parser.VectorMatching { return &parser.VectorMatching{Card: parser.CardManyToMany} }
	nothing := &parser.BinaryExpr{Op: parser.LUNLESS, LHS: zero(), RHS: zero(), VectorMatching: matching()}
	return &parser.BinaryExpr{Op: parser.LOR, LHS: e, RHS: nothing, VectorMatching: matching()}
}

// anyStep reports whether the info series are the same at all steps, and read at
// the first one by what became of the first argument: then the engine evaluates
// info() only once, as it does for the argument itself.
func (b *builder) anyStep(arg, built parser.Expr) bool {
	at, _ := b.infoTimes(arg)
	first, offset := b.infoTimes(built)
	return at != nil && first != nil && *first == b.grid.start && offset == 0
}

// infoTimes returns where info() reads its info series: at the @ time, or with
// the offset, that all selectors of its first argument share, if they do, as the
// engine's infoSeriesSelectTimestampAndOffset tells.
func (b *builder) infoTimes(e parser.Expr) (at *int64, offset time.Duration) {
	r := infoReference{ends: b.p.grid}
	r.inspect(e, nil)
	if !r.found || r.differs || r.free {
		return nil, 0
	}
	return r.at, r.offset
}

// infoReference gathers the times that the selectors of an expression are read
// at.
type infoReference struct {
	ends   grid // of the request
	at     *int64
	offset time.Duration
	found  bool
	// differs: selectors are read at several times; free: something has a value
	// without any selector.
	differs, free bool
}

// inspect reports whether an expression has a selector that vectors come from.
func (r *infoReference) inspect(e parser.Expr, path []*parser.SubqueryExpr) bool {
	if t := e.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeMatrix {
		return false
	}
	switch n := e.(type) {
	case *parser.VectorSelector:
		r.selector(n, path)
		return true
	case *parser.SubqueryExpr:
		path = append(path, n)
	case *parser.Call:
		if n.Func.Name == "info" {
			return r.inspect(n.Args[0], path)
		}
	}
	found := false
	for child := range parser.ChildrenIter(e) {
		if c, ok := child.(parser.Expr); ok && r.inspect(c, path) {
			found = true
		}
	}
	r.free = r.free || !found
	return found
}

func (r *infoReference) selector(n *parser.VectorSelector, path []*parser.SubqueryExpr) {
	at, offset := r.time(n.Timestamp, n.StartOrEnd), n.OriginalOffset
	for i := len(path) - 1; at == nil && i >= 0; i-- {
		offset += path[i].OriginalOffset
		at = r.time(path[i].Timestamp, path[i].StartOrEnd)
	}
	if !r.found {
		r.at, r.offset, r.found = at, offset, true
		return
	}
	ms := offset.Milliseconds() - r.offset.Milliseconds()
	if at != nil && r.at != nil {
		ms -= *at - *r.at
	}
	r.differs = r.differs || ms != 0 || (at == nil) != (r.at == nil)
}

// time returns the time of an @ modifier, if there is one.
func (r *infoReference) time(at *int64, which parser.ItemType) *int64 {
	switch which {
	case parser.START:
		return &r.ends.start
	case parser.END:
		return &r.ends.end
	default:
		return at
	}
}
