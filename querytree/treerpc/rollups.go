package treerpc

import (
	"errors"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// maxRollups and maxRollupBytes bound the rollups of a report.
const (
	maxRollups     = 1000
	maxRollupBytes = 256 << 10
)

func rollupsToWire(uses []querytree.RollupUse) []*querytreepb.RollupUse {
	var out []*querytreepb.RollupUse
	size := 0
	for _, u := range uses[:min(len(uses), maxRollups)] {
		if size += len(u.Tier) + len(u.Rule) + 48; size > maxRollupBytes {
			break
		}
		out = append(out, &querytreepb.RollupUse{Tier: clip(u.Tier), Rule: clip(u.Rule), Steps: count(u.Steps), Of: count(u.Of), Until: u.Until})
	}
	return out
}

func rollupsFromWire(ws []*querytreepb.RollupUse) []querytree.RollupUse {
	var out []querytree.RollupUse
	for _, w := range ws[:min(len(ws), maxRollups)] {
		out = append(out, querytree.RollupUse{
			Tier: string(w.GetTier()), Rule: string(w.GetRule()), Steps: number(w.GetSteps()), Of: number(w.GetOf()), Until: w.GetUntil(),
		})
	}
	return out
}

func restatementsToWire(rs []querytree.Restatement) []*querytreepb.Restatement {
	var out []*querytreepb.Restatement
	for _, r := range rs {
		out = append(out, &querytreepb.Restatement{Number: r.Number, Mint: r.Mint, Maxt: r.Maxt})
	}
	return out
}

// restatementsFromWire refuses what could hide a change: restatements that do not
// count up.
func restatementsFromWire(ws []*querytreepb.Restatement) ([]querytree.Restatement, error) {
	if len(ws) > maxEpochs {
		return nil, errors.New("description: too many restatements")
	}
	var out []querytree.Restatement
	last := uint64(0)
	for _, w := range ws {
		if w.GetNumber() <= last || w.GetMint() > w.GetMaxt() {
			return nil, errors.New("description: restatements that do not count up, or of no time")
		}
		last = w.GetNumber()
		out = append(out, querytree.Restatement{Number: w.GetNumber(), Mint: w.GetMint(), Maxt: w.GetMaxt()})
	}
	return out, nil
}
