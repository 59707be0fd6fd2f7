package querytree

import (
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
)

// A child has told its identity labels when it registered, and plans are made by
// them: which children are asked, and that their answers do not overlap. What it
// answers is held against them, wherever series still carry them. One with other
// labels would be counted as another child's.

// vouched are the identity labels that all series of an answer must have.
type vouched []labels.Label

// vouches returns the identity labels of a child that are among names.
func (d Description) vouches(names set) vouched {
	var out vouched
	d.Labels.Range(func(l labels.Label) {
		if names.has(l.Name) {
			out = append(out, l)
		}
	})
	return out
}

// vouchesAll returns all identity labels of a child.
func (d Description) vouchesAll() vouched {
	var out vouched
	d.Labels.Range(func(l labels.Label) { out = append(out, l) })
	return out
}

// vouches returns the labels that the answers of a member to a request must have.
// What the tier holds itself needs no checking.
func (m Member) vouches(names set) vouched {
	if m.own || len(names) == 0 {
		return nil
	}
	return m.Description.vouches(names)
}

func (m Member) vouchesAll() vouched {
	if m.own {
		return nil
	}
	return m.Description.vouchesAll()
}

// check returns an error that is the child's fault unless a series has the labels.
func (v vouched) check(lset labels.Labels) error {
	for _, l := range v {
		if got := lset.Get(l.Name); got != l.Value {
			return fmt.Errorf("%w: it answered with a series of %s=%q, while it registered with %q", ErrUnavailable, l.Name, got, l.Value)
		}
	}
	return nil
}

// checkNames is check for the values of a label.
func (v vouched) checkNames(label string, values []string) error {
	for _, l := range v {
		if l.Name != label {
			continue
		}
		for _, got := range values {
			if got != l.Value {
				return fmt.Errorf("%w: it answered with %s=%q, while it registered with %q", ErrUnavailable, label, got, l.Value)
			}
		}
	}
	return nil
}

// checkExemplars is check for the series of exemplars.
func (v vouched) checkExemplars(results []exemplar.QueryResult) error {
	for _, r := range results {
		if err := v.check(r.SeriesLabels); err != nil {
			return err
		}
	}
	return nil
}
