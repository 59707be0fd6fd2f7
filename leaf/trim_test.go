package leaf

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// timesIn returns the times of the samples of a metric, as a sample and a chunk
// querier of those bounds have them.
func timesIn(t testing.TB, l *Leaf, mint, maxt int64, hints *storage.SelectHints, name string) (samples, inChunks []int64) {
	t.Helper()
	q, err := l.served.Querier(mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, hints, eq("__name__", name))
	var it chunkenc.Iterator
	for set.Next() {
		for it = set.At().Iterator(it); it.Next() != chunkenc.ValNone; {
			samples = append(samples, it.AtT())
		}
	}
	if err := set.Err(); err != nil {
		t.Error(err)
	}
	cq, err := l.served.ChunkQuerier(mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer cq.Close()
	chunks := cq.Select(t.Context(), true, hints, eq("__name__", name))
	for chunks.Next() {
		each := chunks.At().Iterator(nil)
		for each.Next() {
			for it := each.At().Chunk.Iterator(nil); it.Next() != chunkenc.ValNone; {
				inChunks = append(inChunks, it.AtT())
			}
		}
		if err := each.Err(); err != nil {
			t.Error(err)
		}
	}
	if err := chunks.Err(); err != nil {
		t.Error(err)
	}
	return samples, inChunks
}

// Queries of all bounds have what deletions left, whatever these are.
func TestReadAfterDeletions(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	for ts := range int64(100) {
		appendStored(t, l.written, ts*1000, labels.FromStrings("__name__", "a"))
	}
	gone := map[int64]bool{}
	for _, deleted := range [][2]int64{{10, 19}, {40, 49}, {70, 79}, {90, 94}} {
		if err := l.store.Delete(t.Context(), deleted[0]*1000, deleted[1]*1000, eq("__name__", "a")); err != nil {
			t.Fatal(err)
		}
		for ts := deleted[0]; ts <= deleted[1]; ts++ {
			gone[ts*1000] = true
		}
	}
	for mint := int64(0); mint < 100; mint += 3 {
		for maxt := mint; maxt < 100; maxt += 4 {
			var want []int64
			for ts := mint; ts <= maxt; ts++ {
				if !gone[ts*1000] {
					want = append(want, ts*1000)
				}
			}
			for _, hints := range []*storage.SelectHints{nil, {Start: mint * 1000, End: maxt * 1000}} {
				samples, chunks := timesIn(t, l, mint*1000, maxt*1000, hints, "a")
				if diff := cmp.Diff(want, samples); diff != "" {
					t.Errorf("samples of %d to %d: %s", mint, maxt, diff)
				}
				if diff := cmp.Diff(want, chunks); diff != "" {
					t.Errorf("chunks of %d to %d: %s", mint, maxt, diff)
				}
			}
		}
	}
}

// Deletions and queries may come at the same time: a query that began before
// the first deletion is waited for, and none waits for a deletion.
func TestDeleteWhileReading(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	for ts := range int64(100) {
		appendStored(t, l.written, ts*1000, labels.FromStrings("__name__", "a"))
	}
	old, err := l.served.Querier(0, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.store.Delete(impatient, 10_000, 19_000, eq("__name__", "a")); err == nil {
		t.Error("something is deleted under the eyes of a query")
	}
	timesIn(t, l, 0, 50_000, nil, "a") // does not wait
	var wg sync.WaitGroup
	for i := range int64(4) {
		wg.Go(func() {
			for n := range int64(10) {
				from := (n*8 + i*2) * 1000
				if err := l.store.Delete(t.Context(), from, from, eq("__name__", "a")); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for n := range int64(50) {
				if samples, _ := timesIn(t, l, n*1000, 50_000, nil, "a"); slices.Contains(samples, 51_000) {
					t.Error("a sample after the query's end")
				}
			}
		})
	}
	for set := old.Select(t.Context(), true, nil, eq("__name__", "a")); set.Next(); {
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// Deletions are known again after a restart.
func TestReadAfterDeletionsAndRestart(t *testing.T) {
	cfg := testConfig(t.TempDir())
	for run := range 2 {
		l, err := Open(cfg, Deps{Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			for ts := range int64(100) {
				appendStored(t, l.written, ts*1000, labels.FromStrings("__name__", "a"))
			}
			for _, from := range []int64{10_000, 80_000} {
				if err := l.store.Delete(t.Context(), from, from+9_000, eq("__name__", "a")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if samples, chunks := timesIn(t, l, 0, 50_000, nil, "a"); len(samples) != 41 || len(chunks) != 41 {
			t.Errorf("run %d: %v, %v", run, samples, chunks)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
