package e2e_test

import (
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/resultcache"
	"github.com/pandometrics/pando/querytree/treetest"
)

// panel is a range query that is asked again and again, as time goes by.
type panel struct {
	query  string
	length int64
	step   int64
	offset int64 // of the grid
}

func (p panel) at(now int64) querytree.ExecRequest {
	end := now - (now-p.offset)%p.step
	start := end - p.length/p.step*p.step
	return querytree.ExecRequest{Query: p.query, Start: start, End: end, Step: p.step}
}

// panels makes queries of all kinds over the planet's series.
type panels struct {
	p *cachePlanet
	g *treetest.Generator
}

// cacheCorpus are queries that generated ones seldom are.
var cacheCorpus = []string{
	`sum by (zone) (rate(http_requests_total[5m]))`,
	`max_over_time(temperature[10m:1m])`,
	`temperature offset 20m`,
	`temperature offset -5m`,
	`temperature @ 9000`,
	`sum(temperature) - sum(temperature @ end())`,
	`rate(http_requests_total[5m]) / on () group_left () vector(time())`,
	`histogram_quantile(0.9, sum (rate(native_seconds[5m])))`,
	`topk(2, sum by (pod, cluster) (http_requests_total))`,
	`absent(temperature{cluster="eu-1"})`,
	`rate({__name__=~"http_requests_total|up"}[5m])`,
	`increase(http_requests_total[step()*4])`,
	`increase(http_requests_total[range()])`,
	`rate(http_requests_total[5m] smoothed)`,
	`sum by (zone) (temperature{zone="us"})`,
	`count(up) or vector(0)`,
}

func (ps panels) next() panel {
	rnd := ps.p.rnd
	steps := []int64{15_000, 60_000, 77_000, 300_000}
	out := panel{step: steps[rnd.Intn(len(steps))], length: int64(5+rnd.Intn(120)) * 60_000}
	out.offset = []int64{0, 1_000, 7_777}[rnd.Intn(3)]
	if out.query = cacheCorpus[rnd.Intn(len(cacheCorpus))]; rnd.Intn(3) > 0 {
		for q := ps.g.Next(); ; q = ps.g.Next() {
			if q.Step != 0 {
				out.query = q.Expr
				break
			}
		}
	}
	return out
}

// event lets something happen, now and then.
func (p *cachePlanet) event(config resultcache.Config) {
	l := p.leaves[p.rnd.Intn(len(p.leaves))]
	if !p.reachable(l) {
		p.returns() // What happens to a leaf meanwhile is not known above.
	}
	z := p.zones[p.rnd.Intn(len(p.zones))]
	switch p.rnd.Intn(13) {
	case 10, 11: // A sender is behind for good, or catches up.
		l.series[p.rnd.Intn(len(l.series))].lag = []time.Duration{0, time.Duration(p.rnd.Intn(20)) * time.Second, time.Duration(p.rnd.Intn(300)) * time.Second}[p.rnd.Intn(3)]
	case 12: // The leaf's clock is set.
		l.skew = time.Duration(p.rnd.Intn(120)-60) * time.Second
	case 0: // A sender falls behind, and delivers all of it later.
		l.series[p.rnd.Intn(len(l.series))].stuck = p.now.Add(time.Duration(p.rnd.Intn(40)) * time.Minute)
	case 1, 2: // Out of order, a little late or not at all.
		p.late(l, time.Duration(p.rnd.Intn(60))*time.Second)
	case 3: // Late.
		p.late(l, time.Minute+time.Duration(p.rnd.Intn(55))*time.Minute)
	case 4: // Away, while which its series are stuck.
		if l.entry != nil && p.whole() {
			l.entry.Close(nil)
			l.entry = nil
			for _, s := range l.series {
				s.stuck = p.now.Add(time.Hour)
			}
		}
	case 5:
		if z.entry != nil && p.whole() {
			z.entry.Close(nil)
			z.entry = nil
		}
	case 6:
		if p.whole() && p.rnd.Intn(4) == 0 { // The zone's process is another.
			z.entry.Close(nil)
			p.startZone(slices.Index(p.zones, z), config)
			for _, l := range p.leaves {
				if p.zones[l.zone] == z {
					p.late(l, 20*time.Minute) // The old one can no longer tell.
					p.connectLeaf(l)
				}
			}
			p.connectZone(z)
		}
	default:
		p.returns()
	}
}

// returns brings back who is away, with late data.
func (p *cachePlanet) returns() {
	for _, l := range p.leaves {
		if l.entry == nil {
			for _, s := range l.series {
				s.stuck = time.Time{}
			}
			p.advance(0)
			p.connectLeaf(l)
		}
	}
	for _, z := range p.zones {
		if z.entry == nil {
			p.connectZone(z)
		}
	}
}

