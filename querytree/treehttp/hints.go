package treehttp

import (
	"context"
	"net/http"

	"github.com/pandometrics/pando/querytree"
)

// Hints is what a tier knows of field hints: its own, which its parents prune
// by, and those of its children, with what they were good for.
type Hints struct {
	Name string `json:"name"`
	Tier string `json:"tier"`
	// Own is what the tier offers its parents; nil if hints are off, and of a
	// root.
	Own *OwnHint `json:"own,omitempty"`
	// Uses sum up those of the children, by kind of selector.
	Uses map[querytree.SelectorKind]Uses `json:"uses"`
	// Savings tell by which labels requests were spared; estimated.
	Savings  querytree.HintSavings `json:"savings"`
	Children []ChildHint           `json:"children"`
}

// OwnHint is a set of fingerprints that a tier offers its parents.
type OwnHint struct {
	// Complete is set if all that the tier holds is in it, so that it may prune.
	Complete     bool   `json:"complete"`
	Fingerprints uint64 `json:"fingerprints"`
	Bytes        uint64 `json:"bytes"`
	// Epoch names the set; it changes when the tier starts.
	Epoch uint64 `json:"epoch,string"`
	// Scheme is what a leaf decided to tell of its series, kind by kind.
	Scheme []HintKind `json:"scheme,omitempty"`
}

// HintKind is a kind of facts about series: the values or the trigrams of a
// label, or the pairs of values of two.
type HintKind struct {
	Class  string   `json:"class"`
	Labels []string `json:"labels"`
	Kept   bool     `json:"kept"`
	// Facts is the estimated number of facts of the kind, Bytes the memory that
	// they take, or would, at a parent.
	Facts  int    `json:"facts"`
	Bytes  int    `json:"bytes"`
	Reason string `json:"reason"`
}

// ChildHint is the field hint of one child, as this tier holds it.
type ChildHint struct {
	Name      string `json:"name"`
	Tier      string `json:"tier"`
	Connected bool   `json:"connected"`
	// Synced is set if the hint may prune; Reason is why not otherwise, in a word,
	// and Unsynced says it in more of them.
	Synced   bool   `json:"synced"`
	Reason   string `json:"reason,omitempty"`
	Unsynced string `json:"unsynced,omitempty"`
	// Hint is what there is of the hint; nil if nothing has come of it.
	Hint *HintState `json:"hint,omitempty"`
	// Uses count, by kind of selector, since the tier started.
	Uses map[querytree.SelectorKind]Uses `json:"uses"`
}

// HintState is the state of one hint.
type HintState struct {
	Fingerprints uint64 `json:"fingerprints"`
	// Bytes is the memory taken, by a filter of that many layers; Fill is the
	// share of their room that is taken.
	Bytes  uint64  `json:"bytes"`
	Layers int     `json:"layers"`
	Fill   float64 `json:"fill"`
	Epoch  uint64  `json:"epoch,string"`
	// Age is the time since the last frame.
	Age Seconds `json:"age"`
	// FalsePositiveRate is the estimated share of absent fingerprints that seem
	// present. What hints pass in vain is measured in Uses, and is mostly due to
	// what fingerprints do not tell.
	FalsePositiveRate float64 `json:"falsePositiveRate"`
	// Sections are the spans of time by which the hint is kept.
	Sections []HintSection `json:"sections"`
}

// HintSection is what is held of the series that have samples in a span of time.
type HintSection struct {
	// From and To are the span's ends in Unix seconds; nil if it has no such end.
	From         *float64 `json:"from,omitempty"`
	To           *float64 `json:"to,omitempty"`
	Fingerprints uint64   `json:"fingerprints"`
	Bytes        uint64   `json:"bytes"`
}

// Uses are counts, and what they come to.
type Uses struct {
	querytree.HintUse
	// EmptyRate is the share of the requests in vain of those that tell.
	EmptyRate float64 `json:"emptyRate"`
}

// HintSource tells of a tier's field hints. It is safe for concurrent use.
type HintSource interface {
	// Hints returns what is known now, without asking anyone.
	Hints(ctx context.Context) Hints
}

// noHints is the HintSource of a tier without.
type noHints func() querytree.Description

func (describe noHints) Hints(context.Context) Hints {
	d := describe()
	return Hints{Name: d.Name(), Tier: d.Tier}
}

// UsesOf returns the counts of a child, of every kind.
func UsesOf(counts map[querytree.SelectorKind]querytree.HintUse) map[querytree.SelectorKind]Uses {
	out := map[querytree.SelectorKind]Uses{}
	for _, kind := range querytree.SelectorKinds() {
		u := Uses{HintUse: counts[kind]}
		if u.Told > 0 {
			u.EmptyRate = float64(u.Empty) / float64(u.Told)
		}
		out[kind] = u
	}
	return out
}

// hints serves what is known of field hints.
func (h *Handler) hints(w http.ResponseWriter, r *http.Request) {
	out := h.cfg.Hints.Hints(r.Context())
	sum := map[querytree.SelectorKind]querytree.HintUse{}
	for _, c := range out.Children {
		for kind, u := range c.Uses {
			sum[kind] = sum[kind].Plus(u.HintUse)
		}
	}
	out.Uses = UsesOf(sum)
	if out.Children == nil {
		out.Children = []ChildHint{}
	}
	if out.Savings.Labels == nil {
		out.Savings.Labels = []querytree.LabelSaving{}
	}
	respond(w, out, nil)
}
