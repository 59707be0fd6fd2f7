package e2e_test

import (
	"maps"
	"math"
	"net/url"
	"slices"
	"testing"
	"time"

	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// raw is a sample as a leaf has it.
type raw struct {
	float     float64
	histogram *histogram.Histogram
}

// union collects the samples of all leaves, by series and time. What several replicas
// have is one sample.
type union struct {
	labels  map[string]labels.Labels
	samples map[string]map[int64]raw
}

// union serves Prometheus' own API over the samples of all leaves, and returns its
// URL.
func (p *keptPlanet) union() string {
	p.t.Helper()
	u := union{labels: map[string]labels.Labels{}, samples: map[string]map[int64]raw{}}
	for _, replicas := range p.leaves {
		for _, base := range replicas {
			u.read(p.t, base)
		}
	}
	opts := tsdb.DefaultOptions()
	db, err := tsdb.Open(p.t.TempDir(), nil, nil, opts, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { db.Close() })
	u.write(p.t, db)
	return serveOracle(p.t, db)
}

// read adds all samples of a leaf, as it hands them to others.
func (u union) read(t *testing.T, base string) {
	t.Helper()
	at, err := url.Parse(base + "/api/v1/read")
	if err != nil {
		t.Fatal(err)
	}
	client, err := remote.NewReadClient("union", &remote.ClientConfig{
		URL: &commoncfg.URL{URL: at}, Timeout: model.Duration(time.Minute), ChunkedReadLimit: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	q, err := remote.ToQuery(0, math.MaxInt32*1000, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := client.Read(t.Context(), q, true)
	if err != nil {
		t.Fatal(err)
	}
	for set.Next() {
		u.add(t, set.At())
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
}

// add adds the samples of a series.
func (u union) add(t *testing.T, s storage.Series) {
	t.Helper()
	b := labels.NewBuilder(s.Labels())
	lset := b.Del("replica").Labels()
	key := lset.String()
	if u.samples[key] == nil {
		u.labels[key], u.samples[key] = lset, map[int64]raw{}
	}
	it := s.Iterator(nil)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		switch kind {
		case chunkenc.ValFloat:
			at, v := it.At()
			u.samples[key][at] = raw{float: v}
		case chunkenc.ValHistogram:
			at, h := it.AtHistogram(nil)
			u.samples[key][at] = raw{histogram: h}
		default:
			t.Fatalf("%s has samples of kind %s", key, kind)
		}
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
}

// write puts all samples into a storage.
func (u union) write(t *testing.T, db *tsdb.DB) {
	t.Helper()
	for key, samples := range u.samples {
		app := db.Appender(t.Context())
		for _, at := range slices.Sorted(maps.Keys(samples)) {
			var err error
			if s := samples[at]; s.histogram != nil {
				_, err = app.AppendHistogram(0, u.labels[key], at, s.histogram, nil)
			} else {
				_, err = app.Append(0, u.labels[key], at, s.float)
			}
			if err != nil {
				t.Fatalf("%s at %d: %v", key, at, err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}
