package querytree

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/timestamp"
)

// While a query waits for a child, it tells which, whether its plan pushes it down
// or pulls raw series; and it owes nothing in the end.
func TestProgress(t *testing.T) {
	for query, want := range map[string][2]Progress{
		"sum(x)":                     {{Asked: 2, Answered: 1, Waiting: []string{"zone=us"}}, {Asked: 2, Answered: 1, Failed: 1}},
		"sum(x) / sum(y)":            {{Asked: 2, Answered: 1, Waiting: []string{"zone=us"}}, {Asked: 2, Answered: 1, Failed: 1}},
		"stddev_over_time(x[5m:1m])": {{Asked: 2, Answered: 1, Waiting: []string{"zone=us"}}, {Asked: 2, Answered: 1, Failed: 1}},
	} {
		t.Run(query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := mixerOver(t, Identity{Tier: TierRoot}, impatient, saying(eu, point(1, "zone", "eu")), hanging(us))
				ctx, sink := WithReport(t.Context())
				q, err := Engine{}.NewInstantQuery(ctx, m, nil, query, timestamp.Time(0))
				if err != nil {
					t.Fatal(err)
				}
				defer q.Close()
				if got := sink.Progress(); got.Asked != 0 {
					t.Errorf("before it is evaluated: %+v", got)
				}
				done := make(chan struct{})
				go func() { defer close(done); q.Exec(ctx) }()
				synctest.Wait()
				if d := cmp.Diff(want[0], sink.Progress()); d != "" {
					t.Errorf("halfway -want +got:\n%s", d)
				}
				<-done
				if d := cmp.Diff(want[1], sink.Progress()); d != "" {
					t.Errorf("in the end -want +got:\n%s", d)
				}
			})
		})
	}
}

// Who listens to nothing is told nothing.
func TestNoProgress(t *testing.T) {
	var s *ReportSink
	s.watch(&watch{})
	if d := cmp.Diff(Progress{}, s.Progress()); d != "" {
		t.Error(d)
	}
}
