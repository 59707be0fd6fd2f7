package resultcache

import (
	"math"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// Why queries cannot be taken apart; empty if they can.
func TestRangeDependence(t *testing.T) {
	for query, want := range map[string]string{
		`x`:                             "",
		`sum(rate(x[5m]))`:              "",
		`time() - x`:                    "",
		`timestamp(x)`:                  "",
		`x @ 100`:                       "",
		`sum_over_time(x[5m:1m] @ 100)`: "",
		`topk(3, x)`:                    "",
		`rate(x[step()])`:               "",
		`label_replace(x, "a", "$1", "b", "(.*)")`:   "",
		`max_over_time(sum by (job) ({a="b"})[5m:])`: "",
		`last_over_time({a="b"}[5m])`:                "",
		`rate(x[5m]) + rate(y[5m])`:                  "",
		`predict_linear(x[5m], 3600)`:                "",
		`{a="b"} + 1`:                                "",
		`x @ start()`:                                whyWholeAt,
		`sum(x @ end())`:                             whyWholeAt,
		`rate(x[5m] @ end())`:                        whyWholeAt,
		`max_over_time(x[5m:] @ start())`:            whyWholeAt,
		`rate(x[range()])`:                           whyWholeCall,
		`rate(x[max_of(step(), range()/10)])`:        whyWholeCall,
		`x offset (range()/2)`:                       whyWholeCall,
		`max_over_time(x[1h:(range()/10)])`:          whyWholeCall,
		`x * range()`:                                whyWholeCall,
		`x > start()`:                                whyWholeCall,
		`info(x)`:                                    whyInfo,
		`sort(x)`:                                    whySort,
		`1 + 1`:                                      whyNoSeries,
		`vector(time())`:                             whyNoSeries,
		`rate({a="b"}[5m])`:                          whyNames,
		`rate({__name__=~"x|y"}[5m])`:                whyNames,
		`max_over_time((x or y)[5m:])`:               whyNames,
		`max_over_time(label_replace(x, "__name__", "y", "", "")[5m:])`: whyNames,
		`max_over_time(topk(3, {a="b"})[5m:])`:                          whyNames,
	} {
		_, why := analyze(parse(t, query), querytree.ExecRequest{Start: 0, End: 3_600_000, Step: 60_000, Lookback: 300_000})
		if why != want {
			t.Errorf("%s: %q, want %q", query, why, want)
		}
	}
}

// What steps read, in seconds: how far after the step the newest sample is, the
// fixed time if there is one, and how far back the oldest is.
func TestReads(t *testing.T) {
	const none = math.MinInt64
	for query, want := range map[string][3]int64{
		`x`:                                  {0, none, 299_999},
		`rate(x[10m])`:                       {0, none, 599_999},
		`x offset 10m`:                       {-600_000, none, 899_999},
		`x offset -10m`:                      {600_000, none, -300_001},
		`x + x offset -10m`:                  {600_000, none, 299_999},
		`x @ 100`:                            {-100_000_000, 100_000, 0},
		`x @ 100 offset -1m`:                 {-100_000_000, 160_000, 0},
		`x + x @ 100`:                        {0, 100_000, 299_999},
		`max_over_time(x[1h:1m])`:            {0, none, 3_899_999},
		`max_over_time(x[1h:1m] offset -1h)`: {3_600_000, none, 299_999},
		`max_over_time(rate(x[5m] offset -2h)[1h:])`: {7_200_000, none, -3_300_001},
		`rate(x[5m] smoothed)`:                       {300_000, none, 599_999},
		`rate(x[5m] anchored)`:                       {0, none, 599_999},
	} {
		r, why := analyze(parse(t, query), querytree.ExecRequest{Step: 60_000, Lookback: 300_000})
		if why != "" {
			t.Errorf("%s: %s", query, why)
			continue
		}
		forward := r.forward
		if want[0] == -100_000_000 { // Nothing but the fixed time: any step is as old.
			if forward > -far/2 {
				t.Errorf("%s: reads up to %d after the step", query, forward)
			}
			forward, r.back = want[0], 0
		}
		if got := [3]int64{forward, r.fixed, r.back}; got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestNewest(t *testing.T) {
	at := reads{fixed: 100, forward: -far}
	if at.newest(99) != math.MinInt64 || at.newest(100) < far/2 {
		t.Errorf("@ 100 is settled with %d and %d", at.newest(99), at.newest(100))
	}
	ahead := reads{fixed: math.MinInt64, forward: 60}
	if got := ahead.newest(1000); got != 940 {
		t.Errorf("the last step that reads nothing after 1000 is %d", got)
	}
	if got := ahead.newest(math.MinInt64); got != math.MinInt64 {
		t.Errorf("nothing is settled, but %d", got)
	}
}

// Pieces cover the spans exactly, do not cross multiples of the interval, and
// are not too small.
func TestSplit(t *testing.T) {
	hour, day := int64(3_600_000), int64(24*3_600_000)
	for _, c := range []struct {
		split  time.Duration
		r      reads
		step   int64
		spans  []span
		pieces int
	}{
		{24 * time.Hour, reads{}, 60_000, []span{{0, 7*day - 60_000}}, 7},
		{24 * time.Hour, reads{}, 60_000, []span{{hour, 3*day + hour}}, 4},
		{24 * time.Hour, reads{}, hour, []span{{0, 30 * day}}, 11},
		{24 * time.Hour, reads{}, day, []span{{0, 365 * day}}, 7},
		{24 * time.Hour, reads{back: 2 * day}, 60_000, []span{{0, 7 * day}}, 1},
		{0, reads{}, 60_000, []span{{0, 7 * day}}, 1},
		{time.Hour, reads{}, 77_000, []span{{5, 5 + 77_000*1000}, {5 + 77_000*2000, 5 + 77_000*2001}}, 12},
		{time.Hour, reads{}, 60_000, []span{{-2 * hour, 2 * hour}}, 5},
	} {
		n := interval(c.split, c.r, c.step)
		got := split(c.spans, n, c.step)
		if len(got) != c.pieces {
			t.Errorf("%+v: %d pieces: %v", c, len(got), got)
		}
		for _, p := range got {
			if n > 0 && (p.from-mod(p.from, n) != p.to-mod(p.to, n)) || p.to < p.from || (p.to-p.from)%c.step != 0 {
				t.Errorf("%+v: piece %v", c, p)
			}
		}
		if again := coalesce(got, c.step); len(again) != len(c.spans) || again[0] != c.spans[0] {
			t.Errorf("%+v: pieces make %v", c, again)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"negative bytes": func(c *Config) { c.Bytes = -1 },
		"window":         func(c *Config) { c.Window = -1 },
		"negative split": func(c *Config) { c.Split = -1 },
		"tiny split":     func(c *Config) { c.Split = time.Second },
		"no parallelism": func(c *Config) { c.Parallelism = 0 },
	} {
		c := DefaultConfig()
		if change(&c); c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (Config{Parallelism: 1}).Validate(); err != nil {
		t.Errorf("everything off: %v", err)
	}
}
