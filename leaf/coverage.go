package leaf

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/config"

	"github.com/pandometrics/pando/querytree"
)

// coverageFile is where a leaf keeps when it took samples. It is JSON:
//
//	{"beat": 1700000000000, "clean": false, "boot": "…", "gaps": [[from, to], …]}
//
// beat is the latest time, in milliseconds, at which the leaf is known to have
// been up; clean says that it went down on purpose then, boot names the boot of
// the machine. Gaps are times, both ends inclusive, of which samples may be
// missing.
const coverageFile = "pando-coverage.json"

const (
	// beatInterval is how often the time is noted: what is known after a kill.
	beatInterval = 15 * time.Second
	// maxPause is how long the process may have stood still between two beats
	// before that counts as a gap.
	maxPause = 3 * beatInterval
	// maxGaps is how many gaps are kept, as many as a Description holds.
	maxGaps = 100
	// writeback is how long a kernel may keep what was written to the WAL from
	// the disk, which is lost if the machine goes down.
	writeback = time.Minute
	// discoveryDelay is how long it takes to begin with targets, beside their
	// interval.
	discoveryDelay = 10 * time.Second
)

// uptime is the record of when a leaf was up. What it tells of a gap may be
// larger than the gap was, never smaller. It is pure: times are handed in, all
// in milliseconds.
type uptime struct {
	Beat  int64      `json:"beat"`
	Clean bool       `json:"clean"`
	Boot  string     `json:"boot,omitempty"`
	Gaps  [][2]int64 `json:"gaps"`
}

// begin notes that the leaf is up since now, on that boot of the machine, and
// that samples are complete again after settle.
func (u *uptime) begin(now, settle int64, boot string) {
	from := u.Beat + 1
	if !u.Clean && (boot == "" || boot != u.Boot) && u.Beat != math.MinInt64 {
		from -= writeback.Milliseconds()
	}
	if u.Beat == math.MinInt64 { // never
		from = math.MinInt64
	}
	u.add(min(from, now), max(now, u.Beat)+settle)
	u.Beat, u.Clean, u.Boot = now, false, boot
}

// beat notes that the leaf is up. A clock that went back, or a process that
// stood still, makes a gap.
func (u *uptime) beat(now int64) {
	if now < u.Beat || now-u.Beat > maxPause.Milliseconds() {
		u.add(min(now, u.Beat+1), max(now, u.Beat))
	}
	u.Beat = now
}

// add adds a gap, joined with those that it touches, and those closest to each
// other if there are too many.
func (u *uptime) add(from, to int64) {
	u.Gaps = append(u.Gaps, [2]int64{from, to})
	slices.SortFunc(u.Gaps, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	out := u.Gaps[:1]
	for _, g := range u.Gaps[1:] {
		if last := &out[len(out)-1]; g[0] <= last[1] || g[0] == last[1]+1 {
			last[1] = max(last[1], g[1])
			continue
		}
		out = append(out, g)
	}
	for len(out) > maxGaps {
		at := 1
		for i := range out[1:] {
			if out[i+1][0]-out[i][1] < out[at][0]-out[at-1][1] {
				at = i + 1
			}
		}
		out[at-1][1] = out[at][1]
		out = slices.Delete(out, at, at+1)
	}
	u.Gaps = out
}

// forget drops gaps that ended before a time.
func (u *uptime) forget(before int64) {
	u.Gaps = slices.DeleteFunc(u.Gaps, func(g [2]int64) bool { return g[1] < before })
}

// since returns the gaps, cut to begin with mint.
func (u *uptime) since(mint int64) []querytree.Interval {
	var out []querytree.Interval
	for _, g := range u.Gaps {
		if g[1] >= mint {
			out = append(out, querytree.Interval{Mint: max(g[0], mint), Maxt: g[1]})
		}
	}
	return out
}

// coverage keeps the record of a leaf on disk. It is safe for concurrent use.
type coverage struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	up   bool
	rec  uptime
	boot string
}

// openCoverage reads the record in dir. Without one, nothing is known of the
// time before, and so all that is there counts as incomplete. So it does if the
// record cannot be used, which is told as an error.
func openCoverage(dir string, now func() time.Time) (*coverage, error) {
	c := &coverage{path: filepath.Join(dir, coverageFile), now: now, boot: bootID()}
	c.rec.Beat = math.MinInt64
	b, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		var rec uptime
		if err = json.Unmarshal(b, &rec); err == nil && valid(rec) {
			c.rec = rec
			return c, nil
		}
	}
	if err == nil {
		err = errors.New("its gaps are out of order")
	}
	return c, fmt.Errorf("coverage file %q: %w; all that is there counts as incomplete", c.path, err)
}

func valid(u uptime) bool {
	for i, g := range u.Gaps {
		if g[0] > g[1] || (i > 0 && g[0] <= u.Gaps[i-1][1]) {
			return false
		}
	}
	return len(u.Gaps) <= maxGaps
}

// bootID names the boot of the machine, empty if that is not known.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(b[:min(len(b), 36)])
}

// gaps returns the times since mint of which samples may be missing, as of now.
func (c *coverage) gaps(mint int64) []querytree.Interval {
	if c == nil || mint == math.MaxInt64 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up {
		return c.rec.since(mint)
	}
	down := uptime{Gaps: slices.Clone(c.rec.Gaps)}
	from := c.rec.Beat
	if from != math.MinInt64 {
		from++
	}
	down.add(from, math.MaxInt64)
	return down.since(mint)
}

// run notes that the leaf is up until ctx ends.
func (c *coverage) run(ctx context.Context, retention func() time.Duration, logger *slog.Logger) {
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.beat(retention())
			if err := c.save(); err != nil {
				logger.Error("coverage not saved", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// begin notes that the leaf takes samples from now on.
func (c *coverage) begin(settle time.Duration) error {
	c.mu.Lock()
	c.rec.begin(c.now().UnixMilli(), settle.Milliseconds(), c.boot)
	c.up = true
	c.mu.Unlock()
	return c.save()
}

func (c *coverage) beat(retention time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up {
		return
	}
	now := c.now()
	c.rec.beat(now.UnixMilli())
	if retention > 0 {
		c.rec.forget(now.Add(-retention).UnixMilli())
	}
}

// end notes that the leaf no longer takes samples.
func (c *coverage) end() error {
	c.beat(0)
	c.mu.Lock()
	c.up, c.rec.Clean = false, true
	c.mu.Unlock()
	return c.save()
}

// save writes the record, whole or not at all.
func (c *coverage) save() error {
	c.mu.Lock()
	b, err := json.Marshal(c.rec)
	c.mu.Unlock()
	if err == nil {
		err = replaceFile(c.path, b)
	}
	if err != nil {
		return fmt.Errorf("write coverage file %q: %w", c.path, err)
	}
	return nil
}

// settling is how long after the start it takes until every target has been
// scraped.
func settling(conf *config.Config) time.Duration {
	scraped, err := conf.GetScrapeConfigs()
	if err == nil && len(scraped) == 0 {
		return 0
	}
	longest := time.Duration(conf.GlobalConfig.ScrapeInterval)
	for _, s := range scraped {
		longest = max(longest, time.Duration(s.ScrapeInterval))
	}
	return longest + discoveryDelay
}
