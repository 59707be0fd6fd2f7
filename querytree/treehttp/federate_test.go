package treehttp

import (
	"errors"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/pandometrics/pando/querytree"
)

func federate(f fixture, accept string, selectors ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/federate?"+url.Values{"match[]": selectors}.Encode(), nil)
	r.Header.Set("Accept", accept)
	return f.send(r)
}

// The text format has neither native histograms, nor stale or old series, and
// series selected twice are there once.
func TestFederateText(t *testing.T) {
	f := build(t, zoneLike(t))
	w := federate(f, "text/plain", `{zone=~".+"}`, "up")
	golden(t, "testdata/federate.txt", w.Body.String())
	if ct := w.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", ct)
	}
}

func TestFederateNothing(t *testing.T) {
	f := build(t, zoneLike(t))
	for _, selectors := range [][]string{nil, {"nothing"}} {
		if w := federate(f, "", selectors...); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("%v: %d %s", selectors, w.Code, w.Body)
		}
	}
}

// The protobuf formats have all.
func TestFederateProtobuf(t *testing.T) {
	f := build(t, zoneLike(t))
	w := federate(f, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", `{zone="eu"}`)
	dec := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header()))
	families := map[string]*dto.MetricFamily{}
	for {
		mf := &dto.MetricFamily{}
		err := dec.Decode(mf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		families[mf.GetName()] = mf
	}
	if len(families) != 4 {
		t.Fatalf("families: %v", families)
	}
	native := families["latency"].Metric[0].Histogram
	if native.GetSchema() != 0 || native.GetSampleCountFloat() != 4 || !cmp.Equal(native.PositiveCount, []float64{1, 2, 1}) || len(native.PositiveSpan) != 1 {
		t.Errorf("native histogram: %v", native)
	}
	if ts := families["latency"].Metric[0].GetTimestampMs(); ts != now.UnixMilli() {
		t.Errorf("timestamp %d", ts)
	}
}

func TestFederateErrors(t *testing.T) {
	st := promqltest.LoadedStorage(t, loaded)
	for name, c := range map[string]struct {
		spoil func(*Config)
		code  int
		want  string
	}{
		"not ready": {func(c *Config) { c.Queryable = failing{tsdb.ErrNotReady} }, 503, "not ready"},
		"broken":    {func(c *Config) { c.Queryable = failing{promql.ErrStorage{Err: errors.New("disk on fire")}} }, 500, "disk on fire"},
		"too much":  {func(c *Config) { c.Limits.MaxSeries = 2 }, 422, "--query.max-series"},
		"strict": {func(c *Config) {
			c.Queryable = reporting{SampleAndChunkQueryable: c.Queryable, report: partial()}
			c.Defaults = querytree.Options{Strict: true}
		}, 422, "zone=us does not answer"},
	} {
		cfg := zoneOver(st)
		c.spoil(&cfg)
		if w := federate(build(t, cfg), "", "up"); w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

type failing struct{ err error }

func (f failing) Querier(int64, int64) (storage.Querier, error) { return nil, f.err }

func (f failing) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) { return nil, f.err }

// golden compares got with a file, or writes it if UPDATE_GOLDEN is set.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", file, diff)
	}
}
