package leaf

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// identity holds the constant labels of everything that the leaf serves. They
// are not stored: they are kept off series on the way in and attached on the
// way out. Its methods are safe for concurrent use.
type identity struct {
	lset  labels.Labels
	pairs []labels.Label // sorted by name
	names []string       // sorted by length, so that renaming is deterministic
}

func newIdentity(lset labels.Labels) *identity {
	id := &identity{lset: lset}
	lset.Range(func(l labels.Label) {
		id.pairs = append(id.pairs, l)
		id.names = append(id.names, l.Name)
	})
	slices.SortStableFunc(id.names, func(a, b string) int { return len(a) - len(b) })
	return id
}

// is reports whether name is the name of an identity label.
func (id *identity) is(name string) bool {
	return slices.Contains(id.names, name)
}

// renamed reports whether name is one that a label with the name of an identity
// label may have been given instead of its own.
func (id *identity) renamed(name string) bool {
	for {
		rest, ok := strings.CutPrefix(name, model.ExportedLabelPrefix)
		if !ok {
			return false
		}
		if id.is(rest) {
			return true
		}
		name = rest
	}
}

// in reports whether lset has any label with the name of an identity label.
func (id *identity) in(lset labels.Labels) bool {
	for i := range id.pairs {
		if lset.Has(id.pairs[i].Name) {
			return true
		}
	}
	return false
}

// rename moves the labels of lset that have the name of an identity label out
// of the way: to exported_<name>, with the prefix repeated until the name is
// free, as Prometheus does for scraped labels that conflict with the target's.
func (id *identity) rename(lset labels.Labels) labels.Labels {
	if !id.in(lset) {
		return lset
	}
	b := labels.NewBuilder(lset)
	for _, name := range id.names {
		value := lset.Get(name)
		b.Del(name)
		if value == "" {
			continue
		}
		free := model.ExportedLabelPrefix + name
		for b.Get(free) != "" || id.is(free) {
			free = model.ExportedLabelPrefix + free
		}
		b.Set(free, value)
	}
	return b.Labels()
}

// strip removes the labels of lset that equal an identity label: what a rule
// read from served series is not an input's attempt to be someone else.
func (id *identity) strip(lset labels.Labels) labels.Labels {
	if !id.in(lset) {
		return lset
	}
	b := labels.NewBuilder(lset)
	for i := range id.pairs {
		if lset.Get(id.pairs[i].Name) == id.pairs[i].Value {
			b.Del(id.pairs[i].Name)
		}
	}
	return b.Labels()
}

// attach adds the identity labels to lset. Of two labels of one name the
// identity's stays. The builder is scratch space, to be reused between calls.
func (id *identity) attach(b *labels.ScratchBuilder, lset labels.Labels) labels.Labels {
	b.Reset()
	next := 0
	lset.Range(func(l labels.Label) {
		for next < len(id.pairs) && id.pairs[next].Name < l.Name {
			b.Add(id.pairs[next].Name, id.pairs[next].Value)
			next++
		}
		if next < len(id.pairs) && id.pairs[next].Name == l.Name {
			return
		}
		b.Add(l.Name, l.Value)
	})
	for ; next < len(id.pairs); next++ {
		b.Add(id.pairs[next].Name, id.pairs[next].Value)
	}
	return b.Labels()
}

// served returns the label set under which a stored series is served.
func (id *identity) served(lset labels.Labels) labels.Labels {
	b := labels.NewScratchBuilder(lset.Len() + len(id.pairs))
	return id.attach(&b, id.rename(lset))
}

// resolve decides the matchers on identity labels and returns the others, in a
// slice of its own since the TSDB reorders what it is given. It returns false
// if no series of the leaf can match.
func (id *identity) resolve(ms []*labels.Matcher) ([]*labels.Matcher, bool) {
	rest := make([]*labels.Matcher, 0, len(ms)+1)
	for _, m := range ms {
		if !id.is(m.Name) {
			rest = append(rest, m)
			continue
		}
		if !m.Matches(id.lset.Get(m.Name)) {
			return nil, false
		}
	}
	return rest, true
}

// split separates the matchers that can be decided on stored labels from those
// on names that labels get only when they are renamed.
func (id *identity) split(ms []*labels.Matcher) (stored, late []*labels.Matcher) {
	for _, m := range ms {
		if id.renamed(m.Name) {
			late = append(late, m)
		} else {
			stored = append(stored, m)
		}
	}
	return stored, late
}

// matchesAll reports whether lset satisfies every matcher.
func matchesAll(lset labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(lset.Get(m.Name)) {
			return false
		}
	}
	return true
}

// selecting returns matchers for a TSDB select: one that selects all series if
// there are none, since the TSDB takes no matchers for no series.
func selecting(ms []*labels.Matcher) []*labels.Matcher {
	if len(ms) == 0 {
		return []*labels.Matcher{{Type: labels.MatchEqual}}
	}
	return ms
}
