package querytree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"
)

// listing is a fake that has series of these values of label i.
func listing(d Description, closed *atomic.Int64, values ...string) *fake {
	f := &fake{desc: d}
	f.selects = func(context.Context, SelectRequest) SeriesSet {
		set := &listSet{closed: closed, report: f.asked()}
		for _, v := range values {
			set.series = append(set.series, memorySeries{ofChild(d, labels.FromStrings("__name__", "x", "i", v)), 1}.chunks())
		}
		return set
	}
	return f
}

func drain(set SeriesSet) (values []string) {
	defer set.Close()
	for set.Next() {
		values = append(values, set.At().Labels().Get("i"))
	}
	return values
}

func TestSelectMergesInOrder(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var closed atomic.Int64
	first, second := eu, eu
	first.Shard, second.Shard = "0", "1"
	m := rootOver(t, listing(first, &closed, "a", "d", "e"), listing(second, &closed, "b", "c", "d"), listing(asia, &closed))
	set := m.Select(t.Context(), SelectRequest{})
	if d := cmp.Diff([]string{"a", "b", "c", "d", "e"}, drain(set)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if err := set.Err(); err != nil {
		t.Error(err)
	}
	if got := set.Report().Children["zone=eu/shard=1"]; got.Verdict != Asked {
		t.Errorf("report of the second: %+v", got)
	}
	if d := cmp.Diff([]string{"a", "b"}, drain(m.Select(t.Context(), SelectRequest{Limit: 2}))); d != "" {
		t.Errorf("limited, -want +got:\n%s", d)
	}
	waitFor(t, func() bool { return closed.Load() == 6 })
}

// waitFor waits for a condition, with a deadline.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			t.Fatal("condition not met in 30s")
		}
	}
}

// A consumer that stops early stops the producers: what is read ahead is
// bounded, and nothing is left behind.
func TestSelectIsLazy(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	synctest.Test(t, func(t *testing.T) {
		var read, closed atomic.Int64
		endless := func(d Description) *fake {
			return &fake{desc: d, selects: func(context.Context, SelectRequest) SeriesSet {
				set := &listSet{closed: &closed, next: func(int) error { read.Add(1); return nil }}
				for i := range 1000 {
					set.series = append(set.series, memorySeries{ofChild(d, labels.FromStrings("i", fmt.Sprintf("%04d", i))), 1}.chunks())
				}
				return set
			}}
		}
		set := rootOver(t, endless(eu), endless(us)).Select(t.Context(), SelectRequest{})
		if !set.Next() {
			t.Fatal(set.Err())
		}
		synctest.Wait()
		if n := read.Load(); n > 3*(pullBuffer+2) {
			t.Errorf("%d series read for the first one", n)
		}
		set.Close()
		synctest.Wait()
		if closed.Load() != 2 {
			t.Errorf("%d of 2 sets closed", closed.Load())
		}
	})
}

// The soft deadline counts the time that a child takes, not that of the reader
// or of other children.
func TestSelectDeadlines(t *testing.T) {
	slowly := func(d Description, pause time.Duration, values ...string) *fake {
		f := listing(d, nil, values...)
		all := f.selects
		f.selects = func(ctx context.Context, req SelectRequest) SeriesSet {
			set := all(ctx, req).(*listSet)
			set.next = func(int) error {
				select {
				case <-time.After(pause):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return set
		}
		return f
	}
	for _, c := range []struct {
		name    string
		child   func() (Child, func())
		missing []string
		want    []string
	}{
		{"in time", func() (Child, func()) { return slowly(us, time.Second, "b", "c"), func() {} }, nil, []string{"a", "b", "c"}},
		{"late", func() (Child, func()) { return slowly(us, deadline/2+time.Second, "b", "c"), func() {} }, []string{"zone=us"}, []string{"a", "b"}},
		{"hanging", func() (Child, func()) { return hanging(us), func() {} }, []string{"zone=us"}, []string{"a"}},
		{"deaf", func() (Child, func()) { f, release := deaf(us); return f, release }, []string{"zone=us"}, []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				child, release := c.child()
				defer release()
				m := mixerOver(t, Identity{Tier: TierRoot}, impatient, listing(eu, nil, "a"), child)
				begin := time.Now()
				set := m.Select(t.Context(), SelectRequest{})
				got := drain(set)
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
				if took := time.Since(begin); took > deadline {
					t.Errorf("took %s", took)
				}
				if !slices.Equal(set.Report().Missing(), c.missing) || len(set.Warnings()) != len(c.missing) || set.Err() != nil {
					t.Errorf("missing %q, warnings %v, err %v", set.Report().Missing(), set.Warnings(), set.Err())
				}
			})
		})
	}
	t.Run("slow reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var values []string
			for i := range 3 * pullBuffer {
				values = append(values, fmt.Sprintf("%03d", i))
			}
			m := mixerOver(t, Identity{Tier: TierRoot}, impatient, listing(eu, nil, values...))
			set := m.Select(t.Context(), SelectRequest{})
			defer set.Close()
			n := 0
			for set.Next() {
				n++
				time.Sleep(deadline)
			}
			if n != len(values) || set.Report().Partial() {
				t.Errorf("%d of %d series; missing %q", n, len(values), set.Report().Missing())
			}
		})
	})
}

