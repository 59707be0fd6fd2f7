package querytree

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// Names implements Child. Only children that may hold a match are asked, and not
// even these for the values of a label that is part of their identity, if it is
// certain that they hold a series.
func (m *Mixer) Names(ctx context.Context, req NamesRequest) (Names, error) {
	m = m.now()
	leave, err := m.reads.Enter(ctx, req.Client)
	if err != nil {
		return Names{}, err
	}
	defer leave()
	ctx, budget := m.budget(ctx, req.Options)
	defer budget.Close()
	ask := m.asking(req.Options.within(ctx))
	members := m.members(req.Mint, req.Maxt, nil)
	if err := ask.nobody(m, len(members)); err != nil {
		return Names{}, err
	}
	members = m.withOwn(members)
	prune := newPruning(members, m.pruner(req.Options), req.Mint, req.Maxt)
	prune.own = m.cfg.Own
	merged := &nameMerger{limit: req.Limit}
	var who bitset
	having, tally := req.having(), &namesTally{}
	prune.candidates(having).each(func(i int) {
		if v, ok := identityValue(members[i], req); ok {
			merged.add([]string{v})
			return
		}
		who = who.with(i)
	})
	_, err = fanOut(ctx, ask, members, who, func(ctx context.Context, who Member, o Options) (struct{}, error) {
		r := req
		r.Options = o
		n, err := who.Child.Names(ctx, r)
		if err == nil {
			err = who.vouchesAll().checkNames(r.Label, n.Names)
		}
		if err == nil {
			err = budget.Reserve(sizeOfNames(n.Names))
		}
		if err == nil {
			ask.answered(who, n.Report, n.Warnings, 0, 0)
			budget.Release(merged.add(n.Names))
			tally.note(who, len(n.Names))
		}
		return struct{}{}, err
	})
	if err != nil {
		return Names{}, m.limited(ctx, err)
	}
	m.uses.observeNames(prune, having, tally)
	merged.add(m.ownNames(req))
	return Names{Names: merged.result(), Warnings: ask.warnings(), Report: ask.whole(prune)}, nil
}

// having returns the matchers that a series has to satisfy in order to count.
func (r NamesRequest) having() []*labels.Matcher {
	if r.Label == "" {
		return r.Matchers
	}
	// Only children that have the label can have values of it.
	return append(slices.Clone(r.Matchers), labels.MustNewMatcher(labels.MatchNotEqual, r.Label, ""))
}

// identityValue returns the only value that a member has of a label, if that is
// part of its identity and the member would surely answer with it. A storage
// tells of a label if a block or the head overlaps the times asked for, and one
// does at each end of what a member holds. The matchers have to be of labels of
// the identity too, which the member was chosen by.
func identityValue(m Member, req NamesRequest) (string, bool) {
	d := m.Description
	v := d.Labels.Get(req.Label)
	if v == "" || !m.Connected || m.Stale || d.Series == 0 {
		return "", false
	}
	for _, matcher := range req.Matchers {
		if d.Labels.Get(matcher.Name) == "" {
			return "", false
		}
	}
	at := func(t int64) bool { return t > math.MinInt64 && t < math.MaxInt64 && t >= req.Mint && t <= req.Maxt }
	return v, at(d.Mint) || at(d.Maxt)
}

// nameMerger merges sorted lists of names as they come, and keeps the first
// limit of them, or if that is zero all. Lists of about the same length are
// merged with each other, so that all takes little more than one pass a doubling.
// It is safe for concurrent use.
type nameMerger struct {
	limit int

	mu sync.Mutex
	// runs are sorted, without doubles; each is at least twice as long as the
	// next. bytes is the size of them all.
	runs  [][]string
	bytes int64
}

// add takes in a sorted list, which it may keep. It returns by how many bytes
// what it holds has grown less than by that list.
func (m *nameMerger) add(names []string) (spared int64) {
	size := sizeOfNames(names)
	if !ascending(names) { // it came from elsewhere
		names = slices.Compact(slices.Sorted(slices.Values(names)))
	}
	if m.limit > 0 && len(names) > m.limit {
		names = names[:m.limit]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(names) == 0 {
		return size
	}
	before := m.bytes
	m.bytes += sizeOfNames(names)
	m.runs = append(m.runs, names)
	for last := len(m.runs) - 1; last > 0 && len(m.runs[last-1]) < 2*len(m.runs[last]); last-- {
		m.fold(last)
	}
	return size - (m.bytes - before)
}

func (m *nameMerger) fold(last int) {
	a, b := m.runs[last-1], m.runs[last]
	merged := mergeNames(a, b, m.limit)
	m.bytes += sizeOfNames(merged) - sizeOfNames(a) - sizeOfNames(b)
	m.runs[last-1], m.runs = merged, m.runs[:last]
}

// result returns the merged list.
func (m *nameMerger) result() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for last := len(m.runs) - 1; last > 0; last-- {
		m.fold(last)
	}
	if len(m.runs) == 0 {
		return nil
	}
	return m.runs[0]
}

// mergeNames merges two ascending lists, each name once, up to a limit that is
// not zero. It returns a itself if b has nothing to add: most children know the
// same names.
func mergeNames(a, b []string, limit int) []string {
	added := 0
	for i, name := 0, 0; name < len(b); {
		order := 1
		if i < len(a) {
			order = strings.Compare(a[i], b[name])
		}
		switch {
		case order < 0:
			i++
			continue
		case order > 0:
			added++
		default:
			i++
		}
		name++
	}
	if added == 0 {
		return a
	}
	most := len(a) + added
	if limit > 0 {
		most = min(most, limit)
	}
	out := make([]string, 0, most)
	for len(out) < most {
		order := -1
		if len(a) == 0 {
			order = 1
		} else if len(b) > 0 {
			order = strings.Compare(a[0], b[0])
		}
		if order > 0 {
			out, b = append(out, b[0]), b[1:]
			continue
		}
		if order == 0 {
			b = b[1:]
		}
		out, a = append(out, a[0]), a[1:]
	}
	return out
}

// ascending reports whether each name is greater than the one before.
func ascending(names []string) bool {
	for i := 1; i < len(names); i++ {
		if names[i] <= names[i-1] {
			return false
		}
	}
	return true
}
