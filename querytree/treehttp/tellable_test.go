package treehttp

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// Whatever time a client or a child tells of can be told of in JSON.
func TestAnyTimeCanBeTold(t *testing.T) {
	for _, ms := range []int64{
		math.MinInt64, math.MinInt64 + 1, -1 << 50, firstTellable - 1, firstTellable, 0, lastTellable, lastTellable + 1, 1 << 50, math.MaxInt64 / 2, math.MaxInt64,
	} {
		if b, err := json.Marshal(at(ms)); err != nil {
			t.Errorf("%d: %s, %v", ms, b, err)
		}
	}
	for ms, want := range map[int64]int64{
		firstTellable - 1: firstTellable, lastTellable + 1: lastTellable, math.MaxInt64 / 2: lastTellable, math.MinInt64 / 2: firstTellable, 17: 17,
	} {
		if got := at(ms).UnixMilli(); got != want {
			t.Errorf("%d is told as %d, want %d", ms, got, want)
		}
	}
	if _, err := json.Marshal(LiveNode(querytree.Node{Since: time.UnixMilli(math.MaxInt64)})); err != nil {
		t.Error("a node:", err)
	}
	if n := LiveNode(querytree.Node{}); !n.Since.IsZero() {
		t.Errorf("a time that is not known is told as %v", n.Since)
	}
	q := &queryRun{}
	for _, s := range []int64{math.MinInt64, math.MaxInt64, 9e12, -9e12} {
		q.onGrid(time.Unix(s, 0), time.Unix(s, 0), time.Second)
		if _, err := json.Marshal(q.row); err != nil {
			t.Errorf("a query at %d: %v", s, err)
		}
	}
}
