package treerpc

import (
	"errors"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// maxEpochs bounds the epochs of a description.
const maxEpochs = 100

func epochsToWire(epochs []querytree.Epoch) []*querytreepb.Epoch {
	var out []*querytreepb.Epoch
	for _, e := range epochs {
		out = append(out, &querytreepb.Epoch{Number: e.Number, Mint: e.Mint})
	}
	return out
}

// epochsFromWire refuses what could hide a change: epochs that do not count up.
func epochsFromWire(ws []*querytreepb.Epoch) ([]querytree.Epoch, error) {
	if len(ws) > maxEpochs {
		return nil, errors.New("description: too many epochs")
	}
	var out []querytree.Epoch
	last := uint64(0)
	for _, w := range ws {
		if w.GetNumber() <= last {
			return nil, errors.New("description: epochs do not count up")
		}
		last = w.GetNumber()
		out = append(out, querytree.Epoch{Number: w.GetNumber(), Mint: w.GetMint()})
	}
	return out, nil
}
