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
	leave, err := m.reads.Enter(ctx, req.Client)
	if err != nil {
		return Names{}, err
	}
	defer leave()
	ask := m.asking(req.Options.within(ctx))
	members := m.members(req.Mint, req.Maxt, nil)
	if err := ask.nobody(m, len(members)); err != nil {
		return Names{}, err
	}
	prune := newPruning(members, m.pruner(req.Options), req.Mint, req.Maxt)
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
			ask.answered(who, n.Report, n.Warnings, 0, 0)
			merged.add(n.Names)
			tally.note(who, len(n.Names))
		}
		return struct{}{}, err
	})
	if err != nil {
		return Names{}, err
	}
	m.uses.observeNames(prune, having, tally)
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
	// next.
	runs [][]string
}

// add takes in a sorted list, which it may keep.
func (m *nameMerger) add(names []string) {
	if !slices.IsSorted(names) { // it came from elsewhere
		names = slices.Sorted(slices.Values(names))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(names) == 0 {
		return
	}
	m.runs = append(m.runs, mergeNames(names, nil, m.limit))
	for last := len(m.runs) - 1; last > 0 && len(m.runs[last-1]) < 2*len(m.runs[last]); last-- {
		m.fold(last)
	}
}

func (m *nameMerger) fold(last int) {
	m.runs[last-1] = mergeNames(m.runs[last-1], m.runs[last], m.limit)
	m.runs = m.runs[:last]
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

// mergeNames merges two sorted lists, each name once, up to a limit that is not
// zero. It returns a itself if b adds nothing.
func mergeNames(a, b []string, limit int) []string {
	if len(b) == 0 && (limit <= 0 || len(a) <= limit) && !doubles(a) {
		return a
	}
	most := len(a) + len(b)
	if limit > 0 {
		most = min(most, limit)
	}
	out := make([]string, 0, min(most, max(len(a), len(b))+16))
	for (len(a) > 0 || len(b) > 0) && len(out) < most {
		var next string
		switch {
		case len(b) == 0:
			next, a = a[0], a[1:]
		case len(a) == 0:
			next, b = b[0], b[1:]
		default:
			switch order := strings.Compare(a[0], b[0]); {
			case order < 0:
				next, a = a[0], a[1:]
			case order > 0:
				next, b = b[0], b[1:]
			default:
				next, a, b = a[0], a[1:], b[1:]
			}
		}
		if n := len(out); n == 0 || out[n-1] != next {
			out = append(out, next)
		}
	}
	return out
}

func doubles(sorted []string) bool {
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return true
		}
	}
	return false
}
