package querytree

import (
	"context"
	"sync"
	"time"
)

// Node is one tier of the live tree as its parent sees it.
type Node struct {
	Description
	// Connected tells whether the node answers; Since is when it came to, or
	// ceased to.
	Connected bool
	Since     time.Time
	// Error says why a node is not connected, if that is known.
	Error string
	// RTT is the latest round trip to the node; zero if unknown.
	RTT time.Duration
	// SampleRate is the number of samples appended a second, below the node,
	// over the last minute or so.
	SampleRate float64
	// Hint is what is known of the node's field hint.
	Hint HintStatus
	// Children are the node's own, if it was asked for them.
	Children []Node
}

// HintStatus describes a child's field hint, as its parent holds it.
type HintStatus struct {
	// Synced: the hint is complete and fresh, so that it may prune.
	Synced bool
	// Fingerprints and Bytes are its size, Age the time since its last update.
	Fingerprints, Bytes int
	Age                 time.Duration
	// FalsePositiveRate is estimated from how full the filter is.
	FalsePositiveRate float64
	// Reason is why the hint may not prune, in a word; empty if it may, or if
	// that is not known.
	Reason string
}

// treeDeadline is how long the live tree waits for any one child.
const treeDeadline = 2 * time.Second

// Tree implements Child: it asks the children for theirs, side by side.
func (m *Mixer) Tree(ctx context.Context) ([]Node, error) {
	members := map[string]Member{}
	var nodes []Node
	for _, member := range m.cfg.Members() {
		members[member.Description.Name()] = member
		if m.cfg.Nodes == nil {
			nodes = append(nodes, Node{Description: member.Description, Connected: member.Connected})
		}
	}
	if m.cfg.Nodes != nil {
		nodes = m.cfg.Nodes()
	}
	var wg sync.WaitGroup
	for i, n := range nodes {
		member, ok := members[n.Name()]
		if !ok || !member.Connected || n.Tier == TierLeaf {
			continue
		}
		wg.Go(func() {
			children, err := watched(ctx, treeDeadline, member.Child.Tree)
			if err != nil {
				nodes[i].Error = err.Error()
				return
			}
			nodes[i].Children = children
		})
	}
	wg.Wait()
	return nodes, ctx.Err()
}
