package aggregate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// What the journal could not be told is not acknowledged; once there is room again,
// nothing is missing.
func TestJournalCannotBeWritten(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	w.append(1000, 10, "x_total{pod=a}")
	if err := w.a.journal.file.Close(); err != nil {
		t.Fatal(err)
	}
	send := func(at int64, v float64) error {
		app := w.in.AppenderV2(context.Background())
		if _, err := app.Append(0, lset(t, "x_total{pod=a}"), 0, start+at, v, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
		return app.Commit()
	}
	for range 2 {
		if err := send(2000, 14); err == nil {
			t.Fatal("acknowledged what is in no journal")
		}
	}
	w.clock = start + 12_000
	_ = w.a.Flush(context.Background()) // begins anew
	if err := send(2000, 14); err != nil {
		t.Fatal(err)
	}
	w.append(13_000, 15, "x_total{pod=a}")
	w.open() // after a kill
	w.flush(22_000)
	if got, want := w.stored("x_total:without_pod"), "10000:4 20000:5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Outputs that cannot be stored leave a hole, and nothing is lost.
func TestOutputsCannotBeStored(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	w.append(1000, 10, "x_total{pod=a}")
	w.append(2000, 12, "x_total{pod=a}")
	w.out.before = func() error { return errKilled }
	w.clock = start + 12_000
	if err := w.a.Flush(context.Background()); err == nil {
		t.Error("no error")
	}
	w.out.before = nil
	w.append(11_000, 15, "x_total{pod=a}")
	w.flush(22_000)
	if got, want := w.stored("x_total:without_pod"), "20000:5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Histograms survive kills, in all states that they can be in.
func TestHistogramsSurviveKills(t *testing.T) {
	const rules = "delay: 2s\nrules: [{name: h, match: [h], without: [pod], interval: 10s}]"
	run := func(kill bool) *histogram.FloatHistogram {
		w := newWorld(t, rules)
		again := func() {
			if kill {
				w.open()
			}
		}
		w.flush(0)
		w.appendHistogram(1, tsdbutil.GenerateTestFloatHistogram(2), "h{pod=a}")
		again()
		w.appendHistogram(5, tsdbutil.GenerateTestFloatHistogram(6), "h{pod=a}")
		again()
		w.flush(12_000)
		again()
		w.appendHistogram(15, tsdbutil.GenerateTestFloatHistogram(1), "h{pod=a}")
		again()
		w.flush(22_000)
		again()
		w.appendHistogram(25, tsdbutil.GenerateTestFloatHistogram(3), "h{pod=a}")
		again()
		w.flush(32_000)
		return w.lastHistogram("h:without_pod")
	}
	want, got := run(false), run(true)
	if want == nil || got == nil || !want.Equals(got) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Appenders, flushes, snapshots and changes of rules do not disturb each other.
func TestConcurrency(t *testing.T) {
	w := newWorld(t, counters)
	w.snapshot = 1
	w.open()
	var clock atomic.Int64
	clock.Store(start)
	w.a.deps.Now = func() time.Time { return time.UnixMilli(clock.Load()) }
	w.flush(0)
	const senders, series, rounds = 4, 50, 200
	var sending, flushing sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			refs := make([]storage.SeriesRef, series)
			for round := range rounds {
				app := w.in.AppenderV2(context.Background())
				for i := range series {
					l := labels.FromStrings("__name__", "x_total", "pod", fmt.Sprintf("%d-%d", s, i))
					ref, err := app.Append(refs[i], l, 0, start+int64(round+1)*100, float64(round), nil, nil, storage.AOptions{})
					if err != nil {
						t.Error(err)
						return
					}
					refs[i] = ref
				}
				if err := app.Commit(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	stop := make(chan struct{})
	flushing.Go(func() {
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			clock.Store(start + 2000 + min(n*1000, 40_000))
			if err := w.a.Flush(context.Background()); err != nil {
				t.Error(err)
			}
			if n%20 == 0 {
				rules := parseRules(t, counters)
				rules.Rules[0].MaxInputs += int(n)
				if err := w.a.Use(rules); err != nil {
					t.Error(err)
				}
			}
		}
	})
	sending.Wait()
	close(stop)
	flushing.Wait()
	if err := w.a.Close(); err != nil {
		t.Fatal(err)
	}
	w.clock = clock.Load()
	w.open()
	w.append(65_000, rounds, "x_total{pod=0-0}")
	w.flush(72_000)
	points := w.out.series[lset(t, "x_total:without_pod").String()]
	if got, want := points[len(points)-1].v, float64(senders*series*(rounds-1)+1); got != want {
		t.Errorf("total %v, want %v", got, want)
	}
}

// Whatever is in a file, reading it ends without a panic.
func TestGarbage(t *testing.T) {
	w := newWorld(t, counters)
	w.flush(0)
	for i := range int64(50) {
		w.append(1000+i, float64(i), "x_total{pod=a}", "x_total{pod=b}")
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	_, journals, err := w.a.files()
	if err != nil || len(journals) == 0 {
		t.Fatal(journals, err)
	}
	path := fmt.Sprintf("%s/"+journalName, w.dir, journals[len(journals)-1])
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var payloads [][]byte
	if err := readFrames(path, func(p []byte) error { payloads = append(payloads, append([]byte(nil), p...)); return nil }); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		b := append([]byte(nil), whole...)
		if rnd.IntN(2) == 0 {
			b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255)) // the checksum tells
		} else {
			b = nil
			for _, p := range payloads { // it does not
				p = append([]byte(nil), p...)
				if rnd.IntN(4) == 0 {
					p[rnd.IntN(len(p))] ^= byte(1 + rnd.IntN(255))
				}
				b = appendFrame(b, p[:len(p)-rnd.IntN(2)*rnd.IntN(len(p))])
			}
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		a := &Aggregator{cfg: w.a.cfg, deps: w.a.deps, metrics: w.a.metrics, journal: &journal{}}
		a.clear()
		if err := a.recover(); err != nil {
			t.Fatal(err)
		}
	}
}
