package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// long is a child whose answers hold more samples than wait for their end: so
// many groups, at as many steps, all of one value. Asked for several operators, it
// answers as if each group had one series of that value.
type long struct {
	*fake
	// older: it does not know requests by group. owned: its series have its labels,
	// no other child's. varied: each value is another.
	older, owned, varied bool
	// groups is how many it answers with, if not zero, first the number of the first.
	groups, first int
	asked         atomic.Int64
	// breaks says after how many groups the n-th request, counted from one, to a
	// query fails, and how; never if it is negative.
	breaks func(n int64, query string) (after int, err error)
	v      float64
}

const (
	longGroups = 700
	longSteps  = 100
	// early is so soon that nothing has been merged yet, late so that much has.
	early, late = 3, longGroups - 10
	// longBytes is about what an answer takes.
	longBytes = longGroups * (longSteps*pointBytes + resultBytes + 20)
)

func newLong(d Description, v float64) *long {
	d.Features = []string{FeatureOps}
	l := &long{fake: &fake{desc: d}, v: v, breaks: func(int64, string) (int, error) { return -1, nil }}
	l.exec = func(ctx context.Context, req ExecRequest) (ResultSet, error) {
		after, err := l.breaks(l.asked.Add(1), req.Query)
		return &longSet{ctx: ctx, l: l, req: req, after: after, err: err, i: -1}, nil
	}
	return l
}

// failing makes the first request fail after so many groups.
func (l *long) failing(after int, err error) *long {
	l.breaks = func(int64, string) (int, error) { return after, err }
	return l
}

// longSet is the answer of a long.
type longSet struct {
	ctx    context.Context
	l      *long
	req    ExecRequest
	after  int
	err    error
	broken error
	i      int
}

// errHangs makes a child go silent.
var errHangs = errors.New("no more is heard")

func (s *longSet) Next() bool {
	s.i++
	if s.i == s.after {
		if s.broken = s.err; errors.Is(s.err, errHangs) {
			<-s.ctx.Done()
			s.broken = s.ctx.Err()
		}
		return false
	}
	return s.i < s.groups()*max(1, len(s.req.Ops))
}

func (s *longSet) groups() int {
	if s.l.groups > 0 {
		return s.l.groups
	}
	return longGroups
}

func (s *longSet) At() promql.Series {
	group, op, opLabel := s.i, "", GroupOpLabel
	switch n := len(s.req.Ops); {
	case n > 0 && s.req.ByGroup && !s.l.older:
		group, op = s.i/n, s.req.Ops[s.i%n]
	case n > 0:
		group, op, opLabel = s.i%s.groups(), s.req.Ops[s.i/s.groups()], OpLabel
	}
	b := labels.NewBuilder(labels.FromStrings("g", fmt.Sprintf("%04d", s.l.first+group))).Set(opLabel, op)
	if s.l.owned {
		s.l.desc.Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	}
	out := promql.Series{Metric: withIdentity(s.l.desc, b.Labels(), s.req.Keeps)}
	for t := s.req.Start; t <= s.req.End; t += s.req.Step {
		out.Floats = append(out.Floats, promql.FPoint{T: t, F: s.value(op, t)})
	}
	return out
}

func (s *longSet) value(op string, t int64) float64 {
	switch {
	case op == "count":
		return 1
	case op == "stddev" || op == "stdvar":
		return 0
	case s.l.varied:
		return s.l.v + float64(s.i) + float64(t)/1000
	}
	return s.l.v
}

func (s *longSet) Err() error                        { return s.broken }
func (s *longSet) Warnings() annotations.Annotations { return nil }
func (s *longSet) Report() Report                    { return s.l.fake.asked() }
func (s *longSet) Close()                            {}

// Recycle implements Recycler: who still looks at the points sees others.
func (s *longSet) Recycle(series []promql.Series) {
	for _, s := range series {
		for i := range s.Floats {
			s.Floats[i] = promql.FPoint{T: -1, F: -1}
		}
	}
}

