//go:build !race

// What is measured here is sizes and rates, of one goroutine: it takes ten times as long
// under the race detector, which would find nothing.

package fieldhint

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// A week in which one pod in a hundred is replaced each minute, so that each was
// replaced a hundred times: with blocks of three days kept, hints are after a week no
// larger than after those, tell the pods of now from those of before, and say of no
// pod that it was not there when it was.
func TestWeekOfChurn(t *testing.T) {
	const (
		pods, series      = 100, 3
		minute, day       = int64(60_000), 24 * hour
		lifetime          = pods * minute
		days, kept, begun = 7, 3 * day, 1000 * day
		lateness          = hour
	)
	type pod struct {
		name     string
		from, to int64
	}
	of := func(p pod, i int) labels.Labels {
		return labels.FromStrings(labels.MetricName, fmt.Sprint("m", i), "job", "api", "pod", p.name)
	}
	par := newParent(t, IndexConfig{MaxFingerprints: 1 << 20})
	s := newSet(t, SetConfig{})
	var all []pod
	var cut int64 // what is before was not there any more when hints were made last
	start := func(now int64) {
		cut = now - kept
		layout := Layout{Start: now, Window: day, Current: now - lateness}
		err := s.Rebuild(layout, func(add func(labels.Labels, ...Span)) error {
			for _, p := range all {
				for i := range series {
					if p.to > cut {
						add(of(p, i), Span{From: max(p.from, cut), To: p.to})
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.SetComplete()
	}
	ruledOut := func(name string, mint, maxt int64) bool {
		return par.RulesOut("leaf", []*labels.Matcher{
			labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "m1"), labels.MustNewMatcher(labels.MatchEqual, "pod", name),
		}, mint, maxt)
	}
	for i := range pods {
		all = append(all, pod{fmt.Sprint("first-", i), begun, begun + int64(i+1)*minute})
	}
	start(begun)
	l := connect(t, s, par, "leaf")
	l.flow()
	sizes := make([]int, days)
	checkChurn := func(now int64, when string, p pod, mint, maxt int64) {
		if mint = max(mint, cut); mint <= maxt && ruledOut(p.name, mint, maxt) {
			t.Errorf("hour %d: %s is ruled out %s", (now-begun)/hour, p.name, when)
		}
	}
	checkAll := func(now int64) {
		for _, p := range all {
			checkChurn(now, "while it lived", p, p.from, min(p.to, now)-1)
			if p.from <= cut && cut < p.to {
				checkChurn(now, "at the edge of retention", p, cut, cut)
			}
			checkChurn(now, "in its first minute", p, p.from, p.from+minute-1)
			checkChurn(now, "in its last minute", p, min(p.to, now)-minute, min(p.to, now)-1)
			if p.to > now-5*minute {
				checkChurn(now, "now", p, now-5*minute, now)
			}
		}
	}
	for d := range int64(days) {
		for m := range day / minute {
			now := begun + d*day + m*minute
			p := pod{fmt.Sprintf("pod-%d", now/minute), now, now + lifetime}
			all = append(all, p)
			for i := range series {
				s.AddSeries(of(p, i))
			}
			if m%720 == 719 { // between one rebuild and the next
				l.flow()
				checkAll(now + minute)
			}
		}
		now := begun + (d+1)*day
		start(now)
		l.flow()
		if !par.Synced("leaf") {
			t.Fatalf("day %d: the hint is not in use", d)
		}
		for _, c := range par.Stats() {
			sizes[d] += c.Bytes
		}
		checkAll(now)
		gone, wrong := 0, 0
		for _, p := range all {
			if p.to < now-2*day && p.to > now-kept {
				if gone++; !ruledOut(p.name, now-5*minute, now) {
					wrong++
				}
			}
		}
		if 20*wrong > gone || d > 2 && gone == 0 {
			t.Errorf("day %d: of %d pods that are long gone, %d are asked for now", d, gone, wrong)
		}
	}
	if before, after := sizes[3], sizes[days-1]; 10*after > 11*before {
		t.Errorf("filters of %d bytes after four days, of %d after a week: %d", before, after, sizes)
	}
	t.Logf("%d series in all, %d at once; filters at the end of each day: %d bytes", len(all)*series, pods*series, sizes)
}
