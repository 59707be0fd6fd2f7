package querytree

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
)

// What a replica set holds of answers counts as held by the query that asks: an
// answer that is staged until it is known to be whole, the answers for times that
// no replica has alone, and what is evaluated over merged raw series.
func TestReplicasAreWithinTheBudget(t *testing.T) {
	const s = 1000
	for _, c := range []struct {
		name, query string
		a, b        Interval // gaps
		end, step   int64
		merges      bool
	}{
		{name: "staged", query: "x"},
		{name: "step by step", query: "x", a: Interval{1000 * s, 1200 * s}, b: Interval{3000 * s, 3200 * s}, end: 5000 * s, step: 100 * s},
		{name: "merged", query: "max_over_time(x[5000s])", a: Interval{100 * s, 200 * s}, b: Interval{300 * s, 400 * s}, merges: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			child := func(name string, gap Interval) Child {
				d := replicaOf(name, gap)
				if gap == (Interval{}) {
					d = replicaOf(name)
				}
				if c.merges {
					return holding(t, d, series(50)...)
				}
				return wide(d, 1000)
			}
			ask := func(most int64) (ResultSet, *Mixer, error) {
				m := mixerOver(t, Identity{Tier: TierRoot}, func(cfg *MixerConfig) { cfg.Limits.MaxBytes = most }, child("a", c.a), child("b", c.b))
				ctx, _ := m.budget(t.Context(), Options{})
				set := m.members(0, 600*s, &lost{})[0].Child
				rs, err := set.Exec(ctx, ExecRequest{Query: c.query, Start: 600 * s, End: max(c.end, 600*s), Step: c.step, Lookback: 300 * s})
				return rs, m, err
			}
			rs, m, err := ask(1 << 30)
			if err != nil {
				t.Fatal(err)
			}
			n, begin := 0, m.memory.held.Load()
			for rs.Next() {
				n++
			}
			if n < 50 || rs.Err() != nil || begin < int64(n)*resultBytes {
				t.Errorf("%d series, %v, of which %d bytes were held", n, rs.Err(), begin)
			}
			if held := m.memory.held.Load(); held >= begin/10 {
				t.Errorf("%d of %d bytes are still held though all has been read", held, begin)
			}
			rs.Close()
			if held := m.memory.held.Load(); held != 0 {
				t.Errorf("%d bytes are held after the end", held)
			}
			_, m, err = ask(3000)
			var limit *LimitError
			if !errors.As(err, &limit) || limit.Flag != "query.max-bytes" || limit.Tier != "root" {
				t.Errorf("want a limit of the root, got %v", err)
			}
			// Requests that nobody waits for any more end a moment later.
			for begin := time.Now(); m.memory.held.Load() != 0 && time.Since(begin) < 30*time.Second; {
				runtime.Gosched()
			}
			if held := m.memory.held.Load(); held != 0 {
				t.Errorf("%d bytes are held after it was refused", held)
			}
		})
	}
}