// askLong evaluates a range query over the steps of long children. It checks
// that all points have one value, which it returns as the only series.
func askLong(t *testing.T, m *Mixer, query string, o Options) outcome {
	t.Helper()
	set, err := m.Exec(t.Context(), ExecRequest{Options: o, Query: query, Start: 0, End: (longSteps - 1) * 1000, Step: 1000})
	if err != nil {
		return outcome{Err: err.Error()}
	}
	defer set.Close()
	values, points := map[float64]int{}, 0
	for set.Next() {
		for _, p := range set.At().Floats {
			values[p.F]++
			points++
		}
	}
	var out outcome
	for v := range values {
		out.Series = append(out.Series, fmt.Sprint(v))
	}
	if len(out.Series) > 0 && points != longGroups*longSteps {
		t.Errorf("%s: %d points of %v, want %d", query, points, values, longGroups*longSteps)
	}
	slices.Sort(out.Series)
	for w := range set.Warnings() {
		out.Warnings = append(out.Warnings, w)
	}
	slices.Sort(out.Warnings)
	out.Missing = set.Report().Missing()
	return out
}

var errBroke = fmt.Errorf("%w: connection broke", ErrUnavailable)

func brokeWarning(names ...string) (out []string) {
	for _, n := range names {
		out = append(out, fmt.Sprintf("partial answer: zone %q did not answer: unavailable: connection broke", n))
	}
	return out
}

// mergedEarly are queries whose answers are merged before their ends, with what
// a child of value 2 makes of them.
var mergedEarly = map[string]string{
	"sum by (g) (x)":                        "2",
	"max by (g) (x)":                        "2",
	"min by (g) (x)":                        "2",
	"count by (g) (x)":                      "2",
	"sum by (g) (x) + 1":                    "3",
	"quantile by (g) (0.5, x)":              "2",
	"sum by (g) (x) / (1 + sum by (g) (x))": "0.6666666666666666",
	"avg by (g) (x)":                        "2",
	"stddev by (g) (x)":                     "0",
}

// A child that fails after a part of its answer has been merged makes the query
// start again without it; it is named once, and not asked again.
func TestChildFailsAfterEarlyMerge(t *testing.T) {
	for query, want := range mergedEarly {
		t.Run(query, func(t *testing.T) {
			well, sick := newLong(eu, 2), newLong(us, 5).failing(late, errBroke)
			wantOutcome(t, outcome{Series: []string{want}, Warnings: brokeWarning("zone=us"), Missing: []string{"zone=us"}},
				askLong(t, rootOver(t, well, sick), query, Options{}))
			if sick.asked.Load() != 1 || well.asked.Load() != 2 {
				t.Errorf("asked the child that fails %d times, want once; the other %d times, want twice", sick.asked.Load(), well.asked.Load())
			}
		})
	}
}

// One that fails before that is left out, without asking anybody again.
func TestChildFailsBeforeEarlyMerge(t *testing.T) {
	for query, want := range mergedEarly {
		t.Run(query, func(t *testing.T) {
			well, sick := newLong(eu, 2), newLong(us, 5).failing(early, errBroke)
			wantOutcome(t, outcome{Series: []string{want}, Warnings: brokeWarning("zone=us"), Missing: []string{"zone=us"}},
				askLong(t, rootOver(t, well, sick), query, Options{}))
			if sick.asked.Load() != 1 || well.asked.Load() != 1 {
				t.Errorf("asked the child that fails %d times, the other %d times, want once", sick.asked.Load(), well.asked.Load())
			}
		})
	}
}

// Children that fail one after the other, each in another attempt.
func TestChildrenFailOneAfterTheOther(t *testing.T) {
	for query, want := range mergedEarly {
		t.Run(query, func(t *testing.T) {
			well, first, second := newLong(eu, 2), newLong(us, 5).failing(late, errBroke), newLong(asia, 7)
			second.breaks = func(n int64, _ string) (int, error) {
				if n == 1 {
					return -1, nil
				}
				return late, errBroke
			}
			wantOutcome(t, outcome{Series: []string{want}, Warnings: brokeWarning("zone=asia", "zone=us"), Missing: []string{"zone=asia", "zone=us"}},
				askLong(t, rootOver(t, well, first, second), query, Options{}))
			if a, b, c := well.asked.Load(), first.asked.Load(), second.asked.Load(); a != 3 || b != 1 || c != 2 {
				t.Errorf("asked %d, %d and %d times, want 3, 1 and 2", a, b, c)
			}
		})
	}
}

