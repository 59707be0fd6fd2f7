package e2e_test

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

const summedUp = `
delay: 1s
rules:
- {name: all, match: [worked_total, took_seconds], without: [pod], interval: 1s, forget: 10m}
`

// aggregated is a leaf that sums up what senders write to it, and is killed.
type aggregated struct {
	t *testing.T
	// leaf is exchanged as it is killed and started anew.
	leaf atomic.Pointer[process]
	// counted and observed are what each sender's counter and the count of its histogram
	// went up by, after the first sample, as far as the leaf has taken that in.
	counted, observed [pods]atomic.Int64
}

const pods, kills = 6, 12

// send is one sender: it writes a count, as a counter and as a native histogram, and
// writes it again until it is taken in, as remote write does. The count begins anew
// now and then.
func (a *aggregated) send(ctx context.Context, pod int) {
	rnd := rand.New(rand.NewSource(int64(pod)))
	count := int64(0)
	for i := 0; ctx.Err() == nil; i++ {
		before, more := count, int64(1+rnd.Intn(5))
		if count += more; i == 0 {
			count = 100
		} else if rnd.Intn(40) == 0 && before > more {
			before, count = 0, more
		}
		of := []string{"job", "a", "pod", fmt.Sprint(pod)}
		at := time.Now()
		body := encodeSeries(sampled(at, float64(count), append(of, "__name__", "worked_total")...), prompb.TimeSeries{
			Labels:     prompb.FromLabels(labels.FromStrings(append(of, "__name__", "took_seconds")...), nil),
			Histograms: []prompb.Histogram{prompb.FromIntHistogram(at.UnixMilli(), tsdbutil.GenerateTestHistogram(count))},
		})
		for begun := time.Now(); ; {
			code, _, err := post(context.Background(), a.leaf.Load().http, body)
			if err == nil && code/100 == 2 {
				break
			}
			if time.Since(begun) > time.Minute {
				a.t.Errorf("pod %d: not taken in for a minute: %d, %v", pod, code, err)
				return
			}
			<-time.After(50 * time.Millisecond)
		}
		if i > 0 { // what came before that, the leaf cannot tell when
			a.counted[pod].Add(count - before)
			a.observed[pod].Add(observed(count) - observed(before))
		}
		<-time.After(time.Duration(50+rnd.Intn(100)) * time.Millisecond)
	}
}

// observed is the count of a test's histogram, none of which is that of a sender that
// has begun anew.
func observed(count int64) int64 {
	if count == 0 {
		return 0
	}
	return int64(tsdbutil.GenerateTestHistogram(count).Count)
}

// A leaf that sums up what is written to it dies by kill -9 again and again, and each
// count that it took in is in the totals once: they never fall, are never more than was
// counted, and in the end are that. The inputs are not stored.
func TestProcessAggregation(t *testing.T) {
	processes(t)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu")
	a := &aggregated{t: t}
	a.leaf.Store(startLeaf(t, zone.grpc, "eu", "eu-1", "--aggregate.file="+writeFile(t, "aggregate.yml", summedUp)))
	ready(t, a.leaf.Load())
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for pod := range pods {
		wg.Go(func() { a.send(ctx, pod) })
	}
	t.Cleanup(func() { stop(); wg.Wait() })
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewSource(seed))
	for range kills {
		<-time.After(time.Duration(rnd.Intn(3000)) * time.Millisecond)
		old := a.leaf.Load()
		old.kill()
		a.leaf.Store(old.again())
	}
	stop()
	wg.Wait()
	a.ends("worked_total:without_pod", "", float64(a.total(&a.counted)))
	a.ends("took_seconds:without_pod", "histogram_count", float64(a.total(&a.observed)))
	if v, err := a.value(`count({pod!=""})`); err == nil {
		t.Errorf("%v inputs are stored", v)
	}
	t.Logf("%d counted, %d observed, %d kills", a.total(&a.counted), a.total(&a.observed), kills)
}

// total is what the counts of all senders went up by.
func (a *aggregated) total(of *[pods]atomic.Int64) (n int64) {
	for i := range of {
		n += of[i].Load()
	}
	return n
}

// ends waits until the last sample of an output is as it should be. None before may
// have been more, or less than the one before it.
func (a *aggregated) ends(output, function string, want float64) {
	a.t.Helper()
	selector := fmt.Sprintf(`{__name__=%q}`, output)
	eventually(a.t, time.Minute, func() error {
		got, err := a.value(fmt.Sprintf(`%s(last_over_time(%s[10m]))`, function, selector))
		if err == nil && got != want {
			err = fmt.Errorf("%s is %v, want %v", output, got, want)
		}
		return err
	})
	if n, err := a.value(fmt.Sprintf(`resets(%s[10m])`, selector)); err != nil || n != 0 {
		a.t.Errorf("%s falls %v times, %v", output, n, err)
	}
	if n, err := a.value(fmt.Sprintf(`count_over_time(%s[10m])`, selector)); err != nil || n < kills/2 {
		a.t.Errorf("%s has %v samples, %v", output, n, err)
	}
}

// value asks the leaf for the one value of a query.
func (a *aggregated) value(query string) (float64, error) {
	res, err := ask(a.leaf.Load().http, query)
	if err != nil {
		return 0, err
	}
	v, err := res.vector()
	if err != nil || len(v) != 1 {
		return 0, fmt.Errorf("%s is %v: %w", query, v, err)
	}
	return float64(v[0].Value), nil
}
