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
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree/treehttp"
)

const (
	killedFor   = 60 * time.Second
	rollupDelay = 2 * time.Second
	// lateJob is the job of samples that come late on purpose: of it only what is
	// there in the end is compared.
	lateJob = "late"
	// longestWindow is that of rolledUp.
	longestWindow = 10 * time.Second
)

// rolledUp are expressions that are kept, with the distances of their points.
var rolledUp = map[string]time.Duration{
	`sum by (job) (rate(events_total[10s]))`:            time.Second,
	`avg by (job, zone) (last_over_time(level[4s]))`:    2 * time.Second,
	`max without (instance) (max_over_time(level[8s]))`: 2 * time.Second,
}

const rolledUpFile = `
rollups:
- name: job:events:rate10s
  expr: sum by (job) (rate(events_total[10s]))
  interval: 1s
  keep: {leaf: {for: 2h}, zone: {for: 2h}, root: {for: 2h}}
- name: job_zone:level
  expr: avg by (job, zone) (last_over_time(level[4s]))
  interval: 2s
  keep: {leaf: {for: 2h}, zone: {for: 2h}, root: [{for: 2h}, {every: 10s, for: 4h}]}
- name: level:max
  expr: max without (instance) (max_over_time(level[8s]))
  interval: 2s
  keep: {root: {for: 2h}}
`

// keptPlanet is a planet of processes that keep rollups.
type keptPlanet struct {
	t      *testing.T
	root   *process
	tiers  []*process // root, zones, leaves
	leaves [][]string // base URLs of each leaf's replicas, which stay
	tops   []string   // those of root and zones
	begin  time.Time
	// links are the proxies between tiers and their parents, if there are any.
	links []*toxiproxy.Proxy
	// punctual: no samples come late on purpose.
	punctual bool

	mu sync.Mutex
	// tardy are the times of samples that may have been seen later than they
	// should.
	tardy []time.Time
	// seen are the values of each time, by tier and expression, as they were
	// first answered.
	seen map[string]map[int64]map[string]float64
	// changed says of times what was answered later and is something else.
	changed map[int64]string
	answers int
}

// keptOptions say what a keptPlanet is like.
type keptOptions struct {
	// proxied puts a proxy on each link.
	proxied bool
	// replicas of each leaf; zero means one that is not called a replica.
	replicas int
	// flags are those of root and zones.
	flags []string
}

func newKeptPlanet(t *testing.T, o keptOptions) *keptPlanet {
	file := "--rollup.file=" + writeFile(t, "rollups.yml", rolledUpFile)
	p := &keptPlanet{t: t, seen: map[string]map[int64]map[string]float64{}, changed: map[int64]string{}, punctual: o.replicas > 0}
	flags := append([]string{file}, o.flags...)
	parent := func(of *process) string {
		if !o.proxied {
			return of.grpc
		}
		link := newProxy(t, of.grpc)
		p.links = append(p.links, link)
		return link.Listen
	}
	p.root = startRoot(t, flags...)
	zones := []*process{startZone(t, parent(p.root), append(flags, "--zone=eu")...), startZone(t, parent(p.root), append(flags, "--zone=us")...)}
	p.tiers = append([]*process{p.root}, zones...)
	for i := range 4 {
		var urls []string
		for r := range max(1, o.replicas) {
			own := []string{file, "--rollup.delay=" + rollupDelay.String()}
			if o.replicas > 0 {
				own = append(own, fmt.Sprint("--replica=", r))
			}
			leaf := startLeaf(t, parent(zones[i/2]), []string{"eu", "us"}[i/2], fmt.Sprint("c", i), own...)
			urls, p.tiers = append(urls, leaf.http), append(p.tiers, leaf)
		}
		p.leaves = append(p.leaves, urls)
	}
	for _, tier := range p.tiers[:3] {
		p.tops = append(p.tops, tier.http)
	}
	awaitLeaves(t, p.root, 4*max(1, o.replicas))
	p.begin = time.Now().Truncate(10 * time.Second)
	return p
}

// post sends points to all replicas of a leaf at once: what one of them takes later
// than another is late there.
func (p *keptPlanet) post(ctx context.Context, leaf int, points ...point) {
	var wg sync.WaitGroup
	body := encode(points...)
	for _, base := range p.leaves[leaf] {
		wg.Go(func() { _, _, _ = post(ctx, base, body) })
	}
	wg.Wait()
}

