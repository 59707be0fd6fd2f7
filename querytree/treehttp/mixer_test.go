package treehttp

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
)

// deadChild is a child that lost its connection.
type deadChild struct{ d querytree.Description }

var errDead = fmt.Errorf("%w: connection lost", querytree.ErrUnavailable)

func (c deadChild) Describe() querytree.Description { return c.d }

func (deadChild) Exec(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
	return nil, errDead
}

func (deadChild) Select(context.Context, querytree.SelectRequest) querytree.SeriesSet {
	return deadSet{storage.ErrChunkSeriesSet(errDead)}
}

func (deadChild) Names(context.Context, querytree.NamesRequest) (querytree.Names, error) {
	return querytree.Names{}, errDead
}

func (deadChild) Metadata(context.Context, querytree.MetadataRequest) (querytree.Metadata, error) {
	return querytree.Metadata{}, errDead
}

func (deadChild) Exemplars(context.Context, querytree.ExemplarsRequest) (querytree.Exemplars, error) {
	return querytree.Exemplars{}, errDead
}

type deadSet struct{ storage.ChunkSeriesSet }

func (deadSet) Report() querytree.Report { return querytree.Report{} }

func (deadSet) Close() {}

// zoneOf is a zone with a live leaf, eu-1, and a dead one, eu-2.
func zoneOf(t *testing.T) Config {
	t.Helper()
	st := promqltest.LoadedStorage(t, `
load 1m
  up{zone="eu",cluster="eu-1",job="api"} 1x60
  up{zone="eu",cluster="eu-1",job="db"} 1x60`)
	describe := func(tier string, kv ...string) func() querytree.Description {
		return func() querytree.Description {
			return querytree.Description{Identity: querytree.Identity{Tier: tier, Labels: labels.FromStrings(kv...)}, Maxt: 3600_000, Leaves: 1}
		}
	}
	live, err := querytree.NewLocal(querytree.LocalConfig{
		Engine: newEngine(), Samples: st, Chunks: st, Exemplars: st, Limits: querytree.DefaultLimits(),
		Metadata: func(string) map[string][]metadata.Metadata {
			return map[string][]metadata.Metadata{"up": {{Type: "gauge", Help: "Is it up."}}}
		},
		Describe: describe(querytree.TierLeaf, "zone", "eu", "cluster", "eu-1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	dead := deadChild{describe(querytree.TierLeaf, "zone", "eu", "cluster", "eu-2")()}
	mixer, err := querytree.NewMixer(querytree.MixerConfig{
		Describe: describe(querytree.TierZone, "zone", "eu"),
		Members: func() []querytree.Member {
			return []querytree.Member{{Child: live, Description: live.Describe(), Connected: true}, {Child: dead, Description: dead.d}}
		},
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	return Config{
		Engine: querytree.Engine{}, Queryable: mixer, Exemplars: mixer, Metadata: mixer.Metadata, Describe: mixer.Describe,
		Limits: querytree.DefaultLimits(), Gatherer: reg, Registerer: reg, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now },
	}
}

// Over a real tree with a dead leaf, every endpoint says that the answer is
// partial, fails if asked to be strict, and is whole if the leaf does not matter.
func TestTreeWithADeadLeaf(t *testing.T) {
	f := build(t, zoneOf(t))
	for _, c := range []struct{ target, want, param string }{
		{"/api/v1/query?time=3600", `"value":[3600,"2"]`, "&query=sum(up)"},
		{"/api/v1/query_range?start=60&end=120&step=60", `[[60,"2"],[120,"2"]]`, "&query=sum(up)"},
		{"/api/v1/series?start=0&end=3600", `"job":"db"`, "&match[]=up"},
		{"/api/v1/series?start=0&end=3600&match[]=up", `"job":"db"`, "&match[]={job='db'}"},
		{"/api/v1/labels?start=0&end=3600", `["__name__","cluster","job","zone"]`, "&match[]=up"},
		{"/api/v1/label/job/values?start=0&end=3600", `["api","db"]`, "&match[]=up"},
		{"/api/v1/metadata?x=", `"help":"Is it up."`, ""},
	} {
		w := f.do("GET", c.target+c.param, "")
		a := decode(t, strings.NewReader(w.Body.String()))
		if w.Code != 200 || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", c.target, w.Code, w.Body)
		}
		if len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "zone=eu,cluster=eu-2") || w.Header().Get(PartialHeader) != "true" {
			t.Errorf("%s: header %q, warnings %q", c.target, w.Header().Get(PartialHeader), a.Warnings)
		}
		w = f.do("GET", c.target+c.param+"&partial_response=false", "")
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "zone=eu,cluster=eu-2") {
			t.Errorf("strict %s: %d %s", c.target, w.Code, w.Body)
		}
	}
	for _, target := range []string{
		"/api/v1/query?time=3600&query=sum(up{cluster='eu-1'})&stats=all",
		"/api/v1/series?start=0&end=3600&match[]=up{cluster='eu-1'}", "/federate?match[]=up{cluster='eu-1'}",
	} {
		w := f.do("GET", target+"&partial_response=false", "")
		if w.Code != 200 || w.Header().Get(PartialHeader) != "" || strings.Contains(w.Body.String(), "warnings") {
			t.Errorf("%s: %d %v %s", target, w.Code, w.Header(), w.Body)
		}
	}
	if w := f.do("GET", "/federate?match[]=up", ""); w.Header().Get(PartialHeader) != "true" || strings.Count(w.Body.String(), "up{") != 2 {
		t.Errorf("federate: %v %s", w.Header(), w.Body)
	}
	if w := f.do("GET", "/federate?match[]=up&partial_response=false", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("strict federate: %d %s", w.Code, w.Body)
	}
}

func TestErrorTable(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		kind string
	}{
		{errDead, 503, "unavailable"},
		{context.DeadlineExceeded, 503, "timeout"},
		{context.Canceled, 499, "canceled"},
		{&querytree.LimitError{}, 422, "execution"},
		{&querytree.LimitError{Flag: "query.timeout"}, 503, "timeout"},
	} {
		code, kind := classify(fmt.Errorf("around: %w", c.err))
		if diff := cmp.Diff([]any{c.code, c.kind}, []any{code, kind}); diff != "" {
			t.Errorf("%v: %s", c.err, diff)
		}
	}
}

func (c deadChild) Tree(context.Context) ([]querytree.Node, error) {
	return nil, querytree.ErrUnavailable
}
