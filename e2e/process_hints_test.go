package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// visibleWithin is how long after its acknowledgement a series may be missing
// from an answer that says it is whole: the age at which a hint is no longer
// used. It is milliseconds but on a machine that is overloaded.
const visibleWithin = 2 * time.Second

// Series are born all over a tree, one by one and in bursts, while tiers die
// and come back. Each can be found from the root soon after its
// acknowledgement, and from then on always, or else the answer names what is
// missing from it. In the end, hints prune, and change no answer.
func TestProcessHintsNeverLie(t *testing.T) {
	processes(t)
	const wall, burst = 20 * time.Second, 4000
	rnd := rand.New(rand.NewSource(seed(t)))
	root := startRoot(t)
	zones := []*process{startZone(t, root.grpc, "--zone=eu"), startZone(t, root.grpc, "--zone=us")}
	var leaves []*process
	n := &nursery{t: t, root: root.http, bursts: map[string]int{}, delays: map[form][]time.Duration{}}
	for _, at := range []place{{0, "eu", "eu-1"}, {0, "eu", "eu-2"}, {1, "us", "us-1"}, {1, "us", "us-2"}} {
		leaf := startLeaf(t, zones[at.parent].grpc, at.zone, at.cluster)
		write(t, leaf, pt(1, "__name__", "anchor"))
		leaves, n.leaves = append(leaves, leaf), append(n.leaves, cradle{at, leaf.http, zones[at.parent].http})
	}
	n.whole()
	begin := time.Now()

	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	stop := func() {
		cancel()
		workers.Wait()
	}
	defer stop()
	for i := range int64(2) {
		workers.Go(func() { n.work(ctx, rand.New(rand.NewSource(seed(t)+1+i))) })
	}
	n.more(100)
	n.burst(rnd, 0, burst, true)
	for round := 0; round < 1 || time.Since(begin) < wall; round++ {
		victim, other := round%2, 1-round%2 // among zones, and among leaves of the first zone
		n.outage("a zone", func() { zones[victim].kill() }, func() {
			n.burst(rnd, 2*victim+1, burst/(round+1), false)
			zones[victim] = zones[victim].again()
		})
		n.burst(rnd, other, burst/(round+1), false)
		n.outage("a leaf", func() { leaves[other].kill() }, func() { leaves[other] = leaves[other].again() })
		n.burst(rnd, 2, burst/(round+1), true)
		n.burst(rnd, 3, burst/(round+1), false)
		n.outage("the root", func() { root.kill() }, func() { root = root.again() })
	}
	stop()

	n.report()
	n.all()
	n.synced(append(slices.Clone(zones), root))
	n.compare(rnd, 200, 50)
}

// place is where a leaf is; parent is the index of its zone.
type place struct {
	parent        int
	zone, cluster string
}

// cradle is a leaf, with the base URLs that it and its zone keep.
type cradle struct {
	place
	http, above string
}

// form is a way to look for a series.
type form string

const (
	byEqual  form = "= matchers"
	byRegexp form = "regexp matchers"
	bySeries form = "/api/v1/series"
)

var forms = []form{byEqual, byRegexp, bySeries}

// birth is an acknowledged series. No other has the same label id.
type birth struct {
	series labels.Labels
	id     string
	leaf   cradle
	acked  time.Time
}

// served is the series as the tree serves it.
func (b *birth) served() string {
	return labels.NewBuilder(b.series).Set("zone", b.leaf.zone).Set("cluster", b.leaf.cluster).Labels().String()
}

// equal selects the series by its name and the value that is its own.
func (b *birth) equal() string {
	return fmt.Sprintf(`{__name__=%q,%q=%q}`, b.series.Get("__name__"), b.id, b.series.Get(b.id))
}

