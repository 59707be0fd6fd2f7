package main

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/roster"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/querytree/treerpc"
)

// registry lets children that connect register in a roster.
type registry struct{ roster *roster.Roster }

// Admit implements treerpc.Registry.
func (r registry) Admit(ctx context.Context, d querytree.Description, c querytree.Child, alive func(context.Context) error) (treerpc.Session, error) {
	e, err := r.roster.Admit(ctx, d, c, alive)
	if err == nil {
		return e, nil
	}
	code := treerpc.RefusedOther
	switch {
	case errors.Is(err, roster.ErrDuplicate):
		code = treerpc.RefusedDuplicate
	case errors.Is(err, roster.ErrDoesNotFit):
		code = treerpc.RefusedDoesNotFit
	case errors.Is(err, roster.ErrConnected):
		code = treerpc.RefusedSameParent
	}
	return nil, &treerpc.Refusal{Code: code, Reason: err.Error()}
}

// serveChildren makes a server for the tier's children part of the node.
func (n *node) serveChildren(f childrenFlags, t *tier.Tier, logger *slog.Logger, reg prometheus.Registerer) error {
	tlsConfig, err := f.config()
	if err != nil {
		return err
	}
	srv, err := treerpc.NewServer(treerpc.ServerConfig{
		Logger: logger, Registerer: reg, Self: t.Describe, Registry: registry{t.Roster}, TLS: tlsConfig,
	})
	if err != nil {
		return err
	}
	n.add(func(ctx context.Context) error { return srv.Serve(ctx, n.grpc) })
	return nil
}

// dialParents makes a link to the parents part of the node.
func (n *node) dialParents(f parentFlags, child querytree.Child, hints treerpc.HintSource, logger *slog.Logger, reg prometheus.Registerer) (*treerpc.Link, error) {
	tlsConfig, err := f.config()
	if err != nil {
		return nil, err
	}
	link, err := treerpc.NewLink(treerpc.LinkConfig{
		Logger: logger, Registerer: reg, Child: child, Hints: hints, Parents: f.parents, TLS: tlsConfig,
	})
	if err != nil {
		return nil, err
	}
	if len(f.parents) > 0 {
		n.add(link.Run)
	}
	return link, nil
}

// liveTree shows the tree below a tier, and its parents.
type liveTree struct {
	child  querytree.Child
	link   *treerpc.Link  // nil for a root
	roster *roster.Roster // nil for a leaf
}

// Tree implements treehttp.TreeSource.
func (t liveTree) Tree(ctx context.Context) treehttp.Tree {
	out := treehttp.Tree{Self: treehttp.SelfNode(t.child.Describe())}
	nodes, err := t.child.Tree(ctx)
	if err != nil {
		out.Self.Error = err.Error()
	}
	for _, n := range nodes {
		out.Children = append(out.Children, treehttp.LiveNode(n))
	}
	if t.link != nil {
		for _, s := range t.link.Status() {
			if s.State != treerpc.StateRedundant {
				out.Parents = append(out.Parents, parentOf(s))
			}
		}
	}
	if t.roster != nil {
		for _, r := range t.roster.Refusals() {
			out.Refused = append(out.Refused, treehttp.Refusal{Name: r.Name, Reason: r.Reason, At: r.At})
		}
	}
	return out
}

func parentOf(s treerpc.LinkStatus) treehttp.Parent {
	p := treehttp.Parent{Address: s.Address, Name: s.Name, State: treehttp.State(s.State), Since: s.Since, Error: s.Error}
	if p.Address == "" {
		p.Address = s.Parent
	}
	if h := s.Hints; h.Acknowledges {
		p.Hints = &treehttp.SentHints{UnacknowledgedBytes: h.Unacknowledged, UnacknowledgedAge: treehttp.Seconds(h.Age), Unused: h.Unused}
	}
	return p
}

// Forget implements treehttp.Forgetter.
func (t liveTree) Forget(name string) error {
	if t.roster == nil {
		return treehttp.ErrUnknownChild
	}
	err := t.roster.Forget(name)
	if errors.Is(err, roster.ErrUnknown) {
		return errors.Join(treehttp.ErrUnknownChild, err)
	}
	return err
}

// port returns the port of a listener's address on the loopback interface.
func loopback(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort("127.0.0.1", port)
}
