package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	fairLeaves = 4
	fairHeavy  = 8
	fairAsked  = 200
)

// fairTree is a root over two zones and four leaves, and what a light query and
// heavy ones are there.
type fairTree struct {
	root, leaf *process
	end        time.Time
}

// fairTier is the same tree, asked at one of its tiers.
type fairTier struct {
	fairTree
	asked *process
}

func newFairTree(tb testing.TB) fairTree {
	tb.Helper()
	users := fairUsers(tb)
	t := fairTree{root: startRoot(tb, users), end: time.Now().Truncate(benchStep)}
	zones := []*process{startZone(tb, t.root.grpc, "--zone=eu"), startZone(tb, t.root.grpc, "--zone=us")}
	for leaf := range fairLeaves {
		dir := tb.TempDir()
		benchLoad(tb, dir, t.end, benchSeries(tb), leaf)
		t.leaf = tierAt(tb, anyPort, "", "leaf", "--storage.tsdb.path="+dir, "--parent="+zones[leaf%2].grpc, "--zone="+benchZone(leaf), "--cluster="+benchCluster(leaf), users)
	}
	eventually(tb, time.Minute, func() error {
		code, body, err := fairTier{t, t.root}.ask("light", "count(up)", "60")
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
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	return res.StatusCode, string(body), err
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

// flood keeps heavy queries of one user going until it is stopped.
func (t fairTier) flood(tb testing.TB, n int) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				code, body, err := t.askWith(ctx, "heavy", `sum by (job, code) (rate(http_requests_total[5m]))`, "15")
				if ctx.Err() == nil && (err != nil || code != http.StatusOK) {
					tb.Error(code, err, body)
					return
				}
				mu.Lock()
				done++
				mu.Unlock()
			}
		})
	}
	return func() int {
		cancel()
		wg.Wait()
		return done - n
	}
}

// How long one client's light query takes while another's heavy ones run, on all
// the processors that there are: at the root, over two zones and four leaves, and
// at one of the leaves.
func BenchmarkFairness(b *testing.B) {
	tree := newFairTree(b)
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "light query of one user, %d times, %d leaves of %d series\tp50\tp99\tp99 to idle\n", fairAsked, fairLeaves, benchSeries(b))
	for _, t := range []fairTier{{tree, tree.root}, {tree, tree.leaf}} {
		t.light(b) // warm up
		var idle time.Duration
		for _, heavy := range []int{0, 1, fairHeavy} {
			stop := t.flood(b, heavy)
			p50, p99 := t.light(b)
			done := stop()
			if heavy == 0 {
				idle = p99
			}
			fmt.Fprintf(w, "at the %s, %d heavy ones of another going (%d finished)\t%v\t%v\t%.1fx\n", strings.Fields(t.asked.name)[0], heavy, max(0, done),
				p50.Round(10*time.Microsecond), p99.Round(10*time.Microsecond), float64(p99)/float64(idle))
		}
	}
	_ = w.Flush()
	b.Logf("\n%s", table)
}
