package aggregate

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

const counters = `
delay: 2s
rules:
- {name: c, match: [x_total], without: [pod], interval: 10s, forget: 60s}
`

// A story is a list of steps: an append, or a flush, at a second.
type step struct {
	at     int64 // seconds; of a flush, the time of the clock
	series string
	v      float64
}

func tell(w *world, steps ...step) {
	w.t.Helper()
	for _, s := range steps {
		if s.series == "" {
			w.flush(s.at * 1000)
		} else {
			w.append(s.at*1000, s.v, s.series)
		}
	}
}

func TestCounters(t *testing.T) {
	for _, c := range []struct {
		what  string
		steps []step
		want  string
	}{
		{"the first sample adds nothing", []step{{at: 0}, {1, "x_total{pod=a}", 100}, {at: 12}}, "10000:0"},
		{"increases add up over inputs", []step{{at: 0}, {1, "x_total{pod=a}", 100}, {1, "x_total{pod=b}", 7}, {at: 12}, {11, "x_total{pod=a}", 103}, {11, "x_total{pod=b}", 9}, {at: 22}}, "10000:0 20000:5"},
		{"after a reset the whole value counts", []step{{at: 0}, {1, "x_total{pod=a}", 100}, {5, "x_total{pod=a}", 3}, {at: 12}}, "10000:3"},
		{"a sample of after the interval counts in the next", []step{{at: 0}, {1, "x_total{pod=a}", 1}, {11, "x_total{pod=a}", 5}, {at: 12}, {at: 22}}, "10000:0 20000:4"},
		{"what comes out of order before the delay is over is put in order", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {7, "x_total{pod=a}", 3}, {5, "x_total{pod=a}", 50}, {at: 12}}, "10000:43"},
		{"what is older than what was taken in is left out", []step{{at: 0}, {7, "x_total{pod=a}", 10}, {at: 12}, {5, "x_total{pod=a}", 1}, {11, "x_total{pod=a}", 12}, {at: 22}}, "10000:0 20000:2"},
		{"what is late and newer counts in the next", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {at: 12}, {9, "x_total{pod=a}", 14}, {at: 22}}, "10000:0 20000:4"},
		{"a duplicate is left out", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {1, "x_total{pod=a}", 20}, {at: 12}, {11, "x_total{pod=a}", 20}, {at: 22}}, "10000:0 20000:10"},
		{"a flapping pod goes on where it was", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {9, "x_total{pod=b}", 0}, {2, "x_total{pod=a}", stale()}, {at: 12}, {15, "x_total{pod=a}", 14}, {at: 22}}, "10000:0 20000:4"},
		{"a pod that comes back lower was reset", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {2, "x_total{pod=a}", stale()}, {at: 12}, {15, "x_total{pod=a}", 4}, {at: 22}}, "20000:4"},
		{"without inputs the output ends", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {at: 12}, {11, "x_total{pod=a}", stale()}, {at: 22}, {at: 32}, {35, "x_total{pod=a}", 11}, {at: 42}}, "10000:0 20000:stale 40000:1"},
		{"an input that is not seen for two intervals is gone", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {at: 12}, {at: 22}, {at: 32}}, "10000:0 20000:0 30000:stale"},
		{"a forgotten input begins anew", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {at: 12}, {at: 72}, {75, "x_total{pod=a}", 500}, {at: 82}, {85, "x_total{pod=a}", 501}, {at: 92}}, "10000:0 70000:stale 80000:0 90000:1"},
		{"values that no counter has are left out", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {2, "x_total{pod=a}", -5}, {3, "x_total{pod=a}", 12}, {at: 12}}, "10000:2"},
		{"several intervals that are over count in the last", []step{{at: 0}, {1, "x_total{pod=a}", 10}, {11, "x_total{pod=a}", 12}, {21, "x_total{pod=a}", 15}, {at: 32}}, "30000:5"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t, counters)
			tell(w, c.steps...)
			if got := w.stored("x_total:without_pod"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := w.raw.text(); got != "" {
				t.Errorf("stored raw: %s", got)
			}
		})
	}
}

