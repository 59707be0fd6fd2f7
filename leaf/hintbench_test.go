package leaf

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/fieldhint"
)

// Targets of what hints may cost a leaf.
const (
	targetIngest = 0.97 // of the samples, or series, a second without hints
	targetMemory = 0.05 // of the head's memory
)

// overheadLabels are labels as Kubernetes makes them: 500 metrics, a pod for
// each 400 series, a node for 20 pods.
func overheadLabels(i int) labels.Labels {
	pod := i / 400
	suffix := strconv.FormatUint(uint64(pod+1)*0x9e3779b97f4a7c15, 36)
	app := fmt.Sprintf("%s-%s-%d", []string{"payments", "checkout", "search", "orders"}[pod%4], []string{"api", "worker", "web"}[pod/4%3], pod/12%40)
	return labels.FromStrings("__name__", fmt.Sprintf("app_%s_%d_total", []string{"requests", "errors", "bytes", "seconds"}[i%4], i%500),
		"code", strconv.Itoa(200+i%5), "container", app, "instance", fmt.Sprintf("10.%d.%d.%d:8080", pod/20%7, pod/20, pod%250), "job", app,
		"method", []string{"GET", "POST"}[i%2], "namespace", app[:len(app)-2]+"-prod", "node", fmt.Sprintf("ip-10-0-%d", pod/20),
		"path", fmt.Sprintf("/api/v1/%d", i%40), "pod", app+"-"+suffix[:9]+"-"+suffix[4:9])
}

// subject is a leaf under comparison.
type subject struct {
	leaf   *Leaf
	set    *fieldhint.Set // nil without hints
	refs   []storage.SeriesRef
	memory int // of the series created, hints included
}

func newSubject(b *testing.B, hints bool) *subject {
	b.Helper()
	s := &subject{}
	deps := Deps{}
	if hints {
		set, err := fieldhint.NewSet(fieldhint.SetConfig{External: testIdentity})
		if err != nil {
			b.Fatal(err)
		}
		s.set, deps.Hints = set, set
	}
	s.leaf = openLeaf(b, testConfig(b.TempDir()), deps)
	return s
}

// ingest appends a sample at ts to each series, as scraping does, and returns the
// CPU that it took. Series without a reference yet are created.
func (s *subject) ingest(b *testing.B, sets []labels.Labels, from int, ts int64) time.Duration {
	b.Helper()
	runtime.GC() // what others left behind
	start := cpuTime(b)
	app := s.leaf.written.Appender(context.Background())
	for i, lset := range sets {
		var ref storage.SeriesRef
		if from+i < len(s.refs) {
			ref = s.refs[from+i]
		}
		ref, err := app.Append(ref, lset, ts, float64(i))
		if err != nil {
			b.Fatal(err)
		}
		if from+i == len(s.refs) {
			s.refs = append(s.refs, ref)
		}
	}
	if err := app.Commit(); err != nil {
		b.Fatal(err)
	}
	return cpuTime(b) - start
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// seed gives a leaf some series, by which it decides what to tell of them: enough
// that it need not decide again soon.
func (s *subject) seed(b *testing.B, sets []labels.Labels) {
	b.Helper()
	s.ingest(b, sets, 0, 500)
	s.refs = nil
	if s.set == nil {
		return
	}
	if err := s.leaf.indexing.update(b.Context(), s.leaf.store); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkHintOverhead compares leaves with and without hints, in one run and in
// turns, so that whatever else the machine does befalls both: first the creation of
// series, by a leaf that is new and by one that has decided which kinds of facts to
// keep; then samples of known series.
func BenchmarkHintOverhead(b *testing.B) {
	const rounds, batch = 10, 10_000
	all, seeds := make([]labels.Labels, rounds*batch), make([]labels.Labels, 4*batch)
	for i := range all {
		all[i] = overheadLabels(i)
	}
	for i := range seeds {
		seeds[i] = overheadLabels(len(all) + i)
	}
	for range b.N {
		without, with := newSubject(b, false), newSubject(b, true)
		plain, decided := newSubject(b, false), newSubject(b, true)
		decided.seed(b, seeds)
		plain.seed(b, seeds)
		creationDecided := inTurns(b, plain, decided, rounds, func(s *subject, round int) time.Duration {
			return s.ingest(b, all[round*batch:(round+1)*batch], round*batch, 1000)
		})
		kept := 0
		for _, d := range decided.set.Scheme().Decisions() {
			if d.Kept && len(d.Labels) == 2 {
				kept++
			}
		}
		creation := inTurns(b, without, with, rounds, func(s *subject, round int) time.Duration {
			before := heap()
			d := s.ingest(b, all[round*batch:(round+1)*batch], round*batch, 1000)
			s.memory += heap() - before
			return d
		})
		steady := inTurns(b, without, with, rounds, func(s *subject, round int) time.Duration {
			return s.ingest(b, all, 0, int64(2000+round*15_000))
		})
		head, hints := float64(without.memory), float64(with.memory-without.memory)
		b.ReportMetric(creation, "creation-ratio")
		b.ReportMetric(creationDecided, "creation-decided-ratio")
		b.ReportMetric(steady, "steady-ratio")
		b.ReportMetric(hints/head, "memory-ratio")
		n := float64(len(all))
		fmt.Fprintf(os.Stdout, "%d series; head %.0f B a series, hints %.1f B (set %.1f B, %d fingerprints)\n", len(all), head/n, hints/n, float64(with.set.Bytes())/n, with.set.Len())
		fmt.Fprintf(os.Stdout, "creation of series with hints, of the speed without: %.3f (≥ %v: %s)\n", creation, targetIngest, judged(creation >= targetIngest))
		fmt.Fprintf(os.Stdout, "the same, with %d kinds of pairs kept: %.3f (≥ %v: %s)\n", kept, creationDecided, targetIngest, judged(creationDecided >= targetIngest))
		fmt.Fprintf(os.Stdout, "samples of known series, likewise: %.3f (≥ %v: %s)\n", steady, targetIngest, judged(steady >= targetIngest))
		fmt.Fprintf(os.Stdout, "memory of hints, of the head's: %.3f (≤ %v: %s)\n", hints/head, targetMemory, judged(hints/head <= targetMemory))
	}
}

func judged(ok bool) string {
	if ok {
		return "ok"
	}
	return "MISSED"
}

// inTurns runs rounds of both subjects and returns the speed of the second, in
// terms of the first's: the median over the rounds.
func inTurns(b *testing.B, without, with *subject, rounds int, run func(*subject, int) time.Duration) float64 {
	b.Helper()
	var ratios []float64
	for round := range rounds {
		var a, c time.Duration
		if round%2 == 0 {
			a, c = run(without, round), run(with, round)
		} else {
			c, a = run(with, round), run(without, round)
		}
		ratios = append(ratios, float64(a)/float64(c))
	}
	slices.Sort(ratios)
	return (ratios[(rounds-1)/2] + ratios[rounds/2]) / 2
}
