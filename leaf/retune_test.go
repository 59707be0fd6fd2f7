package leaf

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// What is beside the configuration file is of its revision: if it is refused,
// nothing of the revision takes effect.
func TestReloadBeside(t *testing.T) {
	base := t.TempDir()
	deliver(t, base, "r1", "global: {scrape_interval: 20s}\n")
	cfg := testConfig(t.TempDir())
	cfg.ConfigFile = filepath.Join(base, "current", "prometheus.yml")
	used := 0
	refusal := errors.New("limits.yml:1:1: nonsense")
	bad := refusal
	l := openLeaf(t, cfg, Deps{Beside: func() (func(), error) { return func() { used++ }, bad }})
	runLeaf(t, l)
	deliver(t, base, "r2", "global: {scrape_interval: 30s}\n")
	if err := l.Reload(); !errors.Is(err, refusal) {
		t.Errorf("reload: %v", err)
	}
	if d := l.Describe(); used != 0 || d.Revision != "r1" || !d.ReloadFailed {
		t.Errorf("used %d times, revision %s, failed %v", used, d.Revision, d.ReloadFailed)
	}
	if got := l.PrometheusConfig().GlobalConfig.ScrapeInterval; time.Duration(got) != 20*time.Second {
		t.Errorf("the scrape interval is %v", got)
	}
	bad = nil
	if err := l.Reload(); err != nil || used != 1 || l.Revision() != "r2" {
		t.Errorf("%v, used %d times, revision %s", err, used, l.Revision())
	}
	deliver(t, base, "r3", "global: {scrape_interval: nonsense}\n")
	if err := l.Reload(); err == nil || used != 1 {
		t.Errorf("%v, used %d times", err, used)
	}
}

// The engine of other limits has the metrics of the one before, and who ran when the
// process died is still noted, of as many queries as there is room for.
func TestRetune(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	to := querytree.Tuning{Limits: querytree.DefaultLimits(), Lookback: time.Minute}
	to.Limits.MaxConcurrent = trackedQueries + 44
	for range 2 {
		if err := l.Retune(to); err != nil {
			t.Fatal(err)
		}
	}
	want := "# HELP prometheus_engine_queries_concurrent_max The max number of concurrent queries.\n# TYPE prometheus_engine_queries_concurrent_max gauge\nprometheus_engine_queries_concurrent_max 300\n"
	if err := testutil.GatherAndCompare(l.reg.(prometheus.Gatherer), strings.NewReader(want), "prometheus_engine_queries_concurrent_max"); err != nil {
		t.Error(err)
	}
	var q promql.QueryTracker = l.active
	var noted []int
	for range to.Limits.MaxConcurrent {
		i, err := q.Insert(t.Context(), "up")
		if err != nil {
			t.Fatal(err)
		}
		if i != unnoted {
			noted = append(noted, i)
		}
	}
	if len(noted) != trackedQueries {
		t.Errorf("%d queries are noted, want %d", len(noted), trackedQueries)
	}
	q.Delete(unnoted)
	q.Delete(noted[0])
	if i, err := q.Insert(t.Context(), "up"); i != noted[0] || err != nil {
		t.Errorf("the place that got free is not used: %d, %v", i, err)
	}
}