// matching selects the series by a regexp that its own value matches.
func (b *birth) matching(rnd *rand.Rand) string {
	value := []rune(b.series.Get(b.id))
	cut := rnd.Intn(len(value))
	head, tail := regexp.QuoteMeta(string(value[:cut])), regexp.QuoteMeta(string(value[cut:]))
	pattern := []string{
		head + ".*",
		".*" + tail,
		head + "." + regexp.QuoteMeta(string(value[cut+1:])),
		".*" + regexp.QuoteMeta(string(value[cut:cut+(len(value)-cut+1)/2])) + ".*",
		"never|" + head + tail + "|" + tail,
		"(?i)" + head + tail,
	}
	more := []string{"", `,nolabel=~"|x"`, `,nolabel=""`, `,nolabel!="x"`, fmt.Sprintf(`,cluster=~"%s|x"`, b.leaf.cluster)}
	return fmt.Sprintf(`{__name__=%q,%q=~%q%s}`, b.series.Get("__name__"), b.id, pattern[rnd.Intn(len(pattern))], more[rnd.Intn(len(more))])
}

// nursery bears series and looks for them.
type nursery struct {
	t      *testing.T
	root   string
	leaves []cradle
	serial atomic.Int64 // makes names and values unique
	// broken counts beginnings and ends of outages: while one lasts, it is odd.
	broken  atomic.Int64
	missing atomic.Int64 // answers that rightly told of something missing
	early   atomic.Int64 // whole answers without a series that was just acknowledged
	lies    atomic.Int64

	mu     sync.Mutex
	born   []*birth                 // all, but not all of bursts
	bursts map[string]int           // size of each, by metric name
	delays map[form][]time.Duration // from acknowledgement to the answer with the series
	gaps   []time.Duration          // age of the series, for each early answer
}

// work bears series and looks for them and for older ones, until ctx ends.
func (n *nursery) work(ctx context.Context, rnd *rand.Rand) {
	for ctx.Err() == nil {
		for i, b := range n.bear(ctx, rnd, rnd.Intn(len(n.leaves)), 1+rnd.Intn(4), n.conceive) {
			n.reveal(rnd, b, i == 0)
		}
		n.mu.Lock()
		var old []*birth
		for range min(3, len(n.born)) {
			old = append(old, n.born[rnd.Intn(len(n.born))])
		}
		n.mu.Unlock()
		for _, b := range old {
			n.look(rnd, b, forms[rnd.Intn(len(forms))])
		}
	}
}

