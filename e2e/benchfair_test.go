package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	fairLeaves = 4
	fairHeavy  = 8
	fairAsked  = 400
	// fairAlone is how long heavy queries run with no light ones.
	fairAlone = 3 * time.Second
)

// fairTree is a root over two zones and four leaves, and what a light query and
// heavy ones are there.
type fairTree struct {
	root, leaf    *process
	zones, leaves []*process
	end           time.Time
}

// fairTier is the same tree, asked at one of its tiers, for answers that it may
// have kept or for new ones.
type fairTier struct {
	fairTree
	asked *process
	anew  bool
}

func (t fairTier) String() string {
	name := "at the " + strings.Fields(t.asked.name)[0]
	if t.anew {
		return name + ", past its cache"
	}
	return name
}

func newFairTree(tb testing.TB, rootFlags ...string) fairTree {
	tb.Helper()
	users := fairUsers(tb)
	t := fairTree{root: startRoot(tb, append(rootFlags, users)...), end: time.Now().Truncate(benchStep)}
	t.zones = []*process{startZone(tb, t.root.grpc, "--zone=eu"), startZone(tb, t.root.grpc, "--zone=us")}
	for leaf := range fairLeaves {
		dir := tb.TempDir()
		benchLoad(tb, dir, t.end, benchSeries(tb), leaf)
		t.leaf = tierAt(tb, anyPort, "", "leaf", "--storage.tsdb.path="+dir, "--parent="+t.zones[leaf%2].grpc, "--zone="+benchZone(leaf), "--cluster="+benchCluster(leaf), users)
		t.leaves = append(t.leaves, t.leaf)
	}
	eventually(tb, time.Minute, func() error {
		code, body, err := fairTier{t, t.root, true}.ask("light", "count(up)", "60")
		if err == nil && (code != http.StatusOK || strings.Contains(body, "warnings")) {
			err = fmt.Errorf("%d: %.300s", code, body)
		}
		return err
	})
	return t
}

// fairUsers is a flag for a file with the users light and heavy.
func fairUsers(tb testing.TB) string {
	b, err := bcrypt.GenerateFromPassword([]byte("test"), bcrypt.MinCost)
	if err != nil {
		tb.Fatal(err)
	}
	hash := string(b)
	return "--web.config.file=" + writeFile(tb, "web.yml", "basic_auth_users:\n  light: "+hash+"\n  heavy: "+hash+"\n")
}

// ask asks over an hour, as a user.
func (t fairTier) ask(user, query, step string) (int, string, error) {
	return t.askWith(context.Background(), user, query, step)
}

func (t fairTier) askWith(ctx context.Context, user, query, step string) (int, string, error) {
	params := url.Values{"query": {query}, "start": {seconds(t.end.Add(-benchSpan))}, "end": {seconds(t.end)}, "step": {step}}
	if t.anew {
		params.Set("nocache", "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.asked.http+"/api/v1/query_range?"+params.Encode(), nil)
	if err != nil {
		return 0, "", err
	}
	req.SetBasicAuth(user, "test")
	res, err := caller.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil { // Large answers are not kept: the client shares the processors.
		_, err = io.Copy(io.Discard, res.Body)
	}
	return res.StatusCode, string(body), err
}

// settled returns nil once all samples are so old that answers are kept.
func (t fairTree) settled() error {
	if age := time.Since(t.end); age < 15*time.Second {
		return fmt.Errorf("the newest samples are %v old", age)
	}
	return nil
}

// light times a light query, again and again.
func (t fairTier) light(tb testing.TB) (p50, p99 time.Duration) {
	tb.Helper()
	var took []time.Duration
	for range fairAsked {
		begin := time.Now()
		code, body, err := t.ask("light", `sum by (cluster) (up{job="job-7"})`, "60")
		if err != nil || code != http.StatusOK || strings.Contains(body, "warnings") {
			tb.Fatal(code, err, body)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}

// flood keeps heavy queries of one user going until it is stopped. It returns
// when one of them has ended; done says how many have.
func (t fairTier) flood(tb testing.TB, n int) (done func() int64, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var (
		wg    sync.WaitGroup
		ended atomic.Int64
	)
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				code, body, err := t.askWith(ctx, "heavy", `sum by (job, code) (rate(http_requests_total[5m]))`, "15")
				if ctx.Err() == nil && (err != nil || code != http.StatusOK) {
					tb.Error(code, err, body)
					return
				}
				ended.Add(1)
			}
		})
	}
	if n > 0 {
		eventually(tb, time.Minute, func() error {
			if ended.Load() == 0 {
				return errors.New("no heavy query has ended")
			}
			return nil
		})
	}
	return ended.Load, func() {
		cancel()
		wg.Wait()
	}
}

// perSecond is how many heavy queries end while nobody else asks.
func perSecond(n int, done func() int64) float64 {
	if n == 0 {
		return 0
	}
	begin, before := time.Now(), done()
	<-time.After(fairAlone)
	return float64(done()-before) / time.Since(begin).Seconds()
}

// How long one client's light query takes while another's heavy ones run, on all
// the processors that there are: at the root, over two zones and four leaves, and
// at one of the leaves. And how many heavy ones there are in a second when there
// are no light ones.
func BenchmarkFairness(b *testing.B) {
	tree := newFairTree(b)
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "light query of one user, %d times, %d leaves of %d series\tp50\tp99\tp99 to idle\theavy ones alone\n", fairAsked, fairLeaves, benchSeries(b))
	for _, t := range []fairTier{{tree, tree.root, true}, {tree, tree.leaf, true}, {tree, tree.root, false}} {
		if !t.anew {
			eventually(b, time.Minute, tree.settled)
		}
		t.light(b) // warm up
		var idle time.Duration
		for _, heavy := range []int{0, 1, fairHeavy} {
			done, stop := t.flood(b, heavy)
			p50, p99 := t.light(b)
			rate := perSecond(heavy, done)
			stop()
			if heavy == 0 {
				idle = p99
			}
			fmt.Fprintf(w, "%v, %d heavy ones of another going\t%v\t%v\t%.1fx\t%.1f/s\n", t, heavy,
				p50.Round(10*time.Microsecond), p99.Round(10*time.Microsecond), float64(p99)/float64(idle), rate)
		}
	}
	_ = w.Flush()
	b.Logf("\n%s", table)
}
