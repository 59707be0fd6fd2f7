package e2e_test

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

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
	byValues form = "/api/v1/label/…/values"
	byNames  form = "/api/v1/labels"
)

var forms = []form{byEqual, byRegexp, bySeries, byValues, byNames}

// samples reports whether the form asks for samples of a time, and not for names.
func (f form) samples() bool { return f == byEqual || f == byRegexp }

// birth is an acknowledged series. No other has the same label id.
type birth struct {
	series labels.Labels
	id     string
	leaf   cradle
	acked  time.Time
	// late is the time of the only sample of a series that was born with an old
	// one; zero of others.
	late time.Time
	// ending is set before it is to end, ended once that is acknowledged.
	ending, ended atomic.Bool
}

// when is a time at which the series was there, also if it is about to end.
func (b *birth) when() time.Time {
	if !b.late.IsZero() {
		return b.late
	}
	if now := time.Now().Add(-time.Millisecond); now.After(b.acked) && !b.ending.Load() {
		return now
	}
	return b.acked
}

// served is the series as the tree serves it.
func (b *birth) served() string {
	return labels.NewBuilder(b.series).Set("zone", b.leaf.zone).Set("cluster", b.leaf.cluster).Labels().String()
}

// shown is what an answer of a form has if it has the series.
func (b *birth) shown(f form) string {
	switch f {
	case byValues:
		return b.series.Get(b.id)
	case byNames:
		return b.id
	default:
		return b.served()
	}
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

// oldest is how old the first sample of a series may be: less than a leaf accepts.
const oldest = 45 * time.Minute

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
		for i, b := range old {
			n.look(rnd, b, forms[rnd.Intn(len(forms))])
			if i == 0 {
				n.end(ctx, b)
			}
		}
	}
}

// end has a series end, with a stale marker.
func (n *nursery) end(ctx context.Context, b *birth) {
	if !b.late.IsZero() || time.Since(b.acked) < time.Second || b.ending.Swap(true) {
		return
	}
	code, _, err := post(ctx, b.leaf.http, encode(point{b.series, time.Now(), math.Float64frombits(value.StaleNaN)}))
	b.ended.Store(err == nil && code/100 == 2)
}

// bear writes new series to a leaf, and returns them if they are acknowledged.
func (n *nursery) bear(ctx context.Context, rnd *rand.Rand, leaf, many int, conceive func(*rand.Rand) (labels.Labels, string)) []*birth {
	var points []point
	var all []*birth
	for range many {
		series, id := conceive(rnd)
		b := &birth{series: series, id: id, leaf: n.leaves[leaf]}
		at := time.Now()
		if rnd.Intn(4) == 0 && many < 100 {
			at = at.Add(-time.Duration(rnd.Int63n(int64(oldest))))
			b.late = at
		}
		points = append(points, point{series, at, 1})
		all = append(all, b)
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
