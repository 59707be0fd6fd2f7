package resultcache

import (
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

const step = 10

// answerOf makes an extent of a world: what series s says at time t in a given
// version of it. Series come and go.
func answerOf(from, to, version int64) extent {
	e := extent{from: from, to: to}
	for s := range int64(5) {
		out := promql.Series{Metric: labels.FromStrings("s", fmt.Sprint(s))}
		for t := from; t <= to; t += step {
			switch (s + t/step/7) % 3 {
			case 0:
				out.Floats = append(out.Floats, promql.FPoint{T: t, F: float64(version*1000 + s)})
			case 1:
				if s%2 == 0 {
					out.Histograms = append(out.Histograms, promql.HPoint{T: t, H: &histogram.FloatHistogram{Count: float64(version)}})
				}
			}
		}
		if len(out.Floats)+len(out.Histograms) > 0 {
			e.series = append(e.series, out)
		}
	}
	return e
}

// render lists all points.
func render(m promql.Matrix) (out []string) {
	for _, s := range m {
		for _, p := range s.Floats {
			out = append(out, fmt.Sprint(s.Metric, p.T, " ", p.F))
		}
		for _, p := range s.Histograms {
			out = append(out, fmt.Sprint(s.Metric, p.T, " h", p.H.Count))
		}
	}
	slices.Sort(out)
	return out
}

func testStore(bytes int64) *store { return newStore(bytes, newMetrics(nil)) }

var (
	testKey   = key{query: "x", step: step}
	plainRead = reads{fixed: math.MinInt64, selectors: [][]*labels.Matcher{{labels.MustNewMatcher(labels.MatchEqual, "__name__", "x")}}}
)

// What is found is what a map of steps would hold, whatever is put in, cut away
// and found in whatever order; and what was found earlier does not change.
func TestExtentsAgainstAMapOfSteps(t *testing.T) {
	for seed := range int64(30) {
		rnd := rand.New(rand.NewSource(seed))
		s := testStore(1 << 30)
		model := map[int64]int64{} // version by step
		now := time.UnixMilli(0)
		type finding struct {
			parts []extent
			want  []string
		}
		var findings []finding
		epochs := []querytree.Epoch{}
		for version := range int64(300) {
			from := rnd.Int63n(100) * step
			to := from + rnd.Int63n(40)*step
			switch rnd.Intn(4) {
			case 0, 1:
				s.insert(testKey, plainRead, answerOf(from, to, version), 0, querytree.LastEpoch(epochs), epochs, now)
				for t := from; t <= to; t += step {
					model[t] = version
				}
			case 2:
				if rnd.Intn(5) == 0 {
					mint := from + rnd.Int63n(step)
					epochs = []querytree.Epoch{{Number: querytree.LastEpoch(epochs) + 1, Mint: mint, Cause: "late"}}
					s.obey(epochs)
					for t := range model {
						if t >= mint {
							delete(model, t)
						}
					}
				}
			default:
				parts := s.lookup(testKey, from, to, now)
				f := finding{parts, render(assemble(parts))}
				findings = append(findings, f)
				checkFound(t, f.parts, model, from, to)
			}
			if en := s.entries[testKey]; en != nil && len(en.extents) == maxExtents {
				t.Fatal("the model has no bound of extents")
			}
		}
		for _, f := range findings {
			if d := cmp.Diff(f.want, render(assemble(f.parts))); d != "" {
				t.Fatalf("seed %d: what was found has changed:\n%s", seed, d)
			}
		}
	}
}

func checkFound(t *testing.T, parts []extent, model map[int64]int64, from, to int64) {
	t.Helper()
	var want promql.Matrix
	steps := int64(0)
	for at := from; at <= to; at += step {
		if v, ok := model[at]; ok {
			want = append(want, answerOf(at, at, v).series...)
			steps++
		}
	}
	found := int64(0)
	for i, p := range parts {
		found += (p.to-p.from)/step + 1
		if p.from < from || p.to > to || i > 0 && p.from <= parts[i-1].to {
			t.Fatalf("extents %d of %d to %d asked, %d to %d", i, from, to, p.from, p.to)
		}
	}
	got := assemble(parts)
	if !slices.IsSortedFunc(got, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) }) {
		t.Fatal("series are not sorted")
	}
	if d := cmp.Diff(render(want), render(got)); d != "" || found != steps {
		t.Fatalf("%d steps found of %d, -want +got:\n%s", found, steps, d)
	}
	lacks := lacking(parts, from, to, step)
	for _, s := range lacks {
		for at := s.from; at <= s.to; at += step {
			if _, ok := model[at]; ok {
				t.Fatalf("%d is asked for though it is known", at)
			}
			steps++
		}
	}
	if steps != (to-from)/step+1 {
		t.Fatalf("found and lacking make %d steps from %d to %d", steps, from, to)
	}
}