// ties are the aggregations that choose among equals, or show rounding.
var ties = regexp.MustCompile(`(?i)\b(topk|bottomk|limitk|limit_ratio|count_values)\b`)

// Range queries of all kinds, asked again and again with the cache and without,
// of a planet whose data advances, whose senders fall behind and deliver late,
// whose clocks differ, and whose leaves and zones go and come back.
func TestCacheIsExact(t *testing.T) {
	total := 2000
	if s := os.Getenv("PANDO_QUERIES"); s != "" {
		var err error
		if total, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	config := resultcache.DefaultConfig()
	config.Split, config.Bytes = 30*time.Minute, 8<<20
	p := newCachePlanet(t, 1, 2, config)
	var series []labels.Labels
	for _, l := range p.leaves {
		for _, s := range l.series {
			b := labels.NewBuilder(s.lset)
			l.Describe().Labels.Range(func(x labels.Label) { b.Set(x.Name, x.Value) })
			series = append(series, b.Labels())
		}
	}
	ps := panels{p, treetest.NewGenerator(rand.New(rand.NewSource(2)), treetest.Data{Minutes: 300, Interval: 15_000}, series)}
	var board []panel
	for range 30 {
		board = append(board, ps.next())
	}
	for range 180 {
		p.advance(time.Minute)
	}
	count := map[string]int{}
	for i := range total {
		if i%5 == 0 {
			p.advance(time.Duration(p.rnd.Intn(40)) * time.Second)
			p.event(config)
			p.heartbeat()
		}
		if p.rnd.Intn(100) == 0 {
			board[p.rnd.Intn(len(board))] = ps.next()
		}
		diff := p.compare(board[p.rnd.Intn(len(board))].at(p.now.UnixMilli()), count)
		if diff != "" {
			count["wrong"]++
			t.Errorf("query %d: %s", i, diff)
			if count["wrong"] > 5 {
				t.FailNow()
			}
		}
	}
	t.Logf("%d queries: %v", total, count)
	// How much is used depends on how fast the machine is: epochs that come within
	// half a second become one, and time passes faster here.
	if count["hit"]+count["partial"] < total/20 || count["incomplete"] == 0 {
		t.Errorf("the cache was hardly used: %v", count)
	}
}

// compare asks with the cache and without, and says what differs.
func (p *cachePlanet) compare(req querytree.ExecRequest, count map[string]int) string {
	ctx := p.tb.Context()
	plain := req
	plain.NoCache = true
	got, want := askRange(ctx, p.root.Mixer, req), askRange(ctx, p.root.Mixer, plain)
	use := got.report.Cache
	what := fmt.Sprintf("%s from %d to %d step %d at %d, %+v", req.Query, req.Start, req.End, req.Step, p.now.UnixMilli(), use)
	if use != nil {
		if count[use.State]++; len(want.matrix) > 0 {
			count["nonempty"]++
		}
	}
	if want.err == nil && want.report.Partial() {
		count["incomplete"]++
	}
	d := treetest.DiffResults(req.Query, want.result(), got.result())
	if d == "" {
		d = fewer(req.Query, want, got)
	}
	if d == "" && got.report.Partial() != want.report.Partial() {
		d = "one is partial, the other is not"
	}
	if d == "" || p.arbitrary(plain, want) || ties.MatchString(req.Query) && sameValues(want.matrix, got.matrix) {
		return ""
	}
	return what + "\n" + d
}

// arbitrary reports whether the tree differs from itself.
func (p *cachePlanet) arbitrary(req querytree.ExecRequest, want reply) bool {
	for range 8 {
		if treetest.DiffResults(req.Query, want.result(), askRange(p.tb.Context(), p.root.Mixer, req).result()) != "" {
			return true
		}
	}
	return false
}

// fewer tells of annotations that the cache has lost.
func fewer(query string, want, got reply) string {
	for w := range want.warn {
		if _, ok := got.warn[w]; !ok && !slices.ContainsFunc(mapKeys(got.warn), func(g string) bool { return alike(w, g) }) {
			return fmt.Sprintf("annotation lost from %s: %q\nhas %q", query, w, mapKeys(got.warn))
		}
	}
	return ""
}

func mapKeys[V any](m map[string]V) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// numbers are what equal annotations may differ in: positions and counts.
var numbers = regexp.MustCompile(`[0-9.+e-]+`)

func alike(a, b string) bool {
	return numbers.ReplaceAllString(a, "#") == numbers.ReplaceAllString(b, "#")
}

func sameValues(a, b promql.Matrix) bool {
	values := func(m promql.Matrix) (out []string) {
		for _, s := range m {
			for _, p := range s.Floats {
				out = append(out, fmt.Sprintf("%d %.6e", p.T, p.F))
			}
			for _, p := range s.Histograms {
				out = append(out, fmt.Sprintf("%d %.6e", p.T, p.H.Count))
			}
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(values(a), values(b))
}
