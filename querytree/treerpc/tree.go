package treerpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// maxTreeDepth bounds the levels of a live tree that is taken from a peer.
const maxTreeDepth = 16

// Tree implements querytree.Child.
func (c *remoteChild) Tree(ctx context.Context) ([]querytree.Node, error) {
	var out []querytree.Node
	_, _, err := collect(ctx, c, func(ctx context.Context, codec grpc.CallOption) (grpc.ServerStreamingClient[querytreepb.TreeFrame], error) {
		return c.tree.Tree(ctx, &querytreepb.TreeRequest{}, codec)
	}, func(f *querytreepb.TreeFrame) (int, *querytreepb.End, error) {
		size := 0
		for _, w := range f.GetNodes() {
			n, cost, err := nodeFromWire(w, maxTreeDepth)
			if err != nil {
				return 0, nil, err
			}
			out, size = append(out, n), size+cost
		}
		return size, f.GetEnd(), nil
	})
	return out, err
}

// Tree implements querytreepb.TreeServer. A frame holds one child with all that
// is below it.
func (s *treeService) Tree(_ *querytreepb.TreeRequest, stream grpc.ServerStreamingServer[querytreepb.TreeFrame]) error {
	nodes, err := s.child.Tree(stream.Context())
	if err != nil {
		return toStatus(err)
	}
	if err := stream.Send(&querytreepb.TreeFrame{}); err != nil {
		return sent(stream.Context(), err)
	}
	for _, n := range nodes {
		if err := stream.Send(&querytreepb.TreeFrame{Nodes: []*querytreepb.Node{nodeToWire(n)}}); err != nil {
			return sent(stream.Context(), err)
		}
	}
	return sent(stream.Context(), stream.Send(&querytreepb.TreeFrame{End: &querytreepb.End{}}))
}

func nodeToWire(n querytree.Node) *querytreepb.Node {
	w := &querytreepb.Node{
		Description: descriptionToWire(n.Description), Connected: n.Connected, Error: clip(n.Error),
		Rtt: int64(n.RTT), SampleRate: n.SampleRate,
		Hint: &querytreepb.HintStatus{
			Synced: n.Hint.Synced, Fingerprints: count(n.Hint.Fingerprints), Bytes: count(n.Hint.Bytes),
			Age: int64(n.Hint.Age), FalsePositiveRate: n.Hint.FalsePositiveRate, Reason: utf8(n.Hint.Reason),
		},
	}
	if !n.Since.IsZero() {
		w.Since = n.Since.UnixMilli()
	}
	for _, c := range n.Children {
		w.Children = append(w.Children, nodeToWire(c))
	}
	return w
}

// nodeFromWire returns the node and about how much memory it takes.
func nodeFromWire(w *querytreepb.Node, depth int) (querytree.Node, int, error) {
	if depth == 0 {
		return querytree.Node{}, 0, errors.New("tree is too deep")
	}
	d, err := descriptionFromWire(w.GetDescription())
	if err != nil {
		return querytree.Node{}, 0, fmt.Errorf("node of the tree: %w", err)
	}
	h := w.GetHint()
	for _, rate := range []float64{w.GetSampleRate(), h.GetFalsePositiveRate()} {
		if !(rate >= 0) || math.IsInf(rate, 1) { // not a number is no rate either
			return querytree.Node{}, 0, fmt.Errorf("node of the tree: %q tells of a rate of %v", d.Name(), rate)
		}
	}
	n := querytree.Node{
		Description: d, Connected: w.GetConnected(), Error: string(w.GetError()),
		RTT: time.Duration(w.GetRtt()), SampleRate: w.GetSampleRate(),
		Hint: querytree.HintStatus{
			Synced: h.GetSynced(), Fingerprints: number(h.GetFingerprints()), Bytes: number(h.GetBytes()),
			Age: time.Duration(h.GetAge()), FalsePositiveRate: h.GetFalsePositiveRate(), Reason: h.GetReason(),
		},
	}
	if w.GetSince() != 0 {
		n.Since = time.UnixMilli(w.GetSince())
	}
	cost := 512 + len(n.Error)
	for _, c := range w.GetChildren() {
		child, more, err := nodeFromWire(c, depth-1)
		if err != nil {
			return n, 0, err
		}
		n.Children, cost = append(n.Children, child), cost+more
	}
	return n, cost, nil
}