// bear writes new series to a leaf, and returns them if they are acknowledged.
func (n *nursery) bear(ctx context.Context, rnd *rand.Rand, leaf, many int, conceive func(*rand.Rand) (labels.Labels, string)) []*birth {
	var points []point
	var all []*birth
	for range many {
		series, id := conceive(rnd)
		points = append(points, point{series, time.Now(), 1})
		all = append(all, &birth{series: series, id: id, leaf: n.leaves[leaf]})
	}
	before := n.broken.Load()
	code, text, err := post(ctx, n.leaves[leaf].http, encode(points...))
	if err != nil || code/100 != 2 {
		if !n.excused(before) && ctx.Err() == nil {
			n.t.Errorf("write to %s: %d %s %v", n.leaves[leaf].cluster, code, text, err)
		}
		return nil
	}
	acked := time.Now()
	for _, b := range all {
		b.acked = acked
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.born = append(n.born, all[:min(many, 100)]...)
	return all
}

// conceive makes a series that never was, and names the label that tells it
// from all others.
func (n *nursery) conceive(rnd *rand.Rand) (labels.Labels, string) {
	serial := n.serial.Add(1)
	token := fmt.Sprintf("%05x", serial)
	switch rnd.Intn(5) {
	case 0:
		return labels.FromStrings("__name__", "birth_"+token+"_total", "job", "one"), "__name__"
	case 1:
		return labels.FromStrings("__name__", "birth."+text(rnd, 20)+token, "job", "two"), "__name__"
	case 2:
		return labels.FromStrings("__name__", "births", "path", text(rnd, 200)+token+text(rnd, 100)), "path"
	case 3: // All such values have the same trigrams.
		word := strings.NewReplacer("0", "a", "1", "b").Replace(fmt.Sprintf("%020b", serial))
		return labels.FromStrings("__name__", "births", "word", "aaabbbabaabab"+word), "word"
	default:
		return labels.FromStrings("__name__", "births", "label_"+token, "value"), "label_" + token
	}
}

// text is up to that many characters of all sorts, at least one.
func text(rnd *rand.Rand, most int) string {
	alphabet := []rune("abcdefgXYZ019/_-.+ \\\"'{}|éßſıλЖ中文日本ﬁ☃😀")
	out := make([]rune, 1+rnd.Intn(most))
	for i := range out {
		out[i] = alphabet[rnd.Intn(len(alphabet))]
	}
	return string(out)
}

// burst bears many series at once. If told to look, it looks for some of them at
// once; in the end, all are counted.
func (n *nursery) burst(rnd *rand.Rand, leaf, many int, look bool) {
	n.t.Helper()
	name := fmt.Sprintf("burst_%d", n.serial.Add(1))
	all := n.bear(context.Background(), rnd, leaf, many, func(rnd *rand.Rand) (labels.Labels, string) {
		return labels.FromStrings("__name__", name, "entry", fmt.Sprintf("%06x", n.serial.Add(1))+text(rnd, 20)), "entry"
	})
	if len(all) != many {
		n.t.Fatalf("burst on %s: not acknowledged", n.leaves[leaf].cluster)
	}
	n.bursts[name] = many
	for i := many - 1; look && i >= 0; i -= many / 50 {
		n.reveal(rnd, all[i], i == many-1)
	}
}

// reveal looks for a new series in all ways, in each until it is found or the
// answer tells what is missing.
func (n *nursery) reveal(rnd *rand.Rand, b *birth, measure bool) {
	for i, f := range rnd.Perm(len(forms)) {
		before, v := n.broken.Load(), early
		for v == early {
			v = n.look(rnd, b, forms[f])
		}
		if delay := time.Since(b.acked); measure && i == 0 && v == found && !n.excused(before) {
			n.mu.Lock()
			n.delays[forms[f]] = append(n.delays[forms[f]], delay)
			n.mu.Unlock()
		}
	}
}

// verdict is what an answer says of a series.
type verdict int

const (
	found verdict = iota
	told          // not there, and the answer says why
	early         // not there, without a word, as may be for a moment
	lie           // not there, without a word
)

// look asks for a series once, and judges the answer.
func (n *nursery) look(rnd *rand.Rand, b *birth, f form) verdict {
	query := b.equal()
	if f == byRegexp || f == bySeries && rnd.Intn(2) == 0 {
		query = b.matching(rnd)
	}
	before, begin := n.broken.Load(), time.Now()
	a, err := seek(n.root, f, query)
	switch {
	case err != nil || a.Status != "success":
		if !n.excused(before) {
			n.t.Errorf("%s %s: %v, status %d, error %q, though all is well", f, query, err, a.Code, a.Error)
		}
		n.missing.Add(1)
		return told
	case a.Partial != (len(a.Warnings) > 0):
		n.t.Errorf("%s %s: header says partial is %v, warnings are %q", f, query, a.Partial, a.Warnings)
	case len(a.Warnings) > 0 && !n.excused(before):
		n.t.Errorf("%s %s: warnings %q, though all is well", f, query, a.Warnings)
	}
	if slices.Contains(a.series(n.t, f), b.served()) {
		return found
	}
	for _, name := range []string{fmt.Sprintf(`"zone=%s"`, b.leaf.zone), fmt.Sprintf(`"zone=%s,cluster=%s"`, b.leaf.zone, b.leaf.cluster)} {
		if mentions(a.Warnings, name) == nil {
			n.missing.Add(1)
			return told
		}
	}
	age := begin.Sub(b.acked)
	if age > visibleWithin {
		n.accuse(b, f, query, a, begin)
		return lie
	}
	n.early.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gaps = append(n.gaps, age)
	return early
}

// accuse reports a series that is missing from an answer without a word, and at
// which tier.
func (n *nursery) accuse(b *birth, f form, query string, a answer, begin time.Time) {
	if n.lies.Add(1) > 5 {
		return
	}
	says := func(base string, params ...string) string {
		a, err := seek(base, f, query, params...)
		return fmt.Sprintf("%v (%v, %q)", slices.Contains(a.series(n.t, f), b.served()), err, a.Warnings)
	}
	without, zone, leaf := says(n.root, "hints", "off"), says(b.leaf.above), says(b.leaf.http)
	for time.Since(begin) < 10*time.Second && !strings.HasPrefix(says(n.root), "true") {
	}
	n.t.Errorf("%s %s: %s, acknowledged %v before, is silently missing, outage %v: %s\n"+
		"found without hints: %s; at the zone: %s; at the leaf: %s; at the root %v later: %s",
		f, query, b.served(), begin.Sub(b.acked), n.excused(n.broken.Load()), a.Data, without, zone, leaf, time.Since(begin), says(n.root))
}

// seek asks for series in one of the forms.
func seek(base string, f form, query string, params ...string) (answer, error) {
	path, p := "/api/v1/query", url.Values{"query": {query}, "stats": {"all"}}
	if f == bySeries {
		path, p = "/api/v1/series", url.Values{"match[]": {query}}
	}
	for i := 0; i < len(params); i += 2 {
		p.Set(params[i], params[i+1])
	}
	return call(base, path, p)
}

// series are those of a successful answer, sorted.
func (a answer) series(t *testing.T, f form) []string {
	if a.Status != "success" {
		return nil
	}
	var sets []map[string]string
	var err error
	if f == bySeries {
		err = json.Unmarshal(a.Data, &sets)
	} else {
		var v model.Vector
		v, err = a.vector()
		for _, s := range v {
			set := map[string]string{}
			for name, value := range s.Metric {
				set[string(name)] = string(value)
			}
			sets = append(sets, set)
		}
	}
	if err != nil {
		t.Errorf("answer %s: %v", a.Data, err)
	}
	var all []string
	for _, set := range sets {
		all = append(all, labels.FromMap(set).String())
	}
	slices.Sort(all)
	return all
}

// excused reports whether there has been an outage since broken was before.
func (n *nursery) excused(before int64) bool { return before%2 == 1 || n.broken.Load() != before }

// outage lets something be down until answers, or errors, tell of it, and waits
// until all is well again.
func (n *nursery) outage(what string, kill, mend func()) {
	n.t.Helper()
	n.broken.Add(1)
	kill()
	missing := n.missing.Load()
	eventually(n.t, 60*time.Second, func() error {
		if got := n.missing.Load() - missing; got < 20 {
			return fmt.Errorf("%d answers tell of the outage of %s", got, what)
		}
		return nil
	})
	n.more(50)
	mend()
	begin := time.Now()
	n.whole()
	n.broken.Add(1)
	n.more(100)
	n.t.Logf("whole %v after the restart of %s", time.Since(begin).Round(time.Millisecond), what)
}

// whole waits until all leaves are part of the root's answers.
func (n *nursery) whole() {
	n.t.Helper()
	becomes(n.t, 60*time.Second, n.root, `count(last_over_time(anchor[1h]))`, float64(len(n.leaves)))
}

// more waits for that many more births.
func (n *nursery) more(many int) {
	n.t.Helper()
	count := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.born)
	}
	before := count()
	eventually(n.t, 60*time.Second, func() error {
		if got := count() - before; got < many {
			return fmt.Errorf("%d births, want %d", got, many)
		}
		return nil
	})
}

