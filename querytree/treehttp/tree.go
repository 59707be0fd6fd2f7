package treehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// TreeSource knows the part of the tree that a tier sees. It is safe for
// concurrent use.
type TreeSource interface {
	// Tree returns the live tree. It should be cheap: it is asked for by people
	// who watch it.
	Tree(ctx context.Context) Tree
}

// Forgetter is a TreeSource whose missing children can be given up for good, so
// that their absence is no longer reported.
type Forgetter interface {
	// Forget removes the missing child of that name. It returns ErrUnknownChild
	// if there is none, and another error if the child may not be forgotten, for
	// instance because it is connected.
	Forget(name string) error
}

// ErrUnknownChild says that there is no child of that name.
var ErrUnknownChild = errors.New("unknown child")

// State of a node.
type State string

// States of nodes, as the tier that answers sees them.
const (
	StateSelf      State = "self"      // the tier that answers
	StateConnected State = "connected" // answers queries
	StateMissing   State = "missing"   // known, but not connected
)

// Tree is the part of the tree that a tier sees.
type Tree struct {
	// At is when this was so, by the clock of the tier that answers.
	At   time.Time `json:"at"`
	Self Node      `json:"self"`
	// Parents are those that the tier has dialled.
	Parents  []Parent `json:"parents,omitempty"`
	Children []Node   `json:"children"`
	// Refused are the latest refused registrations, newest first.
	Refused []Refusal `json:"refused,omitempty"`
}

// Node is one tier of the tree.
type Node struct {
	Name    string            `json:"name"`
	Tier    string            `json:"tier"`
	Labels  map[string]string `json:"labels,omitempty"`
	Shard   string            `json:"shard,omitempty"`
	Replica string            `json:"replica,omitempty"`
	Version string            `json:"version,omitempty"`
	State   State             `json:"state"`
	// Since is when the node came into its state.
	Since time.Time `json:"since,omitzero"`
	// Error says why a node is missing, or what is wrong with one that is not.
	Error string `json:"error,omitempty"`
	// Series in the head and Samples appended since start, of all leaves below.
	Series  uint64 `json:"series"`
	Samples uint64 `json:"samples"`
	// SampleRate is the number of samples appended a second; zero if unknown.
	SampleRate float64 `json:"sampleRate,omitempty"`
	// Mint and Maxt are the times of the oldest and the newest sample.
	Mint time.Time `json:"mint,omitzero"`
	Maxt time.Time `json:"maxt,omitzero"`
	// Leaves counts the connected leaves below, 1 for a leaf.
	Leaves int `json:"leaves"`
	// RTT is the latest round trip to the node; zero if unknown.
	RTT Seconds `json:"rtt,omitempty"`
	// Hint is the node's field hint; nil if there is none.
	Hint *Hint `json:"hint,omitempty"`
	// Gaps are the times since Mint when a leaf may have missed samples.
	Gaps []Gap `json:"gaps,omitempty"`
	// Revision is that of the configuration in effect; empty if there is none, or
	// the node does not tell. ReloadFailed: a later attempt to load one failed.
	Revision     string `json:"revision,omitempty"`
	ReloadFailed bool   `json:"reloadFailed,omitempty"`
	// Readable: the node's status can be read through this tier. If not, Unreadable
	// is why, in a word.
	Readable   bool   `json:"readable,omitempty"`
	Unreadable string `json:"unreadable,omitempty"`
	Children   []Node `json:"children,omitempty"`
}

// Why the status of a node cannot be read, see Node.Unreadable.
const (
	UnreadableMissing     = "missing"     // it is not connected
	UnreadableRefused     = "refused"     // it does not want that
	UnreadableTooOld      = "too-old"     // its version does not know of it
	UnreadableUnreachable = "unreachable" // a tier between is too old, or does not answer
)

// Hint is what a tier knows of a child's field hint.
type Hint struct {
	// Synced is set if the hint is complete, so that it may prune.
	Synced       bool   `json:"synced"`
	Fingerprints uint64 `json:"fingerprints"`
	Bytes        uint64 `json:"bytes"`
	// Age is the time since the latest update.
	Age Seconds `json:"age"`
	// FalsePositiveRate is the estimated share of absent fingerprints that seem
	// present.
	FalsePositiveRate float64 `json:"falsePositiveRate"`
	// Reason is why the hint may not prune, in a word; empty if it may, or if the
	// node's parent does not tell.
	Reason string `json:"reason,omitempty"`
}

