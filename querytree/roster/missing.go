package roster

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// Missing is a child that is known but not connected: it refuses every request
// at once, so that the answer names it.
type Missing struct {
	querytree.Description
	// Parent is who misses it, Since when.
	Parent string
	Since  time.Time
	name   string
}

var _ querytree.Child = Missing{}

func (m Missing) err() error {
	if m.Since.IsZero() {
		return fmt.Errorf("%w: not connected to %q", querytree.ErrUnavailable, m.Parent)
	}
	return fmt.Errorf("%w: not connected to %q since %s", querytree.ErrUnavailable, m.Parent, m.Since.UTC().Format(time.RFC3339))
}

// Describe implements querytree.Child.
func (m Missing) Describe() querytree.Description { return m.Description }

// Exec implements querytree.Child.
func (m Missing) Exec(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
	return nil, m.err()
}

// Select implements querytree.Child.
func (m Missing) Select(context.Context, querytree.SelectRequest) querytree.SeriesSet {
	return missingSet{m.err()}
}

// Names implements querytree.Child.
func (m Missing) Names(context.Context, querytree.NamesRequest) (querytree.Names, error) {
	return querytree.Names{}, m.err()
}

// Metadata implements querytree.Child.
func (m Missing) Metadata(context.Context, querytree.MetadataRequest) (querytree.Metadata, error) {
	return querytree.Metadata{}, m.err()
}

// Exemplars implements querytree.Child.
func (m Missing) Exemplars(context.Context, querytree.ExemplarsRequest) (querytree.Exemplars, error) {
	return querytree.Exemplars{}, m.err()
}

// Tree implements querytree.Child.
func (m Missing) Tree(context.Context) ([]querytree.Node, error) { return nil, m.err() }

type missingSet struct{ err error }

func (s missingSet) Next() bool                        { return false }
func (s missingSet) At() storage.ChunkSeries           { return nil }
func (s missingSet) Err() error                        { return s.err }
func (s missingSet) Warnings() annotations.Annotations { return nil }
func (s missingSet) Report() querytree.Report          { return querytree.Report{} }
func (s missingSet) Close()                            {}
