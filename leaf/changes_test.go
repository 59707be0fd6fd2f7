package leaf

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// A leaf tells of samples that come late, of deletions and of rollups that can be read
// again, and of nothing else.
func TestEpochs(t *testing.T) {
	now := time.UnixMilli(100_000_000)
	cfg := testConfig(t.TempDir())
	cfg.OutOfOrderWindow = time.Hour
	l := openLeaf(t, cfg, Deps{Now: func() time.Time { return now }})
	if !l.Describe().Has(querytree.FeatureEpochs) {
		t.Fatal("the leaf does not say that it tells")
	}
	told := uint64(0)
	tells := func(what string, want int64) {
		t.Helper()
		epochs := l.Describe().Epochs
		got := int64(math.MaxInt64)
		for _, e := range epochs {
			if e.Number > told {
				got = min(got, e.Mint)
			}
		}
		if got != want {
			t.Errorf("%s: told of a change at %d, want %d", what, got, want)
		}
		told = querytree.LastEpoch(epochs)
		now = now.Add(time.Second)
	}
	up, down := labels.FromStrings("__name__", "up"), labels.FromStrings("__name__", "down")
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	tells("at first", math.MaxInt64)
	appendStored(t, l.written, ago(0), up)
	tells("in time", math.MaxInt64)
	appendStored(t, l.written, ago(SettleAfter), up)
	tells("out of order, in time", math.MaxInt64)
	settled := l.Describe().Settled
	now = now.Add(-time.Minute) // the clock is set back
	appendStored(t, l.written, settled, up)
	tells("of a time that was not settled", math.MaxInt64)
	appendStored(t, l.written, settled-1, up)
	tells("of a time that was", settled-1)
	now = now.Add(time.Minute)
	if l.Describe().Settled <= settled {
		t.Error("nothing settles any more")
	}
	late := ago(20 * time.Minute)
	appendStored(t, l.written, late, up)
	tells("out of order, late", late)
	late = ago(10 * time.Minute)
	appendStored(t, l.recorded, late, down)
	tells("a rule's first sample, late", late)
	m := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	if err := l.APIParts().Admin.Delete(t.Context(), 7, ago(0), m); err != nil {
		t.Fatal(err)
	}
	tells("a deletion", 7)
	other := labels.MustNewMatcher(labels.MatchEqual, "cluster", "another")
	if err := l.APIParts().Admin.Delete(t.Context(), 7, ago(0), m, other); err != nil {
		t.Fatal(err)
	}
	tells("a deletion elsewhere", math.MaxInt64)
	l.Readable(nil)
	tells("no points of rollups", math.MaxInt64)
	l.Readable([]string{"up"})
	tells("points of rollups", math.MinInt64)
}

// Who has been told of a change has been told how old the samples are that the
// leaf holds since: a child whose samples are all younger than a query is not
// asked, and what it lacks would be kept.
func TestEpochWithBounds(t *testing.T) {
	now := time.UnixMilli(100_000_000)
	cfg := testConfig(t.TempDir())
	cfg.OutOfOrderWindow = time.Hour
	late := func() {}
	l := openLeaf(t, cfg, Deps{Now: func() time.Time { late(); return now }})
	up := labels.FromStrings("__name__", "up")
	appendStored(t, l.written, now.UnixMilli(), up)
	told := querytree.LastEpoch(l.Describe().Epochs)
	at := now.Add(-20 * time.Minute).UnixMilli()
	looks := 0
	late = func() { // while the leaf describes itself, the second time that it looks at the clock
		if looks++; looks == 2 {
			late = func() {}
			appendStored(t, l.written, at, up)
		}
	}
	d := l.Describe()
	if querytree.LastEpoch(d.Epochs) > told && d.Mint > at {
		t.Errorf("told of a change at %d by a leaf that says that its oldest sample is at %d", at, d.Mint)
	}
	if d = l.Describe(); querytree.LastEpoch(d.Epochs) == told || d.Mint > at {
		t.Errorf("told of epochs %v, oldest sample %d; want a change at %d", d.Epochs, d.Mint, at)
	}
}

// A late sample is told of although its exemplar was refused: the sample is
// stored all the same.
func TestEpochsDespiteExemplars(t *testing.T) {
	now := time.UnixMilli(100_000_000)
	cfg := testConfig(t.TempDir())
	cfg.OutOfOrderWindow = time.Hour
	l := openLeaf(t, cfg, Deps{Now: func() time.Time { return now }})
	before := l.Describe()
	up := labels.FromStrings("__name__", "up")
	late := now.Add(-20 * time.Minute).UnixMilli()
	for _, at := range []int64{now.UnixMilli(), late} {
		app := l.written.AppenderV2(t.Context())
		long := strings.Repeat("x", exemplar.ExemplarMaxLabelSetLength)
		e := exemplar.Exemplar{Labels: labels.FromStrings("trace", long), Ts: at, HasTs: true}
		_, err := app.Append(0, up, 0, at, 1, nil, nil, storage.AOptions{Exemplars: []exemplar.Exemplar{e}})
		if _, partial := errors.AsType[*storage.AppendPartialError](err); !partial {
			t.Fatalf("sample at %d: %v", at, err)
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	d := l.Describe()
	if n := d.Samples - before.Samples; n != 2 {
		t.Errorf("%d samples are counted, want 2", n)
	}
	if len(d.Epochs) != 1 || d.Epochs[0].Mint != late {
		t.Errorf("told of %v, want a change at %d", d.Epochs, late)
	}
}
