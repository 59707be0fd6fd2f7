package treerpc

import (
	"testing"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Epochs that could hide a change, or are too many, are refused.
func TestBadEpochs(t *testing.T) {
	many := make([]*querytreepb.Epoch, maxEpochs+1)
	for i := range many {
		many[i] = &querytreepb.Epoch{Number: uint64(i + 1)}
	}
	for name, epochs := range map[string][]*querytreepb.Epoch{
		"number zero": {{Number: 0}}, "the same twice": {{Number: 4}, {Number: 4}}, "backwards": {{Number: 4}, {Number: 3}}, "too many": many,
	} {
		if got, err := epochsFromWire(epochs); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
	if got, err := epochsFromWire(many[:maxEpochs]); err != nil || len(got) != maxEpochs {
		t.Errorf("%d epochs: %v", len(got), err)
	}
}
