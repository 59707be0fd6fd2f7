package querytree

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Member is one child of a Mixer as a query sees it: a snapshot that does not
// change while the query runs.
type Member struct {
	// Child answers; it is never nil, but fails at once while disconnected.
	Child Child
	// Name is that of the description, if it need not be made anew; else empty.
	Name string
	// Description is the child's latest, or its last one if it is gone.
	Description Description
	// Connected tells whether there is a connection. A child that is known but
	// not connected is asked all the same, so that the answer names it.
	Connected bool
	// Stale: the connection has not answered of late, so that what the child
	// says may be under way for long. Its hints may lack series that it has
	// had for a while, so they do not prune.
	Stale bool
	// RTT is the latest round trip to the child; zero if unknown.
	RTT time.Duration
	// own: it is the tier's own storage, of names that no child is asked for.
	own bool
}

// name returns the name of the child.
func (m Member) name() string {
	if m.Name != "" {
		return m.Name
	}
	return m.Description.Name()
}

// Planner decides what of a query is evaluated by which children. It is pure:
// it does no I/O and reads no clock. It is made for one query.
type Planner struct {
	members    []Member
	candidates map[*parser.VectorSelector]bitset
	// targetInfo are the candidates for what info() joins without being told.
	targetInfo bitset
	keyLabels  set
	// delayedNames mirrors the engine's option of that name.
	delayedNames bool
	// banned holds fragments that turned out not to be mergeable, by key.
	banned map[string]bool
	// off keeps everything here.
	off bool
	// query is the text that positions in the expression refer to.
	query string
	parse func(string) (parser.Expr, error)
	grid  grid
	// maxLength is the longest query that children accept.
	maxLength int
	// stats: the request's answer leaves out the buckets of native histograms.
	stats bool
	// rollups are those of the tier; nil if there are none.
	rollups *rollups
}

// keyLabelsOf returns the labels that tell children apart: their identity labels
// and shard keys. The metric name is not one, since any operator may drop it.
func keyLabelsOf(members []Member) set {
	var keys set
	for _, m := range members {
		m.Description.Labels.Range(func(l labels.Label) { keys = append(keys, l.Name) })
		keys = append(keys, m.Description.ShardKey...)
	}
	slices.Sort(keys)
	return slices.Compact(keys).without(labels.MetricName)
}

// everyone is the set of all members.
func (p *Planner) everyone() bitset {
	var all bitset
	for i := range p.members {
		all = all.with(i)
	}
	return all
}

// allHave reports whether all of the children have a feature.
func (p *Planner) allHave(children bitset, feature string) bool {
	ok := true
	children.each(func(i int) { ok = ok && p.members[i].Description.Has(feature) })
	return ok
}

// constant reports whether each of the children has one value of the label on
// all its series.
func (p *Planner) constant(children bitset, name string) bool {
	ok := true
	children.each(func(i int) { ok = ok && p.members[i].Description.Labels.Has(name) })
	return ok
}

// separated reports whether two series that agree on all the labels given
// always live in the same child: each pair of children differs in a label that
// is the same for all of their series, or they are shards by a key which is
// among the labels.
func (p *Planner) separated(children bitset, on set) bool {
	groups := map[string][]int{}
	children.each(func(i int) {
		key := p.tuple(children, i, on)
		groups[key] = append(groups[key], i)
	})
	for _, group := range groups {
		for i, a := range group {
			for _, b := range group[:i] {
				if !p.apart(p.members[a].Description, p.members[b].Description, on) {
					return false
				}
			}
		}
	}
	return true
}

// tuple renders the values that child i has of those labels that are constant
// in all the children: children with different tuples are apart.
func (p *Planner) tuple(children bitset, i int, on set) string {
	var b strings.Builder
	for _, name := range on {
		if p.constant(children, name) {
			b.WriteString(p.members[i].Description.Labels.Get(name))
			b.WriteByte(0xff)
		}
	}
	return b.String()
}

func (p *Planner) apart(a, b Description, on set) bool {
	for _, name := range on {
		va, vb := a.Labels.Get(name), b.Labels.Get(name)
		if va != "" && vb != "" && va != vb {
			return true
		}
	}
	if len(a.ShardKey) == 0 || !slices.Equal(a.ShardKey, b.ShardKey) || a.Shard == b.Shard || !labels.Equal(a.Labels, b.Labels) {
		return false
	}
	for _, name := range a.ShardKey {
		if !on.has(name) {
			return false
		}
	}
	return true
}

// Plan is what became of a query.
type Plan struct {
	// Residual is evaluated by the tier itself. Stand-ins in it stand for the
	// fragments.
	Residual parser.Expr
	// Fragments are evaluated by children.
	Fragments []*Fragment
	// Local says of the whole query, if it was not pushed down as one, why.
	Local string
	// Cuts are the parts that are evaluated here, and why.
	Cuts []Cut
	// Unrolled are aggregations for which there are rollups of the same metric
	// that do not answer them, and why.
	Unrolled []Cut
	// grid is that of the request.
	grid grid
}

