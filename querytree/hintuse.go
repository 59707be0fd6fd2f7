package querytree

import (
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// SelectorKind is what field hints make of a selector: by which facts they can
// rule a child out.
type SelectorKind string

// Kinds of selector. Matchers of identity labels, and those that match the empty
// string, do not count: hints have no say in them.
const (
	// KindEquality: one equality matcher, that of the metric name.
	KindEquality SelectorKind = "equality"
	// KindSeveral: several equality matchers. Each may hold in a child without a
	// series that satisfies all.
	KindSeveral SelectorKind = "several"
	// KindRegexp: there is a regular expression among the matchers, or one that
	// asks for any value.
	KindRegexp SelectorKind = "regexp"
	// KindNameless: the metric name is not given.
	KindNameless SelectorKind = "nameless"
)

// SelectorKinds are all kinds.
func SelectorKinds() []SelectorKind {
	return []SelectorKind{KindEquality, KindSeveral, KindRegexp, KindNameless}
}

// kindOf returns the kind of a selector, identity being the labels that children
// are told apart by.
func kindOf(ms []*labels.Matcher, identity set) SelectorKind {
	if !selectsOneName(ms) {
		return KindNameless
	}
	kind, facts := KindEquality, 0
	for _, m := range ms {
		switch {
		case identity.has(m.Name) || m.Matches(""):
		case m.Type != labels.MatchEqual:
			kind = KindRegexp
		default:
			facts++
		}
	}
	if kind == KindEquality && facts > 1 {
		return KindSeveral
	}
	return kind
}

// HintUse counts what became of one child, or of all, for selectors of one kind.
type HintUse struct {
	// Asked counts the requests with such a selector that were sent.
	Asked uint64 `json:"asked"`
	// Told counts those of them whose answers tell whether anything was
	// selected, Empty those of which it is certain that nothing was, or too
	// little to give a result, such as a single sample for rate(): the child was
	// asked in vain.
	Told  uint64 `json:"told"`
	Empty uint64 `json:"empty"`
	// Spared counts the requests that its field hint made unnecessary.
	Spared uint64 `json:"spared"`
}

// Plus returns the sum of two.
func (u HintUse) Plus(v HintUse) HintUse {
	return HintUse{u.Asked + v.Asked, u.Told + v.Told, u.Empty + v.Empty, u.Spared + v.Spared}
}

// HintUses tells of each child, by name, what its field hint was good for since
// the tier started.
func (m *Mixer) HintUses() map[string]map[SelectorKind]HintUse {
	m.uses.mu.Lock()
	defer m.uses.mu.Unlock()
	out := make(map[string]map[SelectorKind]HintUse, len(m.uses.children))
	for name, by := range m.uses.children {
		out[name] = maps.Clone(by)
	}
	return out
}

// hintUses counts for all children. It holds no more of them than twice those
// that there are. It is safe for concurrent use.
type hintUses struct {
	total *prometheus.CounterVec

	mu       sync.Mutex
	children map[string]map[SelectorKind]HintUse
	savings  labelSavings
}

// newHintUses registers its metric with reg, which may be nil.
func newHintUses(reg prometheus.Registerer) *hintUses {
	return &hintUses{children: map[string]map[SelectorKind]HintUse{}, total: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "pando_tree_hint_uses_total",
		Help: "What became of children by kind of selector: asked, told (whether anything was selected), empty (nothing was), spared (by field hint).",
	}, []string{"kind", "outcome"})}
}

// useKey is what is counted separately.
type useKey struct {
	child string
	kind  SelectorKind
}

// add counts what one request came to.
func (u *hintUses) add(members []Member, uses map[useKey]HintUse, savings labelSavings) {
	u.mu.Lock()
	u.savings.add(savings)
	for key, use := range uses {
		by := u.children[key.child]
		if by == nil {
			by = map[SelectorKind]HintUse{}
			u.children[key.child] = by
		}
		by[key.kind] = by[key.kind].Plus(use)
	}
	if len(u.children) > 2*len(members)+16 {
		u.forget(members)
	}
	u.mu.Unlock()
	sums := map[SelectorKind]HintUse{}
	for key, use := range uses {
		sums[key.kind] = sums[key.kind].Plus(use)
	}
	for kind, sum := range sums {
		for outcome, n := range map[string]uint64{"asked": sum.Asked, "told": sum.Told, "empty": sum.Empty, "spared": sum.Spared} {
			u.total.WithLabelValues(string(kind), outcome).Add(float64(n))
		}
	}
}

