package treehttp

import (
	"time"

	"github.com/pandometrics/pando/querytree"
)

// Gap is a time when a leaf may have missed samples, both ends included. One
// without an end is not over.
type Gap struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
}

func gapsOf(d querytree.Description) []Gap {
	var out []Gap
	for _, g := range d.Gaps {
		out = append(out, Gap{at(max(g.Mint, d.Mint)), at(g.Maxt)})
	}
	return out
}

// GapTime is how long gaps are together, as of now.
func GapTime(gaps []Gap, now time.Time) time.Duration {
	var sum time.Duration
	for _, g := range gaps {
		end := g.End
		if end.IsZero() {
			end = now
		}
		sum += max(end.Sub(g.Start), 0)
	}
	return sum
}