// report tells how long it took to find new series.
func (n *nursery) report() {
	n.t.Helper()
	at := func(d []time.Duration, q float64) time.Duration {
		slices.Sort(d)
		return d[min(len(d)-1, int(q*float64(len(d))))].Round(10 * time.Microsecond)
	}
	for _, f := range forms {
		d := n.delays[f]
		if len(d) < 20 {
			n.t.Errorf("%s: %d series were looked for at once, with all well", f, len(d))
			continue
		}
		n.t.Logf("%s: found within p50 %v, p99 %v, at most %v of %d acknowledgements", f, at(d, 0.5), at(d, 0.99), at(d, 1), len(d))
	}
	if len(n.gaps) > 0 {
		n.t.Logf("%d answers did not have the series yet, at an age of p50 %v, at most %v", len(n.gaps), at(n.gaps, 0.5), at(n.gaps, 1))
	}
	n.t.Logf("%d series looked for, %d answers told of something missing, %d lied", len(n.born), n.missing.Load(), n.lies.Load())
}

// all checks that every series is there.
func (n *nursery) all() {
	n.t.Helper()
	lost := 0
	for _, b := range n.born {
		if v, err := vector(n.root, b.equal()); err != nil || len(v) != 1 {
			if lost++; lost < 5 {
				n.t.Errorf("%s, acknowledged by %s, in the end: %v, %v", b.equal(), b.leaf.cluster, v, err)
			}
		}
	}
	for name, many := range n.bursts {
		if got, err := number(n.root, `count(`+name+`)`); err != nil || got != float64(many) {
			n.t.Errorf("count(%s) is %v, %v; want %d", name, got, err, many)
		}
	}
	if lost > 0 {
		n.t.Errorf("%d of %d are not found", lost, len(n.born))
	}
}