func TestSelectFailures(t *testing.T) {
	broken := errors.New("chunk is not what it should be")
	limit := &LimitError{What: "series of one request", Flag: "query.max-series", Limit: 1}
	for _, c := range []struct {
		name    string
		child   Child
		options Options
		is      error
	}{
		{"down", down(us), Options{}, nil},
		{"down, strict", down(us), Options{Strict: true}, ErrUnavailable},
		{"fault of the request", failing(us, broken), Options{}, broken},
		{"limit", failing(us, limit), Options{}, limit},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := rootOver(t, listing(eu, nil, "a"), c.child).Select(t.Context(), SelectRequest{Options: c.options})
			drain(set)
			if !errors.Is(set.Err(), c.is) {
				t.Errorf("want %v, got %v", c.is, set.Err())
			}
		})
	}
	t.Run("too many samples", func(t *testing.T) {
		set := rootOver(t, listing(eu, nil, "a"), listing(us, nil, "b")).Select(t.Context(), SelectRequest{Options: Options{MaxSamples: 1000}})
		drain(set)
		if !IsLimit(set.Err()) {
			t.Errorf("1202 samples with a limit of 1000: %v", set.Err())
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			set := rootOver(t, hanging(eu), hanging(us)).Select(ctx, SelectRequest{})
			time.AfterFunc(time.Second, cancel)
			begin := time.Now()
			drain(set)
			if set.Err() == nil || time.Since(begin) != time.Second {
				t.Errorf("after %s: %v", time.Since(begin), set.Err())
			}
		})
	})
}

