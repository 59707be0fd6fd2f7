package leaf

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/fieldhint"
)

// noted collects the series that creations add.
type noted struct {
	mu  sync.Mutex
	all map[string]int
}

func (n *noted) add(series []labels.Labels) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[string]int{}
	}
	for _, lset := range series {
		n.all[lset.String()]++
	}
}

func (n *noted) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.all)
}

func numbered(i int) labels.Labels { return labels.FromStrings("n", fmt.Sprint(i)) }

func TestCreationsWaitForAFlush(t *testing.T) {
	n := &noted{}
	c := &creations{add: n.add}
	c.flush()
	for i := range 10 {
		c.push(numbered(i))
	}
	if n.count() != 0 {
		t.Errorf("%d series added before a flush", n.count())
	}
	c.flush()
	if n.count() != 10 {
		t.Errorf("%d series added, want 10", n.count())
	}
	for i := range maxCreations - 1 {
		c.push(numbered(100 + i))
	}
	if n.count() != 10 {
		t.Errorf("%d series added while there is room", n.count())
	}
	c.push(numbered(0))
	if want := 10 + maxCreations - 1; n.count() != want {
		t.Errorf("%d series added when there is no more room, want %d", n.count(), want)
	}
}

// What is announced is added by the commit of another writer, who may write to it
// before its creator says that it is there; and again when it is there.
func TestAnnouncedSeriesAreAddedByOthers(t *testing.T) {
	n := &noted{}
	c := &creations{add: n.add}
	c.announce(numbered(1))
	c.flush()
	if n.all[numbered(1).String()] != 1 {
		t.Error("announced, and not added before another's commit")
	}
	c.push(numbered(1))
	c.flush()
	if n.all[numbered(1).String()] != 2 {
		t.Error("not added again when it could be found")
	}
	c.announce(numbered(2))
	c.announce(numbered(3))
	c.push(numbered(2))
	c.push(numbered(3))
	c.flush()
	if n.all[numbered(2).String()] != 1 || n.all[numbered(3).String()] != 1 {
		t.Errorf("added %v, want each once that still waited", n.all)
	}
}

// Whoever flushes returns when its series are added, even if someone else does so.
func TestFlushWaitsForOthers(t *testing.T) {
	n := &noted{}
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := &creations{add: func(series []labels.Labels) {
		once.Do(func() {
			close(begun)
			<-goOn
		})
		n.add(series)
	}}
	c.push(numbered(1))
	go c.flush()
	<-begun
	done := make(chan int)
	go func() {
		c.flush() // nothing waits, but 1 is still being added
		done <- n.count()
	}()
	select {
	case <-done:
		t.Error("a flush returned before what was pushed is added")
	case <-time.After(20 * time.Millisecond):
		close(goOn)
		if got := <-done; got != 1 {
			t.Errorf("%d series added, want 1", got)
		}
	}
}

func TestCreationsOfManyAtOnce(t *testing.T) {
	n := &noted{}
	c := &creations{add: n.add}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				lset := numbered(g*10_000 + i)
				c.push(lset)
				if i%100 != 0 {
					continue
				}
				c.flush()
				n.mu.Lock()
				if n.all[lset.String()] != 1 {
					t.Errorf("series %s was added %d times", lset, n.all[lset.String()])
				}
				n.mu.Unlock()
			}
		})
	}
	wg.Wait()
	c.flush()
	if n.count() != 8*3000 {
		t.Errorf("%d series added, want %d", n.count(), 8*3000)
	}
}

// A series whose creator takes long to commit is added all the same.
func TestCreationsAreAddedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &noted{}
		c := &creations{add: n.add}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.run(ctx)
		c.push(numbered(1))
		<-time.After(creationDelay)
		synctest.Wait()
		if n.count() != 1 {
			t.Errorf("not added after %v", creationDelay)
		}
	})
}

// A parent knows of a series by the time that the commit of its first sample
// returns, whoever wrote it, with the leaf's labels or without.
func TestHintsKnowWhatIsCommitted(t *testing.T) {
	for _, external := range []labels.Labels{testIdentity, labels.EmptyLabels()} {
		set, err := fieldhint.NewSet(fieldhint.SetConfig{External: external})
		if err != nil {
			t.Fatal(err)
		}
		l := openLeaf(t, testConfig(t.TempDir()), Deps{Hints: set})
		if err := l.indexing.update(t.Context(), l.store); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for i, to := range []*appendable{l.written, l.recorded} {
			metric := fmt.Sprintf("metric_%d", i)
			app := to.AppenderV2(t.Context())
			if _, err := app.Append(0, labels.FromStrings("__name__", metric, "cluster", "other"), 0, now.UnixMilli(), 1, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
			if !prunesAt(t, set)(metric, now) {
				t.Errorf("%s is known before its creator commits", metric)
			}
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
			if prunesAt(t, set)(metric, now) {
				t.Errorf("%s is ruled out after its commit", metric)
			}
		}
	}
}