// synced waits until the hints of all children of the tiers are in use. Those
// of the leaves have grown with the bursts.
func (n *nursery) synced(tiers []*process) {
	n.t.Helper()
	const grown = 20_000 // fingerprints, filters beginning at a thousand
	eventually(n.t, 60*time.Second, func() error {
		for _, p := range tiers {
			tree, err := treeOf(p.http)
			if err != nil {
				return err
			}
			for _, c := range tree.Children {
				if c.Hint == nil || !c.Hint.Synced || c.Hint.Fingerprints < grown {
					return fmt.Errorf("hint of %s is %+v", c.Name, c.Hint)
				}
			}
		}
		return nil
	})
}

// compare compares answers with and without hints: to queries for some series,
// and for some that do not exist. Hints prune for most of the former.
func (n *nursery) compare(rnd *rand.Rand, present, absent int) {
	n.t.Helper()
	asked, pruned := 0, 0
	for i := range present + absent {
		b := n.born[rnd.Intn(len(n.born))]
		f, query := forms[i%len(forms)], b.equal()
		switch {
		case i >= present:
			value := []rune(b.series.Get(b.id))
			slices.Reverse(value)
			query = fmt.Sprintf(`{__name__=%q,%q=%q}`, b.series.Get("__name__"), b.id, string(value)+"!")
		case f != byEqual:
			query = b.matching(rnd)
		}
		now := seconds(time.Now())
		with, err := seek(n.root, f, query, "time", now)
		without, err2 := seek(n.root, f, query, "time", now, "hints", "off")
		if err := errors.Join(err, err2); err != nil || with.Status != "success" || with.Partial || without.Partial {
			n.t.Errorf("%s %s: %v; status %d and %d, %q", f, query, err, with.Code, without.Code, with.Warnings)
			continue
		}
		got, want := with.series(n.t, f), without.series(n.t, f)
		if diff := cmp.Diff(want, got); diff != "" || slices.Contains(want, b.served()) != (i < present) {
			n.t.Errorf("%s %s: %d series, without hints %d:\n%s", f, query, len(got), len(want), diff)
		}
		if f == bySeries || i >= present {
			continue
		}
		if d, err := without.query(); err != nil || d.Stats.Pando.Pruned.Hint > 0 {
			n.t.Errorf("%s: pruned by hints that are off: %+v, %v", query, d.Stats.Pando, err)
		}
		d, err := with.query()
		if asked++; err == nil && d.Stats.Pando.Pruned.Hint > 0 {
			pruned++
		}
	}
	n.t.Logf("hints pruned children for %d of %d queries for series of one leaf", pruned, asked)
	if 2*pruned < asked {
		n.t.Errorf("hints pruned children for %d queries, want most of %d", pruned, asked)
	}
}
