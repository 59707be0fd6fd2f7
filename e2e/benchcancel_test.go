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
)

const (
	cancelRounds = 20
	// cancelAfter is how long a query has been going when it is cancelled.
	cancelAfter = 300 * time.Millisecond
)

// cancelled is one way in which queries end early.
type cancelled struct {
	name, query string
	// end returns when the query was told to end, or its error came.
	end func(tb testing.TB, t fairTree, query string) time.Time
}

// How long after a heavy query was cancelled each tier is done with it: when its
// client hangs up, when it is cancelled by its id, and when it exceeds a limit of the
// root.
func BenchmarkCancel(b *testing.B) {
	tree := newFairTree(b, "--query.max-bytes=512MiB")
	const heavy = `sum by (job, code) (rate(http_requests_total[5m]))`
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d times, %d leaves of %d series\tquery\troot p50, max\tzones\tleaves\n", cancelRounds, fairLeaves, benchSeries(b))
	for _, c := range []cancelled{
		{"the client hangs up", heavy, hangUp},
		{"the client hangs up", `quantile by (job) (0.9, max_over_time(http_requests_total{code="500"}[5m]))`, hangUp},
		{"the client hangs up", `topk(3, http_requests_total * on (zone, cluster, instance) group_left () up)`, hangUp},
		{"cancelled by its id", heavy, byID},
		{"the root's --query.max-bytes", `sort(http_requests_total + 0)`, refused},
	} {
		times := map[string][]time.Duration{}
		for range cancelRounds {
			since := c.end(b, tree, c.query)
			for tier, took := range tree.idle(b, since) {
				times[tier] = append(times[tier], took)
			}
		}
		fmt.Fprintf(w, "%s\t`%s`", c.name, c.query)
		for _, tier := range []string{"root", "zone", "leaf"} {
			t := times[tier]
			slices.Sort(t)
			fmt.Fprintf(w, "\t%v, %v", t[len(t)/2].Round(time.Millisecond), t[len(t)-1].Round(time.Millisecond))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	b.Logf("\n%s", table)
}

// begin asks the root until ctx ends, under an id.
func (t fairTree) begin(ctx context.Context, query, id string) (done chan int) {
	done = make(chan int, 1)
	params := url.Values{"query": {query}, "start": {seconds(t.end.Add(-benchSpan))}, "end": {seconds(t.end)}, "step": {"1"}, "nocache": {"1"}}
	go func() {
		defer close(done)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.root.http+"/api/v1/query_range?"+params.Encode(), nil)
		if err != nil {
			return
		}
		req.SetBasicAuth("heavy", "test")
		req.Header.Set("X-Pando-Query-Id", id)
		res, err := caller.Do(req)
		if err != nil {
			return
		}
		defer res.Body.Close()
		done <- res.StatusCode
	}()
	return done
}

// going waits until a query is at work for so long, and fails if it has ended.
func going(tb testing.TB, done <-chan int) {
	tb.Helper()
	select {
	case code, ok := <-done:
		tb.Fatalf("the query ended too soon: %d, %v", code, ok)
	case <-time.After(cancelAfter):
	}
}

func hangUp(tb testing.TB, t fairTree, query string) time.Time {
	ctx, cancel := context.WithCancel(context.Background())
	done := t.begin(ctx, query, "hang-up")
	going(tb, done)
	begin := time.Now()
	cancel()
	<-done
	return begin
}

func byID(tb testing.TB, t fairTree, query string) time.Time {
	done := t.begin(context.Background(), query, "by-id")
	going(tb, done)
	begin := time.Now()
	req, err := http.NewRequest(http.MethodDelete, t.root.http+"/pando/api/v1/queries/by-id", nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.SetBasicAuth("heavy", "test")
	res, err := caller.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		tb.Fatal(res.Status)
	}
	<-done
	return begin
}

func refused(tb testing.TB, t fairTree, query string) time.Time {
	if code := <-t.begin(context.Background(), query, "refused"); code != http.StatusUnprocessableEntity {
		tb.Fatalf("got %d", code)
	}
	return time.Now()
}

// idle waits until no process works on a query, and returns how long after since the
// last of each tier was done.
func (t fairTree) idle(tb testing.TB, since time.Time) map[string]time.Duration {
	tb.Helper()
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		took = map[string]time.Duration{}
	)
	for tier, ps := range map[string][]*process{"root": {t.root}, "zone": t.zones, "leaf": t.leaves} {
		for _, p := range ps {
			wg.Go(func() {
				for {
					text, err := metricsOf(p)
					if err != nil {
						tb.Error(err)
						return
					}
					if strings.Contains(text, "\npando_tree_running_requests{kind=\"query\"} 0\n") {
						break
					}
				}
				mu.Lock()
				defer mu.Unlock()
				took[tier] = max(took[tier], time.Since(since))
			})
		}
	}
	wg.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
	return took
}

// metricsOf is the page of a process' metrics, as its users may see it.
func metricsOf(p *process) (string, error) {
	req, err := http.NewRequest(http.MethodGet, p.http+"/metrics", nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("light", "test")
	res, err := caller.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("metrics of %s: %s", p.name, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<24))
	return string(text), err
}