// forget drops what is not a member any more. u.mu is held.
func (u *hintUses) forget(members []Member) {
	known := make(map[string]bool, len(members))
	for _, m := range members {
		known[m.name()] = true
	}
	maps.DeleteFunc(u.children, func(name string, _ map[SelectorKind]HintUse) bool { return !known[name] })
}

// counted is what was asked for one fragment, or one request for raw series.
type counted struct {
	selections []selection
	kinds      []SelectorKind
	// tells: an empty answer says that nothing was selected.
	tells bool
	// spared are members that were not asked although some selector passed.
	spared []spared
	asked  bitset
}

// vain returns the kind of the selector that a child was asked for in vain, or
// nothing if it may not have been.
func (c counted) vain(e EdgeExplanation) SelectorKind {
	if !c.tells || e.Failed != "" || e.Series > 0 || len(c.kinds) != 1 {
		return ""
	}
	return c.kinds[0]
}

// count adds what became of all members, of whom edges tell of those asked. It
// returns those that were spared a request, by the selector that did it.
func (c counted) count(into map[useKey]HintUse, members []Member, edges map[string]EdgeExplanation) map[int][]int {
	sparing := map[int][]int{}
	for i, m := range members {
		if m.own {
			continue
		}
		name := m.name()
		edge, asked := edges[name]
		switch {
		case asked:
			for n, s := range c.selections {
				if byRank[s.ranks[i]] != Asked {
					continue
				}
				use := HintUse{Asked: 1}
				if c.tells && edge.Failed == "" {
					use.Told = 1
				}
				if c.vain(edge) != "" {
					use.Empty = 1
				}
				key := useKey{name, c.kinds[n]}
				into[key] = into[key].Plus(use)
			}
		case !inSet(c.asked, i):
			if n, ok := c.sparing(i); ok {
				key := useKey{name, c.kinds[n]}
				into[key] = into[key].Plus(HintUse{Spared: 1})
				sparing[n] = append(sparing[n], i)
			}
		}
	}
	return sparing
}

// sparing returns the selector, of selections, whose hint spared a member a request,
// if one did.
func (c counted) sparing(member int) (selector int, ok bool) {
	best := -1
	for n, s := range c.selections {
		by := slices.ContainsFunc(c.spared, func(sp spared) bool { return sp.child == member && sameMatchers(sp.by, s.ms) })
		if by && byRank[s.ranks[member]] == PrunedHint {
			return n, true
		}
		if r := int(s.ranks[member]); r > best {
			best, selector = r, n
		}
	}
	return selector, best >= 0 && byRank[best] == PrunedHint
}

// countedOf says how to count a fragment.
func (p *pruning) countedOf(f *Fragment) counted {
	c := counted{spared: f.spared, tells: tells(f.at)}
	for _, i := range f.Children {
		c.asked = c.asked.with(i)
	}
	if f.at == nil {
		return c
	}
	parser.Inspect(f.at, func(n parser.Node, _ []parser.Node) error {
		if vs, ok := n.(*parser.VectorSelector); ok {
			if s, ok := p.selection(vs.LabelMatchers); ok {
				c.selections, c.kinds = append(c.selections, s), append(c.kinds, kindOf(s.ms, p.identity()))
			}
		}
		return nil
	})
	return c
}

// countedOfNobody says how to count the selectors that no member can have anything
// for, of which nothing was sent, each once.
func (p *pruning) countedOfNobody(sent []selection) (out []counted) {
	for _, s := range p.selections {
		same := func(o selection) bool { return sameMatchers(o.ms, s.ms) }
		if slices.ContainsFunc(s.ranks, func(r int8) bool { return byRank[r] == Asked }) || slices.ContainsFunc(sent, same) {
			continue
		}
		sent = append(sent, s)
		out = append(out, counted{selections: []selection{s}, kinds: []SelectorKind{kindOf(s.ms, p.identity())}})
	}
	return out
}