// The store stays within its bytes, drops what was used least recently, and its
// books are right.
func TestBounds(t *testing.T) {
	s := testStore(400_000)
	now := time.UnixMilli(0)
	k := func(i int) key { return key{query: fmt.Sprint("query ", i), step: step} }
	for i := range 300 {
		s.insert(k(i), plainRead, answerOf(0, 100*step, 1), 0, 0, nil, now)
		if s.lookup(k(0), 0, step, now) == nil {
			t.Fatal("what is used again and again was dropped")
		}
		sum := int64(0)
		for _, en := range s.entries {
			sum += en.bytes
		}
		if sum != s.bytes || s.bytes > s.max || s.lru.Len() != len(s.entries) {
			t.Fatalf("%d bytes in entries, %d accounted, at most %d allowed; %d entries, %d in order", sum, s.bytes, s.max, len(s.entries), s.lru.Len())
		}
	}
	if len(s.entries) == 300 || len(s.entries) < 10 {
		t.Errorf("%d entries", len(s.entries))
	}
	s.insert(k(999), plainRead, answerOf(0, 10_000*step, 1), 0, 0, nil, now)
	if s.lookup(k(999), 0, step, now) != nil {
		t.Error("an answer of more than a quarter of all bytes was kept")
	}
	// Islands are bounded too.
	for i := range int64(100) {
		s.insert(k(0), plainRead, answerOf(i*5*step, i*5*step, 1), 0, 0, nil, now)
	}
	if n := len(s.entries[k(0)].extents); n > maxExtents {
		t.Errorf("%d extents of one key", n)
	}
}

// A dashboard that moves on leaves behind what nobody looks at.
func TestTheFrontIsCutOff(t *testing.T) {
	s := testStore(1 << 30)
	for minute := range int64(24 * 60) {
		now := time.UnixMilli(minute * 60_000)
		from, to := minute*6*step, minute*6*step+360*step
		s.lookup(testKey, from, to, now)
		s.insert(testKey, plainRead, answerOf(from, to, 1), from, 0, nil, now)
	}
	en := s.entries[testKey]
	if length := (en.extents[0].to - en.extents[0].from) / step; len(en.extents) != 1 || length > 360+31*6 {
		t.Errorf("%d extents, the first of %d steps", len(en.extents), length)
	}
}

// Changes that become known during an evaluation are heeded when its answer is
// kept, also if another request has obeyed them before.
func TestChangesDuringAnEvaluation(t *testing.T) {
	now := time.UnixMilli(0)
	for _, obeyed := range []bool{false, true} {
		s := testStore(1 << 30)
		before := []querytree.Epoch{{Number: 3, Mint: 0, Cause: "late"}}
		after := append(before, querytree.Epoch{Number: 4, Mint: 55, Cause: "late"})
		given := after
		if s.obey(before); obeyed {
			s.obey(after)
			given = before
		}
		s.insert(testKey, plainRead, answerOf(0, 100, 1), 0, 3, given, now)
		got := s.lookup(testKey, 0, 100, now)
		if len(got) != 1 || got[0].from != 0 || got[0].to != 50 {
			t.Errorf("obeyed before: %v: kept %+v", obeyed, got)
		}
	}
}

// A change costs the queries that may read the series which it concerns.
func TestScope(t *testing.T) {
	s := testStore(1 << 30)
	now := time.UnixMilli(0)
	eu := labels.FromStrings("zone", "eu", "cluster", "eu-1")
	for query, kept := range map[string]bool{
		`x`: false, `x{zone="eu"}`: false, `x{zone="us"}`: true, `x{zone!="eu"}`: true, `x{zone=~"u."} or x{cluster="eu-1"}`: false,
		`x{zone="us"} - on () x{cluster="us-1"}`: true, `x{job="a"}`: false,
	} {
		r, why := analyze(parse(t, query), querytree.ExecRequest{Step: step})
		if why != "" {
			t.Fatal(why)
		}
		k := key{query: query, step: step}
		s.insert(k, r, answerOf(0, 100, 1), 0, querytree.LastEpoch(s.epochs), nil, now)
		s.obey([]querytree.Epoch{{Number: querytree.LastEpoch(s.epochs) + 1, Mint: 0, Scope: eu, Cause: "late"}})
		if got := s.lookup(k, 0, 100, now) != nil; got != kept {
			t.Errorf("%s: kept %v, want %v", query, got, kept)
		}
	}
}

func parse(t testing.TB, query string) parser.Expr {
	t.Helper()
	e, err := querytree.NewParser().ParseExpr(query)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
