package leaf

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

func TestRename(t *testing.T) {
	for _, c := range []struct{ identity, in, want labels.Labels }{
		{testIdentity, labels.FromStrings("a", "1"), labels.FromStrings("a", "1")},
		{testIdentity, labels.FromStrings("cluster", "x"), labels.FromStrings("exported_cluster", "x")},
		{testIdentity, labels.FromStrings("cluster", "eu-1"), labels.FromStrings("exported_cluster", "eu-1")},
		// The prefix repeats until the name is free.
		{testIdentity, labels.FromStrings("cluster", "x", "exported_cluster", "y"), labels.FromStrings("exported_exported_cluster", "x", "exported_cluster", "y")},
		// An identity may itself have a name that looks exported.
		{
			labels.FromStrings("cluster", "1", "exported_cluster", "2"),
			labels.FromStrings("cluster", "x", "exported_cluster", "y"),
			labels.FromStrings("exported_exported_cluster", "x", "exported_exported_exported_cluster", "y"),
		},
	} {
		if got := newIdentity(c.identity).rename(c.in); !labels.Equal(got, c.want) {
			t.Errorf("rename(%s) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestMatchersOnIdentityLabels(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	appendStored(t, l.written, 1000, labels.FromStrings("__name__", "up", "job", "a"), labels.FromStrings("__name__", "up", "job", "b"))
	a := `{__name__="up", cluster="eu-1", job="a", zone="eu"}=1`
	b := `{__name__="up", cluster="eu-1", job="b", zone="eu"}=2`
	re := func(n, v string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchRegexp, n, v) }
	ne := func(n, v string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchNotEqual, n, v) }
	nre := func(n, v string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchNotRegexp, n, v) }
	for _, c := range []struct {
		ms   []*labels.Matcher
		want []string
	}{
		{[]*labels.Matcher{eq("__name__", "up")}, []string{a, b}},
		{[]*labels.Matcher{eq("__name__", "up"), eq("zone", "eu")}, []string{a, b}},
		{[]*labels.Matcher{eq("zone", "eu")}, []string{a, b}}, // nothing left for the TSDB
		{[]*labels.Matcher{eq("zone", "us")}, []string{}},
		{[]*labels.Matcher{eq("zone", "")}, []string{}}, // the label is there
		{[]*labels.Matcher{eq("job", "a"), re("cluster", "eu-.*")}, []string{a}},
		{[]*labels.Matcher{re("cluster", "us-.*")}, []string{}},
		{[]*labels.Matcher{ne("cluster", "eu-1")}, []string{}},
		{[]*labels.Matcher{ne("cluster", "eu-2"), ne("job", "a")}, []string{b}},
		{[]*labels.Matcher{nre("zone", "e.")}, []string{}},
		{[]*labels.Matcher{nre("zone", "u.")}, []string{a, b}},
		{[]*labels.Matcher{eq("exported_zone", "")}, []string{a, b}},
	} {
		if diff := cmp.Diff(c.want, selected(t, l.served, c.ms...)); diff != "" {
			t.Errorf("%v: %s", c.ms, diff)
		}
	}
}

func TestLabelNamesAndValues(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	q, err := l.served.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	// An empty leaf has no names, not even its own.
	for _, name := range []string{"", "zone"} {
		if got := names(t, q, name, 0); len(got) != 0 {
			t.Errorf("empty leaf, %q: %v", name, got)
		}
	}
	q.Close()
	appendStored(t, l.written, 1000, labels.FromStrings("__name__", "up", "job", "a", "zone", "mars"), labels.FromStrings("__name__", "down", "x", "b"))
	q, err = l.served.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, c := range []struct {
		label string
		limit int
		ms    []*labels.Matcher
		want  []string
	}{
		{"", 0, nil, []string{"__name__", "cluster", "exported_zone", "job", "x", "zone"}},
		{"", 2, nil, []string{"__name__", "cluster"}},
		{"", 0, []*labels.Matcher{eq("job", "a")}, []string{"__name__", "cluster", "exported_zone", "job", "zone"}},
		{"", 0, []*labels.Matcher{eq("zone", "mars")}, nil},
		{"zone", 0, nil, []string{"eu"}},
		{"zone", 0, []*labels.Matcher{eq("job", "a")}, []string{"eu"}},
		{"zone", 0, []*labels.Matcher{eq("job", "none")}, nil},
		{"zone", 0, []*labels.Matcher{eq("cluster", "other")}, nil},
		{"exported_zone", 0, nil, []string{"mars"}},
		{"__name__", 0, []*labels.Matcher{eq("cluster", "eu-1")}, []string{"down", "up"}},
	} {
		if diff := cmp.Diff(c.want, names(t, q, c.label, c.limit, c.ms...)); diff != "" {
			t.Errorf("%q %v: %s", c.label, c.ms, diff)
		}
	}
}