// countedRaw says how to count a request for raw series.
func (p *pruning) countedRaw(ms []*labels.Matcher) counted {
	same := p.selected(ms)
	if len(same) != 1 || len(ms) == 0 {
		return counted{} // at several times, it is not known which one is read
	}
	s := same[0]
	c := counted{selections: []selection{s}, kinds: []SelectorKind{kindOf(ms, p.identity())}, tells: true}
	for i, r := range s.ranks {
		if byRank[r] == Asked {
			c.asked = c.asked.with(i)
		}
	}
	return c
}

// identity returns the labels that members are told apart by.
func (p *pruning) identity() set {
	if p.identityLabels == nil {
		p.identityLabels = append(set{}, keyLabelsOf(p.members)...)
	}
	return p.identityLabels
}

// observe counts what one attempt at a query came to.
func (u *hintUses) observe(e *execution) {
	edges := e.ask.trace.byFragment()
	t := newTally(e.prune)
	var sent []selection
	for _, f := range e.plan.Fragments {
		c := e.prune.countedOf(f)
		sent = append(sent, c.selections...)
		t.count(c, edges[f.ID])
	}
	for _, c := range e.prune.countedOfNobody(sent) {
		t.count(c, nil)
	}
	t.countRaw(&e.ask.trace, edges)
	u.add(e.members, t.uses, t.savings)
}

// observeSelect counts what a request for raw series came to.
func (u *hintUses) observeSelect(tr *trace, p *pruning) {
	t := newTally(p)
	t.countRaw(tr, tr.byFragment())
	u.add(p.members, t.uses, t.savings)
}

// tally adds up what one request came to.
type tally struct {
	prune   *pruning
	uses    map[useKey]HintUse
	savings labelSavings
}

func newTally(p *pruning) *tally { return &tally{prune: p, uses: map[useKey]HintUse{}} }

func (t *tally) count(c counted, edges map[string]EdgeExplanation) {
	t.prune.attribute(c.selections, c.count(t.uses, t.prune.members, edges), &t.savings)
}

// countRaw counts the raw series that were asked for.
func (t *tally) countRaw(tr *trace, edges map[string]map[string]EdgeExplanation) {
	for i, req := range tr.pulled() {
		t.count(t.prune.countedRaw(req.Matchers), edges[rawID(i)])
	}
}

// byFragment returns the latest rows of each fragment, by child.
func (t *trace) byFragment() map[string]map[string]EdgeExplanation {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]map[string]EdgeExplanation{}
	for _, e := range t.edges {
		if out[e.fragment] == nil {
			out[e.fragment] = map[string]EdgeExplanation{}
		}
		out[e.fragment][e.Child] = e.EdgeExplanation
	}
	return out
}

// markVain marks the children of a row that were asked and hold nothing.
func (e *execution) markVain(row *FragmentExplanation, c counted) {
	for i, edge := range row.Children {
		if _, done := e.traced[edgeKey{row.ID, edge.Child}]; done && edge.Verdict == Asked {
			row.Children[i].Empty = c.vain(edge)
		}
	}
}

// namesTally notes how many names each child answered with. It is safe for
// concurrent use.
type namesTally struct {
	mu   sync.Mutex
	rows map[string]EdgeExplanation
}

func (t *namesTally) note(m Member, names int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows == nil {
		t.rows = map[string]EdgeExplanation{}
	}
	t.rows[m.name()] = EdgeExplanation{Series: int64(names)}
}

// observeNames counts what a request for names came to.
func (u *hintUses) observeNames(p *pruning, ms []*labels.Matcher, t *namesTally) {
	t.mu.Lock()
	rows := maps.Clone(t.rows)
	t.mu.Unlock()
	sum := newTally(p)
	sum.count(p.countedRaw(ms), rows)
	u.add(p.members, sum.uses, sum.savings)
}
