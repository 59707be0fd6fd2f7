package main

import (
	"context"

	"github.com/pandometrics/pando/fieldhint"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// liveHints tells of the field hints that a tier offers and those that it holds.
type liveHints struct {
	describe func() querytree.Description
	own      *fieldhint.Set // nil if nothing is offered
	tier     *tier.Tier     // nil for a leaf
}

// Hints implements treehttp.HintSource.
func (h liveHints) Hints(context.Context) treehttp.Hints {
	d := h.describe()
	out := treehttp.Hints{Name: d.Name(), Tier: d.Tier}
	if h.own != nil {
		out.Own = &treehttp.OwnHint{
			Complete: h.own.IsComplete(), Fingerprints: uint64(h.own.Len()), Bytes: uint64(h.own.Bytes()), Epoch: h.own.Epoch(),
			Scheme: kindsOf(h.own.Scheme()),
		}
	}
	if h.tier == nil {
		return out
	}
	uses := h.tier.Mixer.HintUses()
	out.Savings = h.tier.Mixer.HintSavings()
	for _, m := range h.tier.Roster.Members() {
		c := h.child(m)
		c.Uses = treehttp.UsesOf(uses[c.Name])
		out.Children = append(out.Children, c)
	}
	return out
}

// child describes the hint of one child.
func (h liveHints) child(m querytree.Member) treehttp.ChildHint {
	name := m.Description.Name()
	c := treehttp.ChildHint{Name: name, Tier: m.Description.Tier, Connected: m.Connected}
	if h.tier.Index == nil {
		c.Reason, c.Unsynced = "off", "field hints are switched off here"
		return c
	}
	stats, known := h.tier.Index.Child(name)
	detail, _ := h.tier.Index.Detail(name)
	c.Synced, c.Reason, c.Unsynced = stats.Synced, string(stats.Unused), detail.Unsynced
	switch {
	case !m.Connected:
		c.Synced, c.Reason, c.Unsynced = false, string(fieldhint.ReasonDisconnected), "not connected"
	case m.Stale:
		c.Synced, c.Reason, c.Unsynced = false, string(fieldhint.ReasonLate), "it has not answered a ping of late"
	case !known:
		c.Reason, c.Unsynced = string(fieldhint.ReasonNeverSynced), "nothing has come of its hint yet"
	}
	if stats.Epoch != 0 {
		c.Hint = &treehttp.HintState{
			Fingerprints: stats.Fingerprints, Bytes: uint64(stats.Bytes), Layers: stats.Layers, Fill: detail.Fill, Epoch: stats.Epoch,
			Age: treehttp.Seconds(stats.Age), FalsePositiveRate: stats.FalsePositiveRate, Sections: sectionsOf(detail.Sections),
		}
	}
	return c
}

// kindsOf lists the decisions of a scheme.
func kindsOf(scheme *fieldhint.Scheme) []treehttp.HintKind {
	var out []treehttp.HintKind
	for _, d := range scheme.Decisions() {
		out = append(out, treehttp.HintKind{
			Class: string(d.Class), Labels: d.Labels, Kept: d.Kept, Facts: d.Facts, Bytes: d.Bytes, Reason: d.Reason,
		})
	}
	return out
}

func sectionsOf(sections []fieldhint.SectionDetail) []treehttp.HintSection {
	out := []treehttp.HintSection{}
	for _, s := range sections {
		section := treehttp.HintSection{Fingerprints: s.Fingerprints, Bytes: uint64(s.Bytes)}
		from, to := s.Bounded()
		if from {
			section.From = seconds(s.From)
		}
		if to {
			section.To = seconds(s.To)
		}
		out = append(out, section)
	}
	return out
}

func seconds(ms int64) *float64 {
	s := float64(ms) / 1000
	return &s
}