// Fragment is an expression that children evaluate.
type Fragment struct {
	// ID names the fragment within its plan.
	ID string
	// at is the part of the query that it stands for.
	at parser.Expr
	// standIn is a matcher that no storage ever sees: a selector that holds
	// this very matcher stands for the fragment. absent() makes labels of
	// equality matchers but for the one of the metric name, so that is what it
	// looks like.
	standIn *labels.Matcher
	// Query is the text sent to the children.
	Query string
	// Children are the indexes of the members to ask.
	Children []int
	// Merge says how the children's answers are put together.
	Merge Merge
	// Ops are the aggregation operators that the children answer with, for
	// MergeFold and MergeParts: the one of Query, or several over one operand.
	Ops []string
	// final is the operator of the query that a fold of several answers.
	final string
	// q, grouping and without are those of a quantile.
	q        float64
	grouping []string
	without  bool
	// floatsOnly: the fragment is not exact if there are histograms.
	floatsOnly bool
	// above aggregates parts that a fold cannot merge.
	above parser.Expr
	// grid is the fragment's own: that of the request, of a subquery, or the
	// first step alone if the value is the same for all.
	grid grid
	// key identifies the fragment in the query, keys that of others that are
	// not exact either if this one is not.
	key  string
	keys []string
	// quiet drops the annotations of the children, since another fragment has
	// the same operand.
	quiet bool
	// guards must have no result, or the fragment is not exact.
	guards []*Fragment
	// several: more children than one may hold series of it, of which those
	// spared are not asked, since they have no part in the result.
	several bool
	spared  []spared
	// stats: of native histograms the children leave out the buckets.
	stats bool
	// keeps holds the key labels that the children's answers still carry with the
	// value that they had in storage.
	keeps set
	// info, if not nil, makes it a fragment of the info series of an info().
	info *infoRead
	// rollup, if not nil, has some of the steps: children are asked for the
	// others.
	rollup *Rollup
}

// Merge says how the answers of several children become one.
type Merge int

// Ways of merging.
const (
	// MergeConcat: their label sets are disjoint.
	MergeConcat Merge = iota
	// MergeFold: they are parts of one aggregation, and are aggregated further
	// as they come.
	MergeFold
	// MergeQuantile: they are the operand of a quantile.
	MergeQuantile
	// MergeParts: they are parts of one aggregation, told apart by childLabel,
	// which the residual aggregates.
	MergeParts
	// MergeOperand: they are the operand of an aggregation, with disjoint label
	// sets.
	MergeOperand
)

// Kind names how a fragment is merged, for people.
func (f *Fragment) Kind() string {
	if f.info != nil {
		return "info"
	}
	switch f.Merge {
	case MergeFold:
		return "fold " + strings.Join(f.Ops, "+")
	case MergeQuantile:
		return "quantile"
	case MergeParts:
		return "partial"
	case MergeOperand:
		return "operand"
	default:
		return "concat"
	}
}

// childLabel tells the parts of an aggregation apart, in a residual expression.
// It never leaves a tier.
const childLabel = "__pando_child__"

// String is the canonical text of a plan: the residual, then one line for each
// fragment with the children it is sent to.
func (pl *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", pl.Residual)
	for _, f := range pl.Fragments {
		fmt.Fprintf(&b, "  %s %s %v%s <- %s\n", f.ID, f.Kind(), f.Children, pl.notes(f), strings.Join(strings.Fields(f.Query), " "))
		for _, g := range f.guards {
			fmt.Fprintf(&b, "    unless %s\n", strings.Join(strings.Fields(g.Query), " "))
		}
	}
	return b.String()
}

// notes tells the grid of a fragment that has its own, and how histograms are
// read.
func (pl *Plan) notes(f *Fragment) string {
	note := ""
	if f.stats {
		note = " without buckets"
	}
	if f.rollup != nil {
		note += fmt.Sprintf(" but for rollup %s of %v", f.rollup.Rule, f.rollup.Covered)
	}
	if f.grid == pl.grid {
		return note
	}
	return fmt.Sprintf("%s at %d..%d/%d", note, f.grid.start, f.grid.end, f.grid.step)
}

// wholeQuery returns the only fragment, if it is the whole answer.
func (pl *Plan) wholeQuery() (*Fragment, bool) {
	if len(pl.Fragments) != 1 || pl.Fragments[0].Merge == MergeParts || pl.Fragments[0].grid != pl.grid {
		return nil, false
	}
	vs, ok := unparen(pl.Residual).(*parser.VectorSelector)
	if !ok || !slices.Contains(vs.LabelMatchers, pl.Fragments[0].standIn) {
		return nil, false
	}
	return pl.Fragments[0], true
}