// Parent is a tier above.
type Parent struct {
	Address string    `json:"address"`
	Name    string    `json:"name,omitempty"`
	State   State     `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	Error   string    `json:"error,omitempty"`
	// Hints is how far the parent has come with this tier's field hints; nil if
	// it does not tell, or none are offered.
	Hints *SentHints `json:"hints,omitempty"`
}

// SentHints is what a parent says of the field hints that it is sent.
type SentHints struct {
	// UnacknowledgedBytes were sent, and the parent has not said to have applied
	// them; UnacknowledgedAge is how long ago the first of them were sent.
	UnacknowledgedBytes int     `json:"unacknowledgedBytes"`
	UnacknowledgedAge   Seconds `json:"unacknowledgedAge"`
	// Unused is why the parent does not use the hints, in a word; empty if it does.
	Unused string `json:"unused,omitempty"`
}

// Refusal is a registration that was refused.
type Refusal struct {
	Name   string    `json:"name"`
	Remote string    `json:"remote"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Seconds is a duration whose JSON form is a number of seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return fmt.Errorf("parse seconds %.20q: %w", b, err)
	}
	*s = Seconds(f * float64(time.Second))
	return nil
}

// SelfNode is the node of a tier as it describes itself.
func SelfNode(d querytree.Description) Node { return DescribedNode(d, StateSelf) }

// DescribedNode is the node of a tier that gave that description.
func DescribedNode(d querytree.Description, state State) Node {
	return Node{
		Name: d.Name(), Tier: d.Tier, Labels: d.Labels.Map(), Shard: d.Shard, Replica: d.Replica,
		Version: d.Version, State: state, Series: d.Series, Samples: d.Samples,
		Mint: at(d.Mint), Maxt: at(d.Maxt), Leaves: d.Leaves, Gaps: gapsOf(d), Revision: d.Revision, ReloadFailed: d.ReloadFailed,
	}
}

// loneTier is the TreeSource of a tier without one.
type loneTier func() querytree.Description

func (describe loneTier) Tree(context.Context) Tree {
	return Tree{Self: SelfNode(describe()), Children: []Node{}}
}

// tree serves the live tree.
func (h *Handler) tree(w http.ResponseWriter, r *http.Request) {
	t := h.cfg.Tree.Tree(r.Context())
	if t.Children == nil {
		t.Children = []Node{}
	}
	t.At, t.Self.Readable = h.cfg.Now().UTC(), h.cfg.Below != nil
	writeJSON(w, http.StatusOK, t)
}

// forget removes a missing child from the tree.
func (h *Handler) forget(w http.ResponseWriter, r *http.Request) {
	f, ok := h.cfg.Tree.(Forgetter)
	if !ok {
		d := h.cfg.Describe()
		respondError(w, http.StatusNotFound, errNotFound, fmt.Sprintf("%s %q has no children to forget", d.Tier, d.Name()))
		return
	}
	name := r.PathValue("name")
	switch err := f.Forget(name); {
	case errors.Is(err, ErrUnknownChild):
		respondError(w, http.StatusNotFound, errNotFound, fmt.Sprintf("forget child %q: %v", name, err))
	case err != nil:
		respondError(w, http.StatusConflict, errExecution, fmt.Sprintf("forget child %q: %v", name, err))
	default:
		h.cfg.Logger.Info("child forgotten", "child", name, "remote", r.RemoteAddr)
		w.WriteHeader(http.StatusNoContent)
	}
}

// LiveNode is the node of a child as its parent sees it, with all that is below.
func LiveNode(n querytree.Node) Node { return liveNode(n, true) }

// liveNode is LiveNode of a node that status requests come to, or not.
func liveNode(n querytree.Node, reached bool) Node {
	state := StateConnected
	if !n.Connected {
		state = StateMissing
	}
	out := DescribedNode(n.Description, state)
	out.Unreadable = unreadable(n, reached)
	out.Readable = out.Unreadable == ""
	out.Since, out.Error, out.RTT, out.SampleRate = tellable(n.Since), n.Error, Seconds(n.RTT), n.SampleRate
	if h := n.Hint; h != (querytree.HintStatus{}) {
		out.Hint = &Hint{
			Synced: h.Synced, Fingerprints: uint64(h.Fingerprints), Bytes: uint64(h.Bytes),
			Age: Seconds(h.Age), FalsePositiveRate: h.FalsePositiveRate, Reason: h.Reason,
		}
	}
	for _, c := range n.Children {
		out.Children = append(out.Children, liveNode(c, out.Readable || out.Unreadable == UnreadableRefused))
	}
	return out
}

// unreadable is why the status of a node cannot be read; empty if it can.
func unreadable(n querytree.Node, reached bool) string {
	switch {
	case !n.Connected:
		return UnreadableMissing
	case !reached:
		return UnreadableUnreachable
	case !n.Has(querytree.FeatureStatus):
		return UnreadableTooOld
	case n.Has(querytree.FeatureStatusRefused):
		return UnreadableRefused
	default:
		return ""
	}
}
