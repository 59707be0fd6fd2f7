package leaf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
)

// stored is a sample that a leaf has taken, and may have dropped since.
type stored struct {
	lset labels.Labels
	at   int64
}

// hintedLeaf is a leaf to which everything happens that leaves live through, by a
// clock of its own, and a parent that follows its hints.
type hintedLeaf struct {
	*Leaf
	t     *testing.T
	r     *rand.Rand
	cfg   Config
	clock time.Time
	set   *fieldhint.Set
	index *fieldhint.Index

	series  []labels.Labels
	samples []stored
	// lookups are those for samples that are there, spared those that were ruled out
	// for times at which the series had none.
	lookups, spared, gone int
}

func newHintedLeaf(t *testing.T, seed uint64) *hintedLeaf {
	l := &hintedLeaf{t: t, r: rand.New(rand.NewPCG(11, seed)), cfg: testConfig(t.TempDir()), clock: time.Now().Truncate(24 * time.Hour)}
	l.cfg.OutOfOrderWindow, l.cfg.Retention, l.cfg.HintWindow = 5*time.Hour, 16*time.Hour, 4*time.Hour
	var err error
	if l.index, err = fieldhint.NewIndex(fieldhint.IndexConfig{MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	l.start()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// start starts a process of the leaf.
func (l *hintedLeaf) start() {
	l.t.Helper()
	var err error
	if l.set, err = fieldhint.NewSet(fieldhint.SetConfig{External: testIdentity}); err != nil {
		l.t.Fatal(err)
	}
	if l.Leaf, err = Open(l.cfg, Deps{Hints: l.set, Now: func() time.Time { return l.clock }}); err != nil {
		l.t.Fatal(err)
	}
	l.update()
}

func (l *hintedLeaf) update() {
	l.t.Helper()
	if err := l.indexing.update(l.t.Context(), l.store); err != nil {
		l.t.Error(err)
	}
}

// again is a restart; the parent stays.
func (l *hintedLeaf) again() {
	l.t.Helper()
	if err := l.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.start()
}

// write appends samples of new series and of old ones, of now and as old as the leaf
// takes.
func (l *hintedLeaf) write() {
	l.t.Helper()
	for range 1 + l.r.IntN(8) {
		if len(l.series) == 0 || l.r.IntN(2) == 0 {
			n := len(l.series)
			l.series = append(l.series, labels.FromStrings("__name__", fmt.Sprint("m", n%7), "job", fmt.Sprint("job-", n%3), "pod", fmt.Sprintf("pod-%x", n*2654435761)))
		}
		lset := l.series[max(0, len(l.series)-1-l.r.IntN(20))]
		at := l.clock.UnixMilli()
		if l.r.IntN(3) == 0 {
			at -= l.r.Int64N((6 * time.Hour).Milliseconds())
		}
		app := l.written.Appender(l.t.Context())
		if _, err := app.Append(0, lset, at, 1); err != nil {
			_ = app.Rollback() // too old, or a duplicate
			continue
		}
		if err := app.Commit(); err != nil {
			l.t.Fatal(err)
		}
		l.samples = append(l.samples, stored{lset, at})
	}
}

// backfill has somebody put a block there, and waits until it is served.
func (l *hintedLeaf) backfill() {
	l.t.Helper()
	at := l.clock.Add(-6*time.Hour).UnixMilli() - l.r.Int64N((4 * time.Hour).Milliseconds())
	lset := labels.FromStrings("__name__", "m0", "job", "job-0", "pod", fmt.Sprint("late-", len(l.samples)))
	writeBlock(l.t, l.cfg.DataDir, at, lset)
	s := stored{lset, at}
	eventually(l.t, "the block is served", func() bool { return l.has(s) })
	l.samples = append(l.samples, s)
}

// deliver brings the parent up to date, over a connection of its own, on which the
// parent goes on where it was.
func (l *hintedLeaf) deliver() {
	l.t.Helper()
	feed := l.index.Open("leaf")
	enough := errors.New("enough")
	err := l.set.StreamFrom(l.t.Context(), feed.Cursor().Append(nil), func(frame []byte) error {
		if err := feed.Apply(frame); err != nil || !l.index.Synced("leaf") {
			return err
		}
		return enough
	})
	if !errors.Is(err, enough) {
		l.t.Fatal(err)
	}
}

// check asks the parent for samples, and the leaf for those that it would not be
// asked for.
func (l *hintedLeaf) check() {
	l.t.Helper()
	for range min(40, len(l.samples)) {
		s := l.samples[l.r.IntN(len(l.samples))]
		ms := []*labels.Matcher{eq("__name__", s.lset.Get("__name__")), eq("pod", s.lset.Get("pod"))}
		if l.r.IntN(2) == 0 {
			ms = append(ms, labels.MustNewMatcher(labels.MatchRegexp, "job", "job-.*|x"), eq("zone", "eu"))
		}
		before, after := l.r.Int64N(2)*l.r.Int64N(1e7), l.r.Int64N(2)*l.r.Int64N(1e7)
		l.lookups++
		if l.index.RulesOut("leaf", ms, s.at-before, s.at+after) {
			if l.has(s) {
				l.t.Fatalf("%s has a sample at %v, %v ago, and is ruled out from %v to %v:\n%s", s.lset, time.UnixMilli(s.at).UTC(),
					l.clock.Sub(time.UnixMilli(s.at)), time.UnixMilli(s.at-before).UTC(), time.UnixMilli(s.at+after).UTC(), l.store.Blocks())
			}
			l.gone++
		}
		if l.index.RulesOut("leaf", ms, l.clock.UnixMilli(), l.clock.UnixMilli()) {
			l.spared++
		}
	}
}

// has reports whether the leaf still serves a sample.
func (l *hintedLeaf) has(s stored) bool {
	l.t.Helper()
	q, err := l.served.Querier(s.at, s.at)
	if err != nil {
		l.t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(l.t.Context(), false, nil, eq("__name__", s.lset.Get("__name__")), eq("pod", s.lset.Get("pod")))
	return set.Next() && set.At().Iterator(nil).Seek(s.at) != 0
}

// Series are born, end, come back and get late samples, while the head is cut, blocks
// are compacted, put there and dropped with retention, and the leaf restarts; hints are
// made anew while samples are written. At no time at which the leaf has a sample is it
// ruled out for that.
func TestHintsOfALife(t *testing.T) {
	lookups, spared, gone := 0, 0, 0
	for seed := range uint64(3) {
		l := newHintedLeaf(t, seed)
		for round := range 60 {
			l.clock = l.clock.Add(time.Duration(l.r.Int64N(int64(50 * time.Minute))))
			done := make(chan struct{})
			go func() {
				defer close(done)
				l.update()
			}()
			l.write()
			<-done
			switch l.r.IntN(12) {
			case 0, 1, 2:
				if err := l.store.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			case 3:
				l.again()
			case 4:
				if round%4 == 0 {
					l.backfill()
					l.update()
				}
			}
			l.deliver()
			l.check()
		}
		lookups, spared, gone = lookups+l.lookups, spared+l.spared, gone+l.gone
	}
	t.Logf("%d look-ups, %d ruled out of now, %d for samples that are gone", lookups, spared, gone)
	if spared < lookups/20 || gone == 0 {
		t.Errorf("of %d look-ups, %d were ruled out for now, and %d for what retention dropped", lookups, spared, gone)
	}
}
