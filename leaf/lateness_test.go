package leaf

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// A parent that looks at times before a leaf's oldest sample leaves it out, by what the
// leaf told a while ago: so the leaf tells of the time before which no sample will come.
func TestEarliestIsOfWhatMayCome(t *testing.T) {
	now := time.Now()
	cfg := testConfig(t.TempDir())
	cfg.OutOfOrderWindow = 3 * time.Hour
	l := openLeaf(t, cfg, Deps{Now: func() time.Time { return now }})
	if d := l.Describe(); d.Earliest != math.MinInt64 {
		t.Errorf("an empty leaf takes samples of any time, and tells of %d", d.Earliest)
	}
	appendStored(t, l.written, now.UnixMilli(), labels.FromStrings("__name__", "up"))
	now = now.Add(3 * slowAppend)
	l.Describe()
	now = now.Add(3 * slowAppend)
	before := l.Describe()
	if before.Earliest > before.Mint-3*time.Hour.Milliseconds() || before.Earliest == math.MinInt64 {
		t.Fatalf("earliest %d, oldest sample %d, with samples of 3h ago accepted", before.Earliest, before.Mint)
	}
	late := before.Mint - 3*time.Hour.Milliseconds()
	appendStored(t, l.written, late, labels.FromStrings("__name__", "late"))
	if after := l.Describe(); after.Mint != late || before.Earliest > late || after.Earliest > late {
		t.Errorf("a sample of %d came, where %d was the earliest; oldest is %d, earliest %d", late, before.Earliest, after.Mint, after.Earliest)
	}
	l.accept(5 * time.Hour)
	if d := l.Describe(); d.Earliest > before.Mint-5*time.Hour.Milliseconds() {
		t.Errorf("earliest %d with samples of 5h before %d accepted", d.Earliest, before.Mint)
	}
}