// Children that answer with one operator after the other are merged all the same,
// beside others, and one of them that fails is left out.
func TestOlderChildrenAreMerged(t *testing.T) {
	for query, want := range map[string]string{"avg by (g) (x)": "3", "stddev by (g) (x)": "1"} {
		for _, after := range []int{early, late, longGroups + late, -1} {
			older, newer, sick := newLong(eu, 2), newLong(us, 4), newLong(asia, 9).failing(after, errBroke)
			older.older, sick.older = true, true
			wantOutcome := outcome{Series: []string{want}, Warnings: brokeWarning("zone=asia"), Missing: []string{"zone=asia"}}
			children := []Child{older, newer, sick}
			if after < 0 {
				wantOutcome, children = outcome{Series: []string{want}}, children[:2]
			}
			got := askLong(t, rootOver(t, children...), query, Options{})
			if d := cmp.Diff(wantOutcome, got); d != "" {
				t.Errorf("%s, one fails after %d series: %s", query, after, d)
			}
		}
	}
}

// If all fail, the answer is empty and names them all.
func TestAllFailAfterEarlyMerge(t *testing.T) {
	got := askLong(t, rootOver(t, newLong(eu, 2).failing(late, errBroke), newLong(us, 5).failing(late, errBroke)), "sum by (g) (x)", Options{})
	wantOutcome(t, outcome{Warnings: brokeWarning("zone=eu", "zone=us"), Missing: []string{"zone=eu", "zone=us"}}, got)
}

// Strict requests fail, whenever the child does.
func TestStrictFailureAfterEarlyMerge(t *testing.T) {
	for query := range mergedEarly {
		for _, after := range []int{early, late} {
			m := rootOver(t, newLong(eu, 2), newLong(us, 5).failing(after, errBroke))
			got := askLong(t, m, query, Options{Strict: true})
			if !strings.Contains(got.Err, `zone "zone=us" did not answer: unavailable: connection broke`) {
				t.Errorf("%s, after %d groups: want an error that names zone=us, got %+v", query, after, got)
			}
		}
	}
}

// An error of the request ends it, also in the middle of an answer.
func TestEvaluationErrorAfterEarlyMerge(t *testing.T) {
	text := "many-to-many matching not allowed"
	got := askLong(t, rootOver(t, newLong(eu, 2), newLong(us, 5).failing(late, errors.New(text))), "sum by (g) (x)", Options{})
	if !strings.Contains(got.Err, text) {
		t.Errorf("want the child's error, got %+v", got)
	}
}

// A child that fails in one of two fragments has no part in the other, though
// its answer to that was whole and merged.
func TestFailureInOneOfTwoFragments(t *testing.T) {
	for _, after := range []int{early, late} {
		well, sick := newLong(eu, 2), newLong(us, 5)
		sick.breaks = func(_ int64, query string) (int, error) {
			if strings.Contains(query, "(y)") {
				return after, errBroke
			}
			return -1, nil
		}
		got := askLong(t, rootOver(t, well, sick), "sum by (g) (x) + 10 * max by (g) (y)", Options{})
		wantOutcome(t, outcome{Series: []string{"22"}, Warnings: brokeWarning("zone=us"), Missing: []string{"zone=us"}}, got)
	}
}

// A child that falls silent in the middle costs one soft deadline, and no more
// for starting again.
func TestChildHangsAfterEarlyMerge(t *testing.T) {
	for query, want := range mergedEarly {
		synctest.Test(t, func(t *testing.T) {
			m := mixerOver(t, Identity{Tier: TierRoot}, impatient, newLong(eu, 2), newLong(us, 5).failing(late, errHangs))
			begin := time.Now()
			got := askLong(t, m, query, Options{})
			if took := time.Since(begin); took != deadline {
				t.Errorf("%s: took %s, want the soft deadline of %s", query, took, deadline)
			}
			if d := cmp.Diff([]string{want}, got.Series); d != "" || !slices.Equal(got.Missing, []string{"zone=us"}) || len(got.Warnings) != 1 {
				t.Errorf("%s: %+v", query, got)
			}
		})
	}
}

// A point that is not on the grid of the request is nonsense: the child is left
// out, and named.
func TestPointsOffTheGrid(t *testing.T) {
	off := &fake{desc: us}
	off.exec = func(_ context.Context, req ExecRequest) (ResultSet, error) {
		m := promql.Matrix{{Metric: withIdentity(us, labels.FromStrings("g", "0000"), req.Keeps), Floats: []promql.FPoint{{T: req.Start + 1, F: 9}}}}
		return NewMatrixSet(m, nil, off.asked()), nil
	}
	for query, want := range mergedEarly {
		got := askLong(t, rootOver(t, newLong(eu, 2), off), query, Options{})
		if !slices.Equal(got.Series, []string{want}) || !slices.Equal(got.Missing, []string{"zone=us"}) {
			t.Errorf("%s: %+v", query, got)
		}
	}
}
