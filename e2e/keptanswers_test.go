package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// values asks a range of a strict query, from the beginning to a time.
func (p *keptPlanet) values(base, expr string, to time.Time, params ...string) (map[int64]map[string]float64, *treehttp.Completeness, error) {
	step := rolledUp[expr]
	v := url.Values{"query": {expr}, "start": {seconds(p.begin)}, "end": {seconds(to.Truncate(step))}, "step": {fmt.Sprint(step.Seconds())}, "partial_response": {"false"}, "stats": {"all"}}
	for i := 0; i < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	a, err := call(base, "/api/v1/query_range", v)
	if err != nil {
		return nil, nil, err
	}
	d, err := a.query()
	if err != nil {
		return nil, nil, err
	}
	if a.Partial || len(a.Warnings) > 0 {
		return nil, nil, fmt.Errorf("a strict query warns of %q", a.Warnings)
	}
	var m model.Matrix
	if err := json.Unmarshal(d.Result, &m); err != nil {
		return nil, nil, err
	}
	out := map[int64]map[string]float64{}
	for at := p.begin; !at.After(to); at = at.Add(step) {
		out[at.UnixMilli()] = map[string]float64{}
	}
	for _, s := range m {
		if string(s.Metric["job"]) == lateJob && v.Get("rollup") == "" && v.Get("late") == "" {
			continue
		}
		for _, x := range s.Values {
			out[int64(x.Timestamp)][s.Metric.String()] = float64(x.Value)
		}
	}
	return out, d.Stats.Pando, nil
}

// watch asks until ctx ends, and notes what was first said of each time that is
// older than the delay.
func (p *keptPlanet) watch(ctx context.Context, rnd *rand.Rand) {
	exprs := slices.Sorted(maps.Keys(rolledUp))
	for ctx.Err() == nil {
		base, expr := p.tops[rnd.Intn(len(p.tops))], exprs[rnd.Intn(len(exprs))]
		to := time.Now().Add(-rollupDelay)
		if to.Before(p.begin) {
			continue
		}
		got, _, err := p.values(base, expr, to, "nocache", fmt.Sprint(rnd.Intn(2)))
		if err != nil {
			continue // somebody is away
		}
		p.note(base+" "+expr, got)
	}
}

func (p *keptPlanet) note(of string, got map[int64]map[string]float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers++
	if p.seen[of] == nil {
		p.seen[of] = map[int64]map[string]float64{}
	}
	for at, values := range got {
		first, ok := p.seen[of][at]
		if !ok {
			p.seen[of][at] = values
		} else if err := same(values, first); err != nil {
			p.changed[at] = fmt.Sprintf("%s at %d has changed: %v", of, at, err)
		}
	}
}

// late reports whether samples that a time looks at may have come late.
func (p *keptPlanet) late(at int64) bool {
	return slices.ContainsFunc(p.tardy, func(s time.Time) bool {
		d := time.UnixMilli(at).Sub(s)
		return d >= 0 && d <= longestWindow
	})
}