// An answer that is held and not wanted any more, as when another replica was
// faster, is let go of when it is closed.
func TestStagedAnswerIsLetGoOf(t *testing.T) {
	m := mixerOver(t, Identity{Tier: TierRoot}, nil)
	ctx, budget := m.budget(t.Context(), Options{})
	defer budget.Close()
	set, err := stage(ctx, wide(replicaOf("a"), 1000), ExecRequest{Query: "x"}, func() {})
	if err != nil || m.memory.held.Load() == 0 {
		t.Fatalf("%v, %d bytes held", err, m.memory.held.Load())
	}
	set.Close()
	if held := m.memory.held.Load(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// A part of a query that is over gives back all that it holds, once, and is
// refused more.
func TestPartOfBudget(t *testing.T) {
	m := memoryOf(Limits{})
	_, whole := m.budget(t.Context(), "", "root", 100)
	_ = whole.Reserve(10)
	ctx, part := whole.partIn(t.Context())
	inner := part.part()
	_, _ = part.Reserve(20), inner.Reserve(30)
	if m.held.Load() != 60 {
		t.Errorf("%d bytes held, want 60", m.held.Load())
	}
	inner.settle(5)
	part.Release(100)
	if m.held.Load() != 10 {
		t.Errorf("%d bytes held, want 10: a part gives back no more than it has", m.held.Load())
	}
	_ = inner.Reserve(40)
	part.Close()
	inner.Release(40)
	inner.Close()
	if m.held.Load() != 10 || ctx.Err() == nil {
		t.Errorf("%d bytes held, want 10; the context ended with %v", m.held.Load(), ctx.Err())
	}
	if err := inner.Reserve(1); err == nil {
		t.Error("a part that is over may hold more")
	}
	other := whole.part()
	if err := other.Reserve(200); !IsLimit(err) || !IsLimit(other.Err()) || !IsLimit(whole.Err()) {
		t.Errorf("more than the query may hold: %v", err)
	}
	other.Close()
	whole.Close()
	if m.held.Load() != 0 {
		t.Errorf("%d bytes held at the end", m.held.Load())
	}
}

// Names, metadata and exemplars have a budget too, which is given back.
func TestListsAreWithinTheBudget(t *testing.T) {
	child := func(d Description) *fake {
		f := &fake{desc: d}
		f.names = func(context.Context, NamesRequest) (Names, error) {
			var n []string
			for i := range 1000 {
				n = append(n, fmt.Sprintf("%s %06d", d.Name(), i))
			}
			return Names{Names: n}, nil
		}
		f.metadata = func(context.Context, MetadataRequest) (Metadata, error) {
			return Metadata{Families: map[string][]metadata.Metadata{d.Name(): {{Help: strings.Repeat("h", 20_000)}}}}, nil
		}
		f.exemplars = func(context.Context, ExemplarsRequest) (Exemplars, error) {
			var e []exemplar.Exemplar
			for i := range 1000 {
				e = append(e, exemplar.Exemplar{Ts: int64(i), Labels: labels.FromStrings("trace", d.Name())})
			}
			return Exemplars{Results: []exemplar.QueryResult{{SeriesLabels: d.Labels, Exemplars: e}}}, nil
		}
		return f
	}
	for name, ask := range map[string]func(*Mixer) error{
		"names": func(m *Mixer) error { _, err := m.Names(t.Context(), NamesRequest{Maxt: 1000}); return err },
		"metadata": func(m *Mixer) error {
			_, err := m.Metadata(t.Context(), MetadataRequest{})
			return err
		},
		"exemplars": func(m *Mixer) error {
			_, err := m.Exemplars(t.Context(), ExemplarsRequest{Maxt: 1000, Selectors: [][]*labels.Matcher{matchersOf(t, "x")}})
			return err
		},
	} {
		for most, refused := range map[int64]bool{20_000: true, 1 << 20: false} {
			m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) { c.Limits.MaxBytes = most }, child(eu), child(us))
			err := ask(m)
			var limit *LimitError
			if refused && (!errors.As(err, &limit) || limit.Flag != "query.max-bytes" || limit.Tier != "root") || !refused && err != nil {
				t.Errorf("%s within %d bytes: %v", name, most, err)
			}
			if held := m.memory.held.Load(); held != 0 || len(m.memory.open) != 0 {
				t.Errorf("%s within %d bytes: %d bytes are held at the end", name, most, held)
			}
		}
	}
}

// What is merged counts once, however many children told it.
func TestMergedNamesCountOnce(t *testing.T) {
	f := &fake{desc: eu, names: func(context.Context, NamesRequest) (Names, error) {
		return Names{Names: []string{"a", "b", strings.Repeat("c", 1000)}}, nil
	}}
	merged := &nameMerger{}
	for i := range 50 {
		n, _ := f.names(t.Context(), NamesRequest{})
		size, want := sizeOfNames(n.Names), int64(0)
		if i > 0 {
			want = size
		}
		if spared := merged.add(n.Names); merged.bytes != size || spared != want {
			t.Fatalf("holds %d bytes, want %d; %d spared, want %d", merged.bytes, size, spared, want)
		}
	}
}
