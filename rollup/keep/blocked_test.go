package keep

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
)

// breakTSDB has nothing be stored of one retention; it returns what mends it.
func (k *tierOf) breakTSDB(retention time.Duration) (mend func()) {
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	db := k.store.dbs[retention]
	k.store.dbs[retention] = (*tsdb.DB)(nil)
	return func() {
		k.store.mu.Lock()
		defer k.store.mu.Unlock()
		k.store.dbs[retention] = db
	}
}

// blocked returns how many of the kinds of points are said to be blocked.
func (k *tierOf) blocked() (n int) {
	for _, st := range k.c.Status(0) {
		if st.Blocked {
			n++
			if st.Failing == "" {
				k.tb.Error("it is not said why")
			}
		}
	}
	return n
}

// A restatement that cannot be stored of some points has these not be read, over a
// restart too, and keeps nobody else from anything: others are made again, and
// those above are told. Once it can be stored, all is as it should be.
func TestRestatementCannotBeStored(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			k := collected(t, worldRule) // 1h, and 2h at 30s
			mend := k.breakTSDB(time.Hour)
			from := k.now - 100_000
			k.must(k.restate(from, k.final))
			k.must(k.collect())
			if _, told := k.past.Told(); len(told) != 1 {
				t.Errorf("those above are told of %d restatements, want 1", len(told))
			}
			if n := k.blocked(); n != 1 {
				t.Errorf("%d are blocked, want 1", n)
			}
			k.pass(5 * time.Minute)
			k.must(k.collect())
			if n := k.check("blocked"); n < 18 {
				t.Errorf("only %d points of what is not blocked", n)
			}
			// A second one, and one while it is still blocked.
			k.must(k.restate(from-50_000, from))
			k.must(k.collect())
			mend()
			if restart {
				k.again(k.dir)
				if n := k.check("opened"); n > 0 {
					t.Errorf("%d points are read before it is known whether they are right", n)
				}
			}
			for range 5 {
				k.pass(time.Minute)
				k.must(k.collect())
			}
			k.check("mended")
			if n := k.blocked(); n > 0 {
				t.Errorf("%d are blocked", n)
			}
			k.again(k.dir)
			k.must(k.collect())
			k.check("opened again")
			for _, st := range k.c.Status(10) {
				if st.Absent > 0 || st.Whole == 0 {
					t.Errorf("%v: %d whole, %d absent", st.Keep, st.Whole, st.Absent)
				}
			}
		})
	}
}

// Once a child is back, what failed without it does not wait for its back-off.
func TestBackOffEndsWhenAChildIsBack(t *testing.T) {
	k := collected(t, hourRule)
	k.away = true
	final := k.final
	for range 5 { // the points are due, and fail
		k.pass(maxBackoff)
		k.final = final + 60_000
		k.must(k.collect())
		k.must(k.collect())
	}
	if st := k.status(); st.Absent == 0 || st.Failing == "" {
		t.Fatalf("%d absent, failing: %q", st.Absent, st.Failing)
	}
	k.pass(time.Second) // less than any back-off that it has come to
	k.away = false
	k.must(k.collect())
	if st := k.status(); st.Absent > 0 || st.Failing != "" {
		t.Errorf("%d absent, failing: %q", st.Absent, st.Failing)
	}
	k.check("back")
}

// The metrics say what a tier lacks.
func TestTotals(t *testing.T) {
	k := collected(t, hourRule)
	want := func(text string) {
		t.Helper()
		var names []string
		for line := range strings.Lines(text) {
			name, _, _ := strings.Cut(strings.Fields(line)[0], "{")
			names = append(names, name)
		}
		got, err := testutil.CollectAndFormat(newTotals(k.c), expfmt.TypeTextPlain, names...)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			if !strings.Contains(string(got), strings.TrimSpace(line)) {
				t.Errorf("no %q in\n%s", strings.TrimSpace(line), got)
			}
		}
	}
	want("pando_rollup_kept 1\npando_rollup_due_points{state=\"absent\"} 0\npando_rollup_due_points{state=\"whole\"} 30\npando_rollup_lag_seconds 0\npando_rollup_oldest_absent_timestamp_seconds 0\npando_rollup_failing 0\npando_rollup_blocked 0\npando_rollup_horizon_seconds 5\n")
	k.away = true
	k.pass(100 * time.Second)
	k.must(k.collect())
	want("pando_rollup_lag_seconds 100\npando_rollup_horizon_seconds 105\n")
	k.pass(2 * worldHold)
	k.must(k.collect())
	want("pando_rollup_due_points{state=\"partial\"} 31\n")
}

// An answer by name says when points cannot be read, and whom newer ones wait for.
func TestByNameSaysWhyItLacksPoints(t *testing.T) {
	k := collected(t, hourRule)
	warnings := func() (out []string) {
		t.Helper()
		q, err := k.store.ByName(labels.EmptyLabels()).Querier(k.now-30_000, k.now)
		k.must(err)
		defer q.Close()
		set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "r"))
		for set.Next() {
		}
		k.must(set.Err())
		for _, w := range set.Warnings().AsErrors() {
			out = append(out, w.Error())
		}
		return out
	}
	if w := warnings(); len(w) > 0 {
		t.Errorf("all is there: %q", w)
	}
	k.away = true
	k.pass(time.Minute)
	k.must(k.collect())
	if w := warnings(); len(w) != 1 || !strings.Contains(w[0], `it waits for ["b"]`) {
		t.Errorf("a child is away: %q", w)
	}
	k.away = false
	k.pass(time.Second)
	k.must(k.collect())
	if w := warnings(); len(w) > 0 {
		t.Errorf("it is back: %q", w)
	}
	k.again(k.dir)
	if w := warnings(); len(w) != 1 || !strings.Contains(w[0], "can be read yet") {
		t.Errorf("just opened: %q", w)
	}
}

// Samples may be final later than the tier waits for children. While nobody is away
// that holds up nothing but what is not final.
func TestHoldIsShorterThanSamplesAreFinal(t *testing.T) {
	k := collected(t, hourRule)
	for range 10 {
		k.pass(time.Minute)
		k.final = k.now - 2*worldHold.Milliseconds()
		k.must(k.collect())
	}
	if st := k.status(); st.Absent > 0 || st.Failing != "" || st.Until.Before(time.UnixMilli(k.final-worldStep)) {
		t.Errorf("%d absent, until %v of %v, failing: %q", st.Absent, st.Until, time.UnixMilli(k.final), st.Failing)
	}
	k.check("late")
}