// write sends samples of the present to a leaf until ctx ends, and some of the
// past. What is not taken is not sent again.
func (p *keptPlanet) write(ctx context.Context, leaf int) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	rnd := rand.New(rand.NewSource(int64(leaf)))
	for i := 0; ctx.Err() == nil; i++ {
		now := time.Now()
		var points []point
		for s := range 4 {
			of := []string{"job", string(rune('a' + s%2)), "instance", fmt.Sprint(s)}
			points = append(points, point{labels.FromStrings(append(of, "__name__", "events_total")...), now, float64(i*(s+1) + leaf)},
				point{labels.FromStrings(append(of, "__name__", "level")...), now, float64(rnd.Intn(100))})
		}
		p.post(ctx, leaf, points...)
		if time.Since(now) > rollupDelay/2 {
			p.mu.Lock()
			p.tardy = append(p.tardy, now)
			p.mu.Unlock()
		}
		if i%12 == 0 && !p.punctual {
			p.post(ctx, leaf, point{
				labels.FromStrings("__name__", "level", "job", lateJob, "instance", fmt.Sprint(i)), now.Add(-time.Duration(3+rnd.Intn(20)) * time.Second), float64(i),
			})
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

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

// Leaves, zones and the root die by kill -9, at random, and come back, while
// samples come, some of them late. Whatever a strict query was answered meanwhile
// is what it is in the end, and in the end all points are there and are what the
// leaves' samples say.
func TestProcessRollupsUnderKills(t *testing.T) {
	processes(t)
	p := newKeptPlanet(t, keptOptions{})
	p.endures(p.kill)
}

// endures has samples come and queries be asked while faults are done, and compares
// all that was answered with what the samples say in the end. It returns once all
// is whole.
func (p *keptPlanet) endures(faults func(*rand.Rand) int) {
	t := p.t
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewSource(seed))
	writing, stopWriting := context.WithCancel(t.Context())
	watching, stopWatching := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range p.leaves {
		wg.Go(func() { p.write(writing, i) })
	}
	for i := range 2 {
		wg.Go(func() { p.watch(watching, rand.New(rand.NewSource(seed+int64(i)))) })
	}
	t.Cleanup(func() { stopWriting(); stopWatching(); wg.Wait() })
	done := faults(rnd)
	stopWriting()
	stopped := time.Now()
	for _, base := range p.tops {
		eventually(t, 90*time.Second, func() error { return whole(base, stopped) })
		// There may be one more that is due at any time.
		eventually(t, 60*time.Second, func() error {
			if r := run(t, pando(t), "rollup", "ls", "--server="+base); r.code != 0 {
				return fmt.Errorf("pando rollup ls: exit code %d\n%s%s", r.code, r.out, r.errOut)
			}
			return nil
		})
	}
	stopWatching()
	wg.Wait()
	t.Logf("whole %v after the last sample", time.Since(stopped).Round(time.Second))
	compared, excused, used := p.compare(stopped)
	t.Logf("%d faults, %d answers noted, %d values compared, %d excused for %d tardy samples, %d steps from rollups", done, p.answers, compared, excused, len(p.tardy), used)
	if p.answers < 20 || compared <= excused || used == 0 {
		t.Error("too little was compared")
	}
}

// kill kills tiers and starts them again.
func (p *keptPlanet) kill(rnd *rand.Rand) (kills int) {
	p.t.Helper()
	for end := time.Now().Add(killedFor); time.Now().Before(end); kills++ {
		p.pause(rnd, 5*time.Second)
		i := rnd.Intn(len(p.tiers))
		p.tiers[i].kill()
		p.pause(rnd, 2*time.Second)
		p.tiers[i] = p.tiers[i].again()
	}
	return kills
}

// compare compares with and without rollups, and with what was said before.
func (p *keptPlanet) compare(to time.Time) (compared, excused, used int) {
	for _, base := range slices.Concat(append([][]string{p.tops}, p.leaves...)...) {
		before := used
		for expr := range rolledUp {
			want, _, err := p.values(base, expr, to, "rollup", "off", "nocache", "1")
			if err != nil {
				p.t.Fatal(err)
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