// names returns label names, or the values of label.
func names(t *testing.T, q storage.LabelQuerier, label string, limit int, ms ...*labels.Matcher) []string {
	t.Helper()
	hints := &storage.LabelHints{Limit: limit}
	var (
		got []string
		err error
	)
	if label == "" {
		got, _, err = q.LabelNames(context.Background(), hints, ms...)
	} else {
		got, _, err = q.LabelValues(context.Background(), label, hints, ms...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// randomSets returns distinct label sets of which many begin like others.
func randomSets(r *rand.Rand, alphabet []string, n int) []labels.Labels {
	seen := map[string]labels.Labels{}
	for len(seen) < n {
		b := labels.NewBuilder(labels.EmptyLabels())
		b.Set("__name__", []string{"m", "n"}[r.IntN(2)])
		for _, name := range alphabet {
			if r.IntN(2) == 0 {
				b.Set(name, []string{"1", "2"}[r.IntN(2)])
			}
		}
		seen[b.Labels().String()] = b.Labels()
	}
	var out []labels.Labels
	for _, lset := range seen {
		out = append(out, lset)
	}
	return out
}

// Answers are sorted by the full label set, wherever the identity labels fall
// among the others, whether or not series had to be renamed.
func TestAnswersAreSorted(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		alphabet := []string{"a", "b", "d", "exported_c", "x", "y", "zz"}
		foreign := seed%2 == 1
		if foreign {
			alphabet = append(alphabet, "c", "z")
		}
		cfg := testConfig(t.TempDir())
		cfg.Identity.Labels = labels.FromStrings("c", "own", "z", "own")
		l := openLeaf(t, cfg, Deps{})
		sets := randomSets(r, alphabet, 60)
		appendStored(t, l.store.DB, 1000, sets...)

		want := map[string]labels.Labels{}
		for _, lset := range sets {
			b := labels.NewBuilder(l.id.rename(lset))
			b.Set("c", "own").Set("z", "own")
			want[b.Labels().String()] = b.Labels()
		}
		var oracle []labels.Labels
		for _, lset := range want {
			oracle = append(oracle, lset)
		}
		slices.SortFunc(oracle, labels.Compare)
		compareSets(t, seed, "all", oracle, l)
		compareSets(t, seed, "one name", filterSets(oracle, eq("__name__", "m")), l, eq("__name__", "m"))
		compareSets(t, seed, "renamed", filterSets(oracle, eq("exported_c", "1")), l, eq("exported_c", "1"))
		compareSets(t, seed, "not renamed", filterSets(oracle, eq("exported_c", "")), l, eq("exported_c", ""), eq("z", "own"))
	}
}

func filterSets(sets []labels.Labels, ms ...*labels.Matcher) []labels.Labels {
	var out []labels.Labels
	for _, lset := range sets {
		if matchesAll(lset, ms) {
			out = append(out, lset)
		}
	}
	return out
}

func compareSets(t *testing.T, seed uint64, what string, want []labels.Labels, l *Leaf, ms ...*labels.Matcher) {
	t.Helper()
	if len(ms) == 0 {
		ms = []*labels.Matcher{eq("c", "own")}
	}
	got := selectedChunks(t, l.served, ms...)
	var gotText, wantText []string
	for _, s := range got {
		gotText = append(gotText, s.String())
	}
	for _, s := range want {
		wantText = append(wantText, s.String())
	}
	if diff := cmp.Diff(wantText, gotText); diff != "" {
		t.Fatalf("seed %d, %s: chunk select: %s", seed, what, diff)
	}
	if n := len(selected(t, l.served, ms...)); n != len(want) {
		t.Fatalf("seed %d, %s: select returned %d series, want %d", seed, what, n, len(want))
	}
}

// A data directory of a Prometheus whose series have labels of these names is
// served renamed, and what Pando then appends to the same series joins it.
func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	before := openLeaf(t, testConfig(dir), Deps{})
	appendStored(t, before.store.DB, 1000,
		labels.FromStrings("__name__", "up", "cluster", "old", "job", "a"),
		labels.FromStrings("__name__", "up", "cluster", "old", "exported_cluster", "older"),
		labels.FromStrings("__name__", "up", "job", "b"))
	e := exemplar.Exemplar{Labels: labels.FromStrings("trace", "1"), Value: 1, Ts: 1000, HasTs: true}
	app := before.store.DB.Appender(context.Background())
	if _, err := app.AppendExemplar(0, labels.FromStrings("__name__", "up", "cluster", "old", "job", "a"), e); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	hints := &fakeIndexer{}
	l := openLeaf(t, testConfig(dir), Deps{Hints: hints})
	appendStored(t, l.written, 2000, labels.FromStrings("__name__", "up", "cluster", "old", "job", "a"))
	a := `{__name__="up", cluster="eu-1", exported_cluster="old", job="a", zone="eu"}`
	older := `{__name__="up", cluster="eu-1", exported_cluster="older", exported_exported_cluster="old", zone="eu"}`
	b := `{__name__="up", cluster="eu-1", job="b", zone="eu"}`
	for _, c := range []struct {
		ms   []*labels.Matcher
		want []string
	}{
		{[]*labels.Matcher{eq("__name__", "up")}, []string{a + "=1", older + "=2", b + "=3"}},
		{[]*labels.Matcher{eq("cluster", "old")}, []string{}},
		{[]*labels.Matcher{eq("exported_cluster", "old")}, []string{a + "=1"}},
		{[]*labels.Matcher{eq("exported_cluster", "older"), eq("cluster", "eu-1")}, []string{older + "=2"}},
		{[]*labels.Matcher{eq("exported_exported_cluster", "old")}, []string{older + "=2"}},
		{[]*labels.Matcher{eq("__name__", "up"), eq("exported_cluster", "")}, []string{b + "=3"}},
	} {
		if diff := cmp.Diff(c.want, selected(t, l.served, c.ms...)); diff != "" {
			t.Errorf("%v: %s", c.ms, diff)
		}
	}
	if !hints.has(a, older, b) {
		t.Errorf("the hint lacks series: %v", hints.added)
	}
	checkForeignNames(t, l)

	eq1, err := l.served.ExemplarQuerier(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, err := eq1.Select(0, 3000, []*labels.Matcher{eq("exported_cluster", "old"), eq("zone", "eu")})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].SeriesLabels.String() != a || len(got[0].Exemplars) != 1 {
		t.Errorf("exemplars: %v", got)
	}
	if got, err = eq1.Select(0, 3000, []*labels.Matcher{eq("cluster", "old")}); err != nil || len(got) != 0 {
		t.Errorf("exemplars of another cluster: %v, %v", got, err)
	}
}

func checkForeignNames(t *testing.T, l *Leaf) {
	t.Helper()
	q, err := l.served.ChunkQuerier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, c := range []struct {
		label string
		ms    []*labels.Matcher
		want  []string
	}{
		{"", nil, []string{"__name__", "cluster", "exported_cluster", "exported_exported_cluster", "job", "zone"}},
		{"", []*labels.Matcher{eq("job", "b")}, []string{"__name__", "cluster", "job", "zone"}},
		{"cluster", nil, []string{"eu-1"}},
		{"cluster", []*labels.Matcher{eq("exported_cluster", "nobody")}, nil},
		{"exported_cluster", nil, []string{"old", "older"}},
		{"exported_cluster", []*labels.Matcher{eq("job", "a")}, []string{"old"}},
		{"job", []*labels.Matcher{eq("exported_cluster", "old")}, []string{"a"}},
		{"job", nil, []string{"a", "b"}},
	} {
		if diff := cmp.Diff(c.want, names(t, q, c.label, 0, c.ms...)); diff != "" {
			t.Errorf("%q %v: %s", c.label, c.ms, diff)
		}
	}
}

// Samples of one series that was stored under two label sets are served as one,
// in order.
func TestForeignSeriesMerge(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	appendStored(t, l.store.DB, 1000, labels.FromStrings("__name__", "up", "zone", "old"))
	appendStored(t, l.written, 2000, labels.FromStrings("__name__", "up", "zone", "old"))
	q, err := l.served.Querier(0, 5000)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(context.Background(), true, nil, eq("__name__", "up"))
	var got []string
	for set.Next() {
		it := set.At().Iterator(nil)
		for it.Next() != 0 {
			ts, v := it.At()
			got = append(got, fmt.Sprintf("%s %d %v", set.At().Labels(), ts, v))
		}
	}
	want := []string{
		`{__name__="up", cluster="eu-1", exported_zone="old", zone="eu"} 1000 1`,
		`{__name__="up", cluster="eu-1", exported_zone="old", zone="eu"} 2000 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(selectedChunks(t, l.served, eq("__name__", "up"))); n != 1 {
		t.Errorf("chunk select returned %d series, want 1", n)
	}
}
