package leaf

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pandometrics/pando/leaf/aggregate"
)

// What is said to be final is never newer than the out-of-order window reaches back,
// whoever sets that and whenever; what had been said before a reload stays said.
func TestFinalIsBehindTheOutOfOrderWindow(t *testing.T) {
	for name, c := range map[string]struct {
		window     time.Duration
		aggregates bool
		want       time.Duration
	}{
		"no window":                    {0, false, time.Minute},
		"shorter than the delay":       {time.Second, false, time.Minute},
		"window":                       {time.Hour, false, time.Hour},
		"aggregation":                  {0, true, time.Minute + aggregate.MaxDelay},
		"shorter than the aggregation": {time.Minute + aggregate.MaxDelay/2, true, time.Minute + aggregate.MaxDelay},
		"aggregation and window":       {time.Hour, true, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := testConfig(dir)
			cfg.OutOfOrderWindow = c.window
			cfg.ConfigFile = writeFile(t, filepath.Join(dir, "prometheus.yml"), "global: {scrape_interval: 20s}\n")
			if c.aggregates {
				cfg.AggregateFile = writeFile(t, filepath.Join(dir, "rules.yml"), "rules: [{name: c, match: [orders_total], without: [pod], interval: 10s}]")
			}
			l := openLeaf(t, cfg, Deps{Restater: &noter{}})
			var clock atomic.Int64
			clock.Store(time.Now().Add(24 * time.Hour).UnixMilli())
			l.final.mu.Lock()
			l.final.now = func() time.Time { return time.UnixMilli(clock.Load()) }
			l.final.mu.Unlock()
			runLeaf(t, l)
			age := func() time.Duration { return time.Duration(clock.Load()-l.Describe().Final) * time.Millisecond }
			if got := age(); got != c.want {
				t.Errorf("final are samples %v old, want %v", got, c.want)
			}
			said := l.Describe().Final
			const longer = 3 * time.Hour
			writeFile(t, cfg.ConfigFile, "storage: {tsdb: {out_of_order_time_window: 3h}}\n")
			if err := l.Reload(); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				if got := l.Describe().Final; got != said || age() > longer {
					t.Errorf("%v after the window grew: %d, want %d as before", age(), got, said)
				}
				clock.Add((longer - c.want).Milliseconds() / 4)
			}
			clock.Add(time.Hour.Milliseconds())
			if got := age(); got != longer {
				t.Errorf("final are samples %v old, want %v", got, longer)
			}
		})
	}
}