// same returns an error unless values are equal but for rounding. One that is not
// finite is equal to its like alone.
func same(got, want map[string]float64) error {
	for series, w := range want {
		g, ok := got[series]
		if !ok || g != w && !(math.IsNaN(g) && math.IsNaN(w)) && (math.IsInf(w, 0) || !(math.Abs(g-w) <= 1e-12*max(1, math.Abs(w)))) {
			return fmt.Errorf("%s is %v, want %v", series, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// What is compared above tells apart what is not a number, and what is infinite.
func TestSame(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		got, want float64
		same      bool
	}{
		{1, 1, true},
		{1e6, 1e6 + 1e-7, true},
		{-1e6, -1e6 - 1e-7, true},
		{inf, inf, true},
		{nan, nan, true},
		{1, 1 + 1e-11, false},
		{1, -1, false},
		{inf, -inf, false},
		{1, inf, false},
		{inf, 1, false},
		{nan, 1, false},
		{1, nan, false},
		{nan, inf, false},
	} {
		if err := same(map[string]float64{"a": c.got}, map[string]float64{"a": c.want}); (err == nil) != c.same {
			t.Errorf("%v for %v: %v", c.got, c.want, err)
		}
	}
	if same(map[string]float64{}, map[string]float64{"a": 0}) == nil || same(map[string]float64{"a": 0}, nil) == nil {
		t.Error("a series is missing, or is one too many")
	}
}

// rollupsOf returns what a tier keeps.
func rollupsOf(base string) (out treehttp.RollupList, err error) {
	res, err := caller.Get(base + "/pando/api/v1/rollups")
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	return out, json.NewDecoder(res.Body).Decode(&out)
}

// whole returns an error unless a tier has all points up to a time.
func whole(base string, until time.Time) error {
	list, err := rollupsOf(base)
	if err != nil {
		return err
	}
	if len(list.Rules) == 0 {
		return errors.New("no rules")
	}
	for _, r := range list.Rules {
		if r.Absent+r.Partial+r.Unfit > 0 || r.Until < float64(until.Unix()) {
			return fmt.Errorf("%s of %s: %d absent, %d partial, %d unfit, until %v of %d: %s", r.Name, list.Name, r.Absent, r.Partial, r.Unfit, r.Until, until.Unix(), r.Failing)
		}
	}
	return nil
}

// compare compares what is told with and without rollups, what one stock engine says
// of the samples of all leaves, and what was told before.
func (p *keptPlanet) compare(to time.Time) (compared, excused, used int) {
	stock := p.union()
	for _, base := range slices.Concat(append([][]string{p.tops}, p.leaves...)...) {
		before := used
		for expr := range rolledUp {
			want, _, err := p.values(base, expr, to, "rollup", "off", "nocache", "1")
			if err != nil {
				p.t.Fatal(err)
			}
			if base == p.root.http {
				got, _, err := p.values(stock, expr, to, "late", "1")
				if err != nil {
					p.t.Fatal(err)
				}
				p.differ("one stock engine: "+expr, got, want, nil)
				if !slices.ContainsFunc(slices.Collect(maps.Values(got)), func(of map[string]float64) bool { return len(of) > 0 }) {
					p.t.Errorf("one stock engine has nothing for %s", expr)
				}
			}
			for _, params := range [][]string{{"late", "1"}, {"late", "1", "nocache", "1"}} {
				got, stats, err := p.values(base, expr, to, params...)
				if err != nil {
					p.t.Fatal(err)
				}
				if stats != nil {
					for _, u := range stats.Rollups {
						used += u.Steps
					}
				}
				p.differ(fmt.Sprint(base, " ", expr, " ", params), got, want, nil)
			}
			for _, values := range want {
				maps.DeleteFunc(values, func(series string, _ float64) bool { return mentions([]string{series}, `job="`+lateJob+`"`) == nil })
			}
			seen := p.seen[base+" "+expr]
			compared += len(seen)
			p.differ("said before of "+base+" "+expr, seen, want, func(at int64) bool {
				if p.late(at) {
					excused++
					return true
				}
				return false
			})
		}
		if used == before {
			p.t.Errorf("%s: no answer was from rollups", base)
		}
	}
	for at, what := range p.changed {
		if !p.late(at) {
			p.t.Error(what)
		}
	}
	return compared, excused, used
}

// differ fails the test for times whose values differ.
func (p *keptPlanet) differ(what string, got, want map[int64]map[string]float64, excused func(at int64) bool) {
	p.t.Helper()
	told := 0
	for _, at := range slices.Sorted(maps.Keys(got)) {
		if want[at] == nil || excused != nil && excused(at) {
			continue
		}
		if err := same(got[at], want[at]); err != nil {
			if told++; told <= 3 {
				p.t.Errorf("%s at %d: %v", what, at, err)
			}
		}
	}
	if told > 3 {
		p.t.Errorf("%s: %d times of %d", what, told, len(got))
	}
}
