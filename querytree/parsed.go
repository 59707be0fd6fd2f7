package querytree

import (
	recency "container/list"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxParsed bounds the memory for expressions of a parsedTexts, about, in bytes.
const maxParsed = 2 << 20

// parsedTexts is a parser that keeps what it has parsed. A dashboard asks the
// same queries again and again, a tier parses each several times, since whoever
// evaluates or rewrites an expression leaves marks in it, and to copy an
// expression takes a tenth of the time to parse it. The texts that were used last
// are kept. It is safe for concurrent use.
type parsedTexts struct {
	parser.Parser
	max int64 // bytes

	mu    sync.Mutex
	texts map[string]*recency.Element
	lru   *recency.List // of *parsedText, the latest used first
	bytes int64
}

// parsedText is a text and its expression, which nobody changes.
type parsedText struct {
	text  string
	expr  parser.Expr
	bytes int64
}

// parsedOnce returns a parser that keeps what p has parsed.
func parsedOnce(p parser.Parser) *parsedTexts {
	return &parsedTexts{Parser: p, max: maxParsed, texts: map[string]*recency.Element{}, lru: recency.New()}
}

// ParseExpr implements parser.Parser. The expression is the caller's own. Errors
// are not kept.
func (p *parsedTexts) ParseExpr(text string) (parser.Expr, error) {
	if e := p.find(text); e != nil {
		own, _, _ := copyExpr(e)
		return own, nil
	}
	e, err := p.Parser.ParseExpr(text)
	if err == nil {
		p.keep(text, e)
	}
	return e, err
}

// look returns an expression that must not be changed.
func (p *parsedTexts) look(text string) (parser.Expr, error) {
	if e := p.find(text); e != nil {
		return e, nil
	}
	return p.ParseExpr(text)
}

func (p *parsedTexts) find(text string) parser.Expr {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.texts[text]
	if at == nil {
		return nil
	}
	p.lru.MoveToFront(at)
	return at.Value.(*parsedText).expr
}

// keep takes a copy of an expression, unless it is so large that it would push
// out many others.
func (p *parsedTexts) keep(text string, e parser.Expr) {
	own, size, ok := copyExpr(e)
	size += int64(len(text))
	if !ok || size > p.max/16 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.texts[text] != nil {
		return
	}
	p.texts[text] = p.lru.PushFront(&parsedText{text, own, size})
	for p.bytes += size; p.bytes > p.max; {
		last := p.lru.Remove(p.lru.Back()).(*parsedText)
		delete(p.texts, last.text)
		p.bytes -= last.bytes
	}
}

// Sizes of nodes, about, and of what goes with each text.
const (
	nodeBytes    = 160
	matcherBytes = 100
	regexpBytes  = 2000
)

// copyExpr returns a copy of an expression as the parser returns it, which shares
// nothing with it that anybody changes, and about how many bytes it takes. It
// reports whether it knows all the nodes.
func copyExpr(e parser.Expr) (c parser.Expr, bytes int64, ok bool) {
	x := copier{ok: true}
	c = x.expr(e)
	return c, x.bytes, x.ok
}

type copier struct {
	bytes int64
	ok    bool
}

func (x *copier) expr(e parser.Expr) parser.Expr {
	x.bytes += nodeBytes
	switch n := e.(type) {
	case nil:
		return nil
	case *parser.AggregateExpr:
		c := *n
		c.Expr, c.Param, c.Grouping = x.expr(n.Expr), x.expr(n.Param), x.names(n.Grouping)
		return &c
	case *parser.BinaryExpr:
		c := *n
		c.LHS, c.RHS, c.VectorMatching = x.expr(n.LHS), x.expr(n.RHS), x.matching(n.VectorMatching)
		return &c
	case *parser.Call:
		c := *n
		c.Args = slices.Clone(n.Args)
		for i, arg := range n.Args {
			c.Args[i] = x.expr(arg)
		}
		return &c
	case *parser.MatrixSelector:
		c := *n
		c.VectorSelector, c.RangeExpr = x.expr(n.VectorSelector), x.duration(n.RangeExpr)
		return &c
	case *parser.SubqueryExpr:
		c := *n
		c.Expr, c.Timestamp = x.expr(n.Expr), copied(n.Timestamp)
		c.RangeExpr, c.OriginalOffsetExpr, c.StepExpr = x.duration(n.RangeExpr), x.duration(n.OriginalOffsetExpr), x.duration(n.StepExpr)
		return &c
	case *parser.ParenExpr:
		c := *n
		c.Expr = x.expr(n.Expr)
		return &c
	case *parser.UnaryExpr:
		c := *n
		c.Expr = x.expr(n.Expr)
		return &c
	case *parser.VectorSelector:
		return x.selector(n)
	default:
		return x.leaf(e)
	}
}

// leaf copies what has no parts.
func (x *copier) leaf(e parser.Expr) parser.Expr {
	switch n := e.(type) {
	case *parser.NumberLiteral:
		c := *n
		return &c
	case *parser.StringLiteral:
		c := *n
		return &c
	case *parser.DurationExpr:
		return x.duration(n)
	}
	x.ok = false
	return e
}

// selector copies a selector that has read nothing. Matchers are told apart by
// their addresses here and there, so they are copied too.
func (x *copier) selector(n *parser.VectorSelector) *parser.VectorSelector {
	c := *n
	x.ok = x.ok && n.UnexpandedSeriesSet == nil && n.Series == nil
	c.Timestamp, c.OriginalOffsetExpr = copied(n.Timestamp), x.duration(n.OriginalOffsetExpr)
	matchers := make([]labels.Matcher, len(n.LabelMatchers))
	c.LabelMatchers = make([]*labels.Matcher, len(n.LabelMatchers))
	for i, m := range n.LabelMatchers {
		x.bytes += matcherBytes
		if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
			x.bytes += regexpBytes + 10*int64(len(m.Value))
		}
		matchers[i] = *m
		c.LabelMatchers[i] = &matchers[i]
	}
	return &c
}

func (x *copier) matching(m *parser.VectorMatching) *parser.VectorMatching {
	if m == nil {
		return nil
	}
	c := *m
	c.MatchingLabels, c.Include = x.names(m.MatchingLabels), x.names(m.Include)
	c.FillValues.LHS, c.FillValues.RHS = copied(m.FillValues.LHS), copied(m.FillValues.RHS)
	x.bytes += nodeBytes
	return &c
}

func (x *copier) duration(d *parser.DurationExpr) *parser.DurationExpr {
	if d == nil {
		return nil
	}
	c := *d
	c.LHS, c.RHS = x.expr(d.LHS), x.expr(d.RHS)
	return &c
}

func (x *copier) names(names []string) []string {
	x.bytes += 16 * int64(len(names))
	return slices.Clone(names)
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