func TestNames(t *testing.T) {
	var asked atomic.Int64
	naming := func(d Description, names ...string) *fake {
		f := &fake{desc: d}
		f.names = func(_ context.Context, req NamesRequest) (Names, error) {
			asked.Add(1)
			return Names{Names: names, Report: f.asked()}, nil
		}
		return f
	}
	m := rootOver(t, naming(eu, "a", "c"), naming(us, "b", "c"), down(asia))
	got, err := m.Names(t.Context(), NamesRequest{Label: "job"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, got.Names); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if !slices.Equal(got.Report.Missing(), []string{"zone=asia"}) || len(got.Warnings) != 1 {
		t.Errorf("missing %q, warnings %v", got.Report.Missing(), got.Warnings)
	}
	if got, _ = m.Names(t.Context(), NamesRequest{Label: "job", Limit: 2}); len(got.Names) != 2 {
		t.Errorf("limit of 2: %q", got.Names)
	}
	asked.Store(0)
	zone := labels.MustNewMatcher(labels.MatchEqual, "zone", "eu")
	got, err = m.Names(t.Context(), NamesRequest{Matchers: []*labels.Matcher{zone}})
	if err != nil || asked.Load() != 1 || got.Report.Pruned[PrunedLabel] != 2 || got.Report.Partial() {
		t.Errorf("pruned by label: %d asked, %+v, %v", asked.Load(), got, err)
	}
	if _, err = m.Names(t.Context(), NamesRequest{Options: Options{Strict: true}}); !IsStrictFailure(err) {
		t.Errorf("strict: %v", err)
	}
}

func TestMetadata(t *testing.T) {
	telling := func(d Description, families map[string][]metadata.Metadata) *fake {
		f := &fake{desc: d}
		f.metadata = func(context.Context, MetadataRequest) (Metadata, error) {
			return Metadata{Families: families, Report: f.asked()}, nil
		}
		return f
	}
	a, b := metadata.Metadata{Type: "counter", Help: "A."}, metadata.Metadata{Type: "gauge", Help: "B."}
	m := rootOver(t,
		telling(eu, map[string][]metadata.Metadata{"x": {a}, "y": {a}}),
		telling(us, map[string][]metadata.Metadata{"x": {a, b}, "z": {b}}))
	got, err := m.Metadata(t.Context(), MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, entries := range got.Families {
		slices.SortFunc(entries, func(a, b metadata.Metadata) int { return len(b.Type) - len(a.Type) })
	}
	if d := cmp.Diff(map[string][]metadata.Metadata{"x": {a, b}, "y": {a}, "z": {b}}, got.Families); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	got, _ = m.Metadata(t.Context(), MetadataRequest{Limit: 1, LimitPerMetric: 1})
	for _, entries := range got.Families {
		if len(got.Families) != 1 || len(entries) != 1 {
			t.Errorf("limits of 1: %v", got.Families)
		}
	}
	// What a limit leaves does not depend on who answers first.
	for range 20 {
		again, _ := m.Metadata(t.Context(), MetadataRequest{Limit: 1, LimitPerMetric: 1})
		if d := cmp.Diff(got.Families, again.Families); d != "" {
			t.Fatalf("another answer:\n%s", d)
		}
	}
}

func TestExemplars(t *testing.T) {
	telling := func(d Description, job string, ts ...int64) *fake {
		f := &fake{desc: d}
		f.exemplars = func(context.Context, ExemplarsRequest) (Exemplars, error) {
			r := exemplar.QueryResult{SeriesLabels: ofChild(d, labels.FromStrings("job", job))}
			for _, t := range ts {
				r.Exemplars = append(r.Exemplars, exemplar.Exemplar{Ts: t})
			}
			return Exemplars{Results: []exemplar.QueryResult{r}, Report: f.asked()}, nil
		}
		return f
	}
	m := rootOver(t, telling(us, "b", 2), telling(eu, "a", 1), down(asia))
	all := [][]*labels.Matcher{{labels.MustNewMatcher(labels.MatchRegexp, "job", ".+")}}
	got, err := m.Exemplars(t.Context(), ExemplarsRequest{Selectors: all})
	if err != nil {
		t.Fatal(err)
	}
	var jobs []string
	for _, r := range got.Results {
		jobs = append(jobs, r.SeriesLabels.Get("job"))
	}
	if d := cmp.Diff([]string{"a", "b"}, jobs); d != "" || len(got.Warnings) != 1 {
		t.Errorf("warnings %v, -want +got:\n%s", got.Warnings, d)
	}
	two := [][]*labels.Matcher{
		{labels.MustNewMatcher(labels.MatchEqual, "zone", "eu")},
		{labels.MustNewMatcher(labels.MatchEqual, "zone", "us")},
	}
	if got, err = m.Exemplars(t.Context(), ExemplarsRequest{Selectors: two}); err != nil || len(got.Results) != 2 || got.Report.Partial() {
		t.Errorf("selectors of two zones: %+v, %v", got, err)
	}
}

// The Mixer as Prometheus' storage reports to whoever asks through the context.
func TestQueryableReports(t *testing.T) {
	m := rootOver(t, listing(eu, nil, "a"), down(us))
	ctx, sink := WithReport(t.Context())
	q, err := m.Querier(0, 1_000)
	if err != nil {
		t.Fatal(err)
	}
	set := q.Select(ctx, true, &storage.SelectHints{Start: 0, End: 1_000}, labels.MustNewMatcher(labels.MatchEqual, "__name__", "x"))
	n := 0
	for set.Next() {
		it := set.At().Iterator(nil)
		for it.Next() != 0 {
			n++
		}
	}
	if err := q.Close(); err != nil || n != 2 {
		t.Errorf("%d samples, want the 2 within the bounds; %v", n, err)
	}
	if !slices.Equal(sink.Report().Missing(), []string{"zone=us"}) {
		t.Errorf("missing: %q", sink.Report().Missing())
	}
}
