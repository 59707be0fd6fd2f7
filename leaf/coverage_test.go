package leaf

import (
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// Lives of a leaf, in seconds, and the gaps that it tells of.
func TestUptime(t *testing.T) {
	const s = 1000
	const fresh = math.MinInt64
	begin := func(at, settle int64, boot string) func(*uptime) {
		return func(u *uptime) { u.begin(at*s, settle*s, boot) }
	}
	beat := func(at int64) func(*uptime) { return func(u *uptime) { u.beat(at * s) } }
	clean := func(at int64) func(*uptime) { return func(u *uptime) { u.beat(at * s); u.Clean = true } }
	for _, c := range []struct {
		what string
		life []func(*uptime)
		want [][2]int64
	}{
		{"before the first start nothing is complete", []func(*uptime){begin(100, 0, "x"), beat(115)}, [][2]int64{{fresh, 100 * s}}},
		{"targets take a while", []func(*uptime){begin(100, 70, "x")}, [][2]int64{{fresh, 170 * s}}},
		{
			"killed: from the last beat on",
			[]func(*uptime){begin(100, 0, "x"), beat(115), beat(130), begin(150, 0, "x")},
			[][2]int64{{fresh, 100 * s}, {130*s + 1, 150 * s}},
		},
		{
			"stopped and started within a second",
			[]func(*uptime){begin(100, 0, "x"), clean(131), begin(132, 0, "x")},
			[][2]int64{{fresh, 100 * s}, {131*s + 1, 132 * s}},
		},
		{
			"the machine went down: what the kernel had not written yet is gone",
			[]func(*uptime){begin(100, 0, "x"), beat(145), beat(190), begin(300, 0, "y")},
			[][2]int64{{fresh, 100 * s}, {130*s + 1, 300 * s}},
		},
		{
			"the machine went down in order",
			[]func(*uptime){begin(100, 0, "x"), beat(145), clean(190), begin(300, 0, "y")},
			[][2]int64{{fresh, 100 * s}, {190*s + 1, 300 * s}},
		},
		{
			"the process stood still",
			[]func(*uptime){begin(100, 0, "x"), beat(145), beat(191), beat(200)},
			[][2]int64{{fresh, 100 * s}, {145*s + 1, 191 * s}},
		},
		{
			"the clock went back: which samples are of that time is not known",
			[]func(*uptime){begin(100, 0, "x"), beat(145), beat(130), beat(140)},
			[][2]int64{{fresh, 100 * s}, {130 * s, 145 * s}},
		},
		{
			"the clock went back while it was down",
			[]func(*uptime){begin(100, 0, "x"), beat(145), begin(120, 5, "x")},
			[][2]int64{{fresh, 100 * s}, {120 * s, 150 * s}},
		},
		{
			"crash loop before the first beat",
			[]func(*uptime){begin(100, 10, "x"), begin(105, 10, "x"), begin(110, 10, "x")},
			[][2]int64{{fresh, 120 * s}},
		},
	} {
		u := uptime{Beat: fresh}
		for _, f := range c.life {
			f(&u)
		}
		if d := cmp.Diff(c.want, u.Gaps); d != "" {
			t.Errorf("%s: -want +got:\n%s", c.what, d)
		}
	}
}

// Too many gaps are joined where the least is lost, and never become smaller.
func TestUptimeIsBounded(t *testing.T) {
	u := uptime{}
	down := map[int64]bool{}
	for i := range int64(3 * maxGaps) {
		from := i*1000 + (i*i)%500
		u.add(from, from+10)
		for at := from; at <= from+10; at++ {
			down[at] = true
		}
	}
	if len(u.Gaps) > maxGaps || !valid(u) {
		t.Errorf("%d gaps: %v", len(u.Gaps), u.Gaps)
	}
	for _, g := range u.Gaps {
		for at := g[0]; at <= g[1]; at++ {
			delete(down, at)
		}
	}
	if len(down) > 0 {
		t.Errorf("%d times are no longer told", len(down))
	}
	u.forget(150_000)
	if len(u.Gaps) == 0 || u.Gaps[0][1] < 150_000 {
		t.Errorf("old gaps are still there: %v", u.Gaps)
	}
}

// coverageAt opens the record in dir with a clock that the test owns.
func coverageAt(t *testing.T, dir string, now *time.Time) (*coverage, error) {
	t.Helper()
	return openCoverage(dir, func() time.Time { return *now })
}

func TestCoverageOutlivesKills(t *testing.T) {
	dir, now := t.TempDir(), time.UnixMilli(100_000)
	c, err := coverageAt(t, dir, &now)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, want ...querytree.Interval) {
		t.Helper()
		if d := cmp.Diff(want, c.gaps(50_000)); d != "" {
			t.Errorf("%s: -want +got:\n%s", what, d)
		}
	}
	check("not up yet", querytree.Interval{Mint: 50_000, Maxt: math.MaxInt64})
	if err := c.begin(0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(beatInterval)
	c.beat(time.Hour)
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(10 * time.Second)
	c.beat(time.Hour) // killed before it was saved
	check("up", querytree.Interval{Mint: 50_000, Maxt: 100_000})

	now = now.Add(20 * time.Second)
	if c, err = coverageAt(t, dir, &now); err != nil {
		t.Fatal(err)
	}
	check("replaying", querytree.Interval{Mint: 50_000, Maxt: 100_000}, querytree.Interval{Mint: 115_001, Maxt: math.MaxInt64})
	now = now.Add(20 * time.Second)
	if err := c.begin(0); err != nil {
		t.Fatal(err)
	}
	check("up again", querytree.Interval{Mint: 50_000, Maxt: 100_000}, querytree.Interval{Mint: 115_001, Maxt: 165_000})
	if got := c.gaps(math.MaxInt64); got != nil {
		t.Errorf("gaps of an empty leaf: %v", got)
	}
	now = now.Add(time.Second)
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	check("stopping", querytree.Interval{Mint: 50_000, Maxt: 100_000}, querytree.Interval{Mint: 115_001, Maxt: 165_000}, querytree.Interval{Mint: 166_001, Maxt: math.MaxInt64})
}

// A record that cannot be read means that nothing is known to be complete.
func TestBrokenCoverage(t *testing.T) {
	for _, text := range []string{"", "{", `{"beat": 5, "gaps": [[3, 1]]}`, `{"beat": 5, "gaps": [[3, 4], [4, 5]]}`} {
		dir, now := t.TempDir(), time.UnixMilli(100_000)
		if err := os.WriteFile(filepath.Join(dir, coverageFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := coverageAt(t, dir, &now)
		if err == nil {
			t.Errorf("%q is taken for a record", text)
		}
		if err := c.begin(0); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]querytree.Interval{{Mint: 7, Maxt: 100_000}}, c.gaps(7)); d != "" {
			t.Errorf("%q: -want +got:\n%s", text, d)
		}
	}
}

func TestSettling(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0,
		"scrape_configs: [{job_name: a, scrape_interval: 2m}, {job_name: b}]":                                 2*time.Minute + discoveryDelay,
		"{global: {scrape_interval: 5s, scrape_timeout: 1s}, scrape_configs: [{job_name: a}, {job_name: b}]}": 5*time.Second + discoveryDelay,
	} {
		conf, err := config.Load(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := settling(conf); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A leaf that was down tells its parents so.
func TestLeafTellsItsGaps(t *testing.T) {
	dir := t.TempDir()
	born := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	var clock atomic.Pointer[time.Time]
	live := func(from, to time.Time, seriesAt time.Time) []querytree.Interval {
		clock.Store(&from)
		l := openLeaf(t, testConfig(dir), Deps{Now: func() time.Time { return *clock.Load() }})
		stop := runLeaf(t, l)
		appendStored(t, l.written, seriesAt.UnixMilli(), labels.FromStrings("__name__", "steady"))
		gaps := l.Describe().Gaps
		clock.Store(&to)
		stop()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return gaps
	}
	if got := live(born, born.Add(10*time.Second), born.Add(time.Second)); got != nil {
		t.Errorf("first life: %v", got)
	}
	again := born.Add(12 * time.Second)
	got := live(again, again.Add(time.Second), again.Add(time.Millisecond))
	want := []querytree.Interval{{Mint: born.Add(10*time.Second).UnixMilli() + 1, Maxt: again.UnixMilli()}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("second life: -want +got:\n%s", d)
	}
}