// appendST appends with a start timestamp, in seconds after start.
func (w *world) appendST(at, st int64, v float64, series string) {
	w.t.Helper()
	app := w.in.AppenderV2(context.Background())
	if _, err := app.Append(0, lset(w.t, series), start+st*1000, start+at*1000, v, nil, nil, storage.AOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

func TestStartTimestamps(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(w *world)
		want string
	}{
		{"began after the rule", func(w *world) { w.appendST(5, 2, 40, "x_total{pod=a}") }, "10000:40"},
		{"began before the rule", func(w *world) { w.appendST(5, -2, 40, "x_total{pod=a}") }, "10000:0"},
		{"a start that is the sample's own time tells nothing", func(w *world) { w.appendST(5, 5, 40, "x_total{pod=a}") }, "10000:0"},
		{"a reset that the value does not show", func(w *world) {
			w.appendST(1, -5, 40, "x_total{pod=a}")
			w.appendST(5, 3, 50, "x_total{pod=a}")
		}, "10000:50"},
		{"no reset", func(w *world) {
			w.appendST(1, -5, 40, "x_total{pod=a}")
			w.appendST(5, -5, 50, "x_total{pod=a}")
		}, "10000:10"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t, counters)
			w.flush(0)
			c.do(w)
			w.flush(12_000)
			if got := w.stored("x_total:without_pod"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// An input that was forgotten does not count twice, whenever it began.
func TestStartTimestampOfForgotten(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	w.appendST(5, 2, 40, "x_total{pod=a}")
	w.append(5000, 1, "x_total{pod=b}")
	for at := int64(12); at <= 102; at += 10 {
		w.append((at-1)*1000, 1, "x_total{pod=b}")
		w.flush(at * 1000)
	}
	w.appendST(105, 2, 41, "x_total{pod=a}")
	w.flush(112_000)
	if got := w.stored("x_total:without_pod"); !strings.HasSuffix(got, "110000:40") {
		t.Errorf("got %s", got)
	}
}

func TestGauges(t *testing.T) {
	w := newWorld(t, `
delay: 2s
rules:
- {name: g, match: [g], by: [job], type: gauge, ops: [sum, min, max, avg, count], interval: 10s}
`)
	tell(w, step{at: 0},
		step{1, "g{job=x,pod=a}", 5}, step{3, "g{job=x,pod=a}", 7}, step{2, "g{job=x,pod=b}", -1}, step{9, "g{job=x,pod=c}", 0}, step{at: 12},
		step{15, "g{job=x,pod=a}", 8}, step{16, "g{job=x,pod=c}", stale()}, step{at: 22},
		step{25, "g{job=x,pod=a}", 9}, step{at: 32}, step{at: 52})
	for op, want := range map[string]string{
		"sum": "10000:6 20000:7 30000:9 50000:stale", "min": "10000:-1 20000:-1 30000:9 50000:stale", "max": "10000:7 20000:8 30000:9 50000:stale",
		"avg": "10000:2 20000:3.5 30000:9 50000:stale", "count": "10000:3 20000:2 30000:1 50000:stale",
	} {
		if got := w.stored("g:by_job:" + op + "{job=x}"); got != want {
			t.Errorf("%s: got %s, want %s", op, got, want)
		}
	}
}

func (w *world) appendHistogram(at int64, h *histogram.FloatHistogram, series string) {
	w.t.Helper()
	app := w.in.AppenderV2(context.Background())
	if _, err := app.Append(0, lset(w.t, series), 0, start+at*1000, 0, nil, h, storage.AOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) lastHistogram(series string) *histogram.FloatHistogram {
	p := w.out.series[lset(w.t, series).String()]
	if len(p) == 0 {
		return nil
	}
	return p[len(p)-1].h
}

func TestHistograms(t *testing.T) {
	w := newWorld(t, `
delay: 2s
rules:
- {name: h, match: [h], without: [pod], interval: 10s}
`)
	w.flush(0)
	first, second := tsdbutil.GenerateTestFloatHistogram(1), tsdbutil.GenerateTestFloatHistogram(4)
	inc, _, _, err := second.Copy().Sub(first)
	if err != nil {
		t.Fatal(err)
	}
	w.appendHistogram(1, second, "h{pod=a}") // is reset
	w.appendHistogram(1, first, "h{pod=b}")
	w.appendHistogram(5, first, "h{pod=a}")
	w.flush(12_000)
	w.appendHistogram(13, second, "h{pod=b}")
	w.append(14_000, stale(), "h{pod=a}")
	w.flush(22_000)
	want, _, _, err := first.Copy().Add(inc)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.lastHistogram("h:without_pod"); got == nil || !got.Compact(0).Equals(want.Compact(0)) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	w.append(24_000, stale(), "h{pod=b}")
	w.flush(32_000)
	if got := w.stored("h:without_pod"); !strings.HasSuffix(got, "30000:stale") {
		t.Errorf("got %s", got)
	}
}

func TestGaugeHistograms(t *testing.T) {
	w := newWorld(t, `
delay: 2s
rules:
- {name: h, match: [h], without: [pod], interval: 10s}
`)
	w.flush(0)
	a, b := tsdbutil.GenerateTestGaugeFloatHistogram(3), tsdbutil.GenerateTestGaugeFloatHistogram(8)
	w.appendHistogram(1, tsdbutil.GenerateTestGaugeFloatHistogram(9), "h{pod=a}")
	w.appendHistogram(2, a, "h{pod=a}")
	w.appendHistogram(2, b, "h{pod=b}")
	w.flush(12_000)
	want, _, _, err := a.Copy().Add(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.lastHistogram("h:without_pod"); got == nil || !got.Compact(0).Equals(want.Compact(0)) || got.CounterResetHint != histogram.GaugeType {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestWhatIsMatched(t *testing.T) {
	w := newWorld(t, `
delay: 2s
rules:
- {name: kept, match: ['{__name__=~"k.*_total"}'], without: [pod], raw: keep, interval: 10s}
- {name: all, match: ['{pod!=""}'], without: [pod], interval: 10s}
- {name: up, match: ['up{job="x"}'], by: [job], type: gauge, ops: [count], output: "alive:{metric}:{op}", interval: 10s}
`)
	w.flush(0)
	w.append(1000, 1,
		"k_total{pod=a}",        // kept, and aggregated
		"n_total{pod=a}",        // aggregated
		"n_bucket{pod=a,le=1}",  // likewise, le stays
		"n_total",               // has no pod
		"what{pod=a}",           // nobody knows what it is
		"up{job=x,pod=a}",       // the rule that names it
		"up{job=y,pod=a}",       // no rule names it
		"scrape_x_total{pod=a}", // likewise
		"n_total:without_pod{job=z}",
	)
	w.flush(12_000)
	for series, want := range map[string]string{
		"k_total:without_pod": "10000:0", "n_total:without_pod": "10000:0", "n_bucket:without_pod{le=1}": "10000:0", "alive:up:count{job=x}": "10000:1",
	} {
		if got := w.stored(series); got != want {
			t.Errorf("%s: got %s, want %s", series, got, want)
		}
	}
	want := `{__name__="exported_n_total:without_pod", job="z"}
{__name__="k_total", pod="a"}
{__name__="n_total"}
{__name__="scrape_x_total", pod="a"}
{__name__="up", job="y", pod="a"}
{__name__="what", pod="a"}
`
	got := ""
	for _, line := range strings.SplitAfter(w.raw.text(), "\n") {
		got += strings.Split(line, "} ")[0]
		if line != "" {
			got += "}\n"
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored raw: %s", diff)
	}
}

// Over the bound of a rule, series are stored raw, and nothing is lost.
func TestMaxInputs(t *testing.T) {
	w := newWorld(t, `
delay: 2s
rules:
- {name: c, match: [x_total], without: [pod], interval: 10s, max_inputs: 2}
`)
	tell(w, step{at: 0}, step{1, "x_total{pod=a}", 1}, step{1, "x_total{pod=b}", 1}, step{1, "x_total{pod=c}", 1}, step{at: 12},
		step{11, "x_total{pod=a}", 2}, step{11, "x_total{pod=c}", 5}, step{at: 22})
	if got, want := w.stored("x_total:without_pod"), "10000:0 20000:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := points(t, w.raw, "x_total{pod=c}"), "1000:1 11000:5"; got != want {
		t.Errorf("raw: got %s, want %s", got, want)
	}
}

// More samples than an interval is meant to have are taken in early, and all count.
func TestTooManySamplesWait(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	for i := range int64(60_000) {
		w.append(1000+i/10, float64(i), "x_total{pod=a}") // ten of each time
	}
	held := 0
	for _, sh := range w.a.shards {
		held += len(sh.pending)
	}
	if held > 2*(minPending+maxPending) {
		t.Errorf("%d samples wait", held)
	}
	w.flush(12_000)
	if got, want := w.stored("x_total:without_pod"), "10000:59990"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// References lead to the same series as labels, whatever happens between.
func TestReferences(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	refs := map[string]storage.SeriesRef{}
	add := func(at int64, v float64, series ...string) {
		app := w.in.AppenderV2(context.Background())
		for _, s := range series {
			ref, err := app.Append(refs[s], lset(t, s), 0, start+at*1000, v, nil, nil, storage.AOptions{})
			if err != nil || ref == 0 {
				t.Fatal(ref, err)
			}
			refs[s] = ref
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"x_total{pod=a}", "x_total{pod=b}", "y_total{pod=a}"}
	add(1, 10, all...)
	add(5, 11, all...)
	if w.raw.lookup != 1 {
		t.Errorf("%d lookups of a series that is no input", w.raw.lookup)
	}
	w.flush(12_000)
	w.flush(82_000) // forgets
	add(85, 12, all...)
	add(86, 14, all...)
	w.flush(92_000)
	if got, want := w.stored("x_total:without_pod"), "10000:2 80000:stale 90000:6"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Other rules: what was an input is none, and the reverse.
	w.rules = parseRules(t, "delay: 2s\nrules: [{name: c, match: [y_total], without: [pod], interval: 10s}]")
	if err := w.a.Use(w.rules); err != nil {
		t.Fatal(err)
	}
	add(93, 20, all...)
	add(94, 21, all...)
	w.flush(102_000)
	if got, want := w.stored("y_total:without_pod"), "100000:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := points(t, w.raw, "x_total{pod=b}"), "93000:20 94000:21"; got != want {
		t.Errorf("raw: got %s, want %s", got, want)
	}
	if got, want := points(t, w.raw, "y_total{pod=a}"), "1000:10 5000:11 85000:12 86000:14"; got != want {
		t.Errorf("raw: got %s, want %s", got, want)
	}
}

// A rule that is changed goes on with its totals where the outputs are the same.
func TestRulesChange(t *testing.T) {
	w := newWorld(t, counters)
	tell(w, step{at: 0}, step{1, "x_total{pod=a}", 1}, step{2, "x_total{pod=a}", 8}, step{at: 12})
	w.rules = parseRules(t, strings.Replace(counters, "[x_total]", "[x_total, z_total]", 1))
	if err := w.a.Use(w.rules); err != nil {
		t.Fatal(err)
	}
	w.append(13_000, 9, "x_total{pod=a}")
	w.open() // after a kill
	tell(w, step{15, "x_total{pod=a}", 10}, step{at: 22}, step{25, "x_total{pod=a}", 20}, step{at: 32})
	if got, want := w.stored("x_total:without_pod"), "10000:7 20000:9 30000:19"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Two rules cannot write one series: what the second has is stored raw.
func TestOutputsOfTwoRules(t *testing.T) {
	w := newWorld(t, `
delay: 2s
rules:
- {name: one, match: ['x_total{env="a"}'], by: [job], output: "{metric}:sum", interval: 10s}
- {name: two, match: ['x_total{env="b"}'], by: [job], output: "{metric}:sum", interval: 10s}
`)
	w.flush(0)
	w.append(1000, 1, "x_total{env=a,job=j}", "x_total{env=b,job=j}")
	w.append(2000, 5, "x_total{env=a,job=j}", "x_total{env=b,job=j}")
	w.flush(12_000)
	if got, want := w.stored("x_total:sum{job=j}"), "10000:4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := points(t, w.raw, "x_total{env=b,job=j}"), "1000:1 2000:5"; got != want {
		t.Errorf("raw: got %s, want %s", got, want)
	}
}

func TestFirstInterfaceTellsStartTimestamps(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	app := w.in.Appender(context.Background())
	l := lset(t, "x_total{pod=a}")
	if _, err := app.AppendSTZeroSample(0, l, start+5000, start+2000); err != nil {
		t.Fatal(err)
	}
	ref, err := app.Append(0, l, start+5000, 6)
	if err != nil {
		t.Fatal(err)
	}
	// Another series of the same time, that tells none: its value is from before.
	if _, err := app.Append(0, lset(t, "x_total{pod=b}"), start+5000, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Append(ref, l, start+6000, 7); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	w.flush(12_000)
	if got, want := w.stored("x_total:without_pod"), "10000:7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is rolled back was never there.
func TestRollback(t *testing.T) {
	w := newWorld(t, counters)
	w.append(1000, 1, "x_total{pod=a}")
	app := w.in.AppenderV2(context.Background())
	if _, err := app.Append(0, lset(t, "x_total{pod=a}"), 0, start+2000, 100, nil, nil, storage.AOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := app.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.append(3000, 2, "x_total{pod=a}")
	w.flush(0)
	w.flush(12_000)
	if got, want := w.stored("x_total:without_pod"), "10000:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestIdentityOfLabels(t *testing.T) {
	sh := newShard()
	sh.put(sh.place(), input{hash: 7, verify: 1}, 0)
	if _, clash, ok := sh.find(7, 2); !clash || ok {
		t.Error("two series of one hash are taken for one")
	}
	if probe() == 0 || labels.FromStrings("a", "b").Hash() == 0 {
		t.Error("labels have no hash")
	}
}
